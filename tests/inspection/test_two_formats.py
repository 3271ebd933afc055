# SPDX-License-Identifier: Apache-2.0
"""A file that is two formats at once is refused: what loads it would open the other one."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import h5py
import pytest

import keras_integrity_hook as kih
from tests.inspection.corpus import containers, formats
from tests.inspection.corpus.configs import dense, sequential
from tests.inspection.corpus.judging import judge


def rules(path: Path) -> set[str]:
    return {finding.rule for finding in judge(path).findings}


def test_archive_after_an_hdf5_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    containers.hdf5_before_archive(path)
    assert h5py.is_hdf5(path)
    assert zipfile.is_zipfile(path)
    assert "two-formats" in rules(path)


@pytest.mark.parametrize("name", ["model.h5", "model.weights.h5", "model.bin"])
def test_hdf5_file_within_an_archive_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    containers.archive_around_hdf5(path)
    assert path.read_bytes().startswith(b"PK")
    assert h5py.is_hdf5(path)
    assert "two-formats" in rules(path)


def test_bytes_of_an_archive_in_weights_are_no_archive(tmp_path: Path) -> None:
    """The signature of an archive's end stands in any four bytes of weights in 4,000 million."""
    path = tmp_path / "model.keras"
    formats.hdf5({"class_name": "Sequential", "config": {"name": "m", "layers": []}})(path)
    with h5py.File(path, "r+") as file:
        file["weights"] = list(b"PK\x05\x06" + bytes(40))
    assert rules(path) == set()


def test_archive_with_any_weights_is_no_hdf5_file_to_keras(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    containers.archive_around_hdf5(path)
    assert rules(path) == set(), "weights of any archive may begin at such a place"
    formats.archive(sequential(dense()))(path)
    assert rules(path) == set()


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_load_of_two_formats_is_refused(name: str, tmp_path: Path, keras: Any) -> None:
    path = tmp_path / name
    if name == "model.keras":
        containers.hdf5_before_archive(path)
    else:
        containers.archive_around_hdf5(path)
    with pytest.warns(kih.UnsealedModelWarning), pytest.raises(kih.DangerousModelError):
        keras.models.load_model(path)
