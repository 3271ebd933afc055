# SPDX-License-Identifier: Apache-2.0
"""Configurations in HDF5, as h5py and others write them: read without libhdf5, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from keras_integrity_hook.inspection import hdf5_config
from keras_integrity_hook.inspection.pieces import Memory

FINE = {"class_name": "Sequential", "config": {"name": "m", "layers": []}}
EVIL = {**FINE, "module": "os"}


def rules(path: Path) -> set[str]:
    return {one.rule for one in hdf5_config.inspect(Memory(path.read_bytes()), path.name)}


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110", "latest"])
@pytest.mark.parametrize("attribute", ["model_config", "training_config"])
@pytest.mark.parametrize("kind", [str, lambda text: text.encode(), np.bytes_])
def test_configuration_is_found_however_h5py_writes_it(
    tmp_path: Path, libver: str, attribute: str, kind: Any
) -> None:
    path = tmp_path / "model.h5"
    for value, expected in ((FINE, set()), (EVIL, {"foreign-object"})):
        with h5py.File(path, "w", libver=libver) as file:
            file.attrs[attribute] = kind(json.dumps(value))
            file.create_group("model_weights")
        assert rules(path) == expected


def test_large_configuration_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    layers = [{"class_name": "Dense", "config": {"name": f"d{n}", "units": 1}} for n in range(5000)]
    value = {**FINE, "config": {"name": "m", "layers": [*layers, EVIL]}}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(value)
    assert rules(path) == {"foreign-object"}


def test_attributes_that_are_not_read_here_are_not_taken_for_none(tmp_path: Path) -> None:
    """Over eight of them go into a heap of their own, where the newest format is asked for."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(20):
            file.attrs[f"a{number}"] = 1
        file.attrs["model_config"] = json.dumps(EVIL)
    assert rules(path) == {"opaque-hdf5"}


def test_weights_alone_have_nothing_to_judge(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.zeros((3, 3))
    assert rules(path) == set()


def test_what_is_no_hdf5_is_left_to_whoever_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(b"{}")
    assert rules(path) == set()


def test_damaged_headers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(FINE)
    data = path.read_bytes()
    path.write_bytes(data[:96] + b"\xff" * 64 + data[160:])
    assert rules(path) == {"opaque-hdf5"}
