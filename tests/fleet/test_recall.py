# SPDX-License-Identifier: Apache-2.0
"""A recall is about the content of a file, and never about what its seal says."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from keras_integrity_hook import RevokedModelError, api
from keras_integrity_hook.cli import main
from keras_integrity_hook.sealing.tree import ALGORITHMS
from keras_integrity_hook.signing import trust_store
from tests.fleet.test_directories import rot, write_checkpoint, write_keras_directory
from tests.support.models import archive_bytes, hdf5_bytes, write_model


def recall(*arguments: str | os.PathLike[str], code: int = 0) -> dict[str, Any]:
    command = [
        "revoke",
        "model",
        "--json",
        "--reason",
        "stolen",
        *(os.fspath(one) for one in arguments),
    ]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == code, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def recalled() -> set[str]:
    return set(trust_store.store().revoked_models)


def with_the_seal_of_another(folder: Path) -> tuple[Path, str]:
    """A model under the sidecar of another one, and the root that this states."""
    bad, good = folder / "bad.h5", folder / "good.h5"
    bad.write_bytes(hdf5_bytes(rows=8))
    good.write_bytes(hdf5_bytes(rows=16))
    report = api.seal(good, store="sidecar")
    assert report.seal is not None
    shutil.copy(f"{good}.seal", f"{bad}.seal")
    return bad, report.seal.root


def test_root_that_a_file_merely_claims_is_not_recalled(home: Path, tmp_path: Path) -> None:
    bad, claimed = with_the_seal_of_another(tmp_path)
    error = recall(bad, code=1)["error"]
    assert error["code"] == "checksum-mismatch"
    assert "Nothing was recalled" in error["remedy"]
    assert recalled() == set()
    recall(bad, "--content")
    assert claimed not in recalled()
    api.verify(tmp_path / "good.h5")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "blake2b"])
def test_content_is_recalled_under_every_algorithm(
    home: Path, tmp_path: Path, algorithm: str
) -> None:
    plain = write_model(tmp_path, "model.keras")
    done = recall(plain, "--content")
    assert done["target"] == done["targets"][0]
    assert len(done["targets"]) >= len(ALGORITHMS) - 1  # blake3 is an extra
    api.seal(plain, algorithm=algorithm)
    with pytest.raises(RevokedModelError, match="stolen"):
        api.verify(plain)


@pytest.mark.parametrize("kind", ["archive", "sidecar", "directory", "checkpoint"])
def test_whole_models_of_every_kind_are_recalled(home: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model"
    if kind == "archive":
        path = tmp_path / "model.keras"
        path.write_bytes(archive_bytes())
    elif kind == "sidecar":
        path = tmp_path / "model.h5"
        path.write_bytes(hdf5_bytes())
    elif kind == "directory":
        write_keras_directory(path)
    else:
        write_checkpoint(tmp_path, "model")
    report = api.seal(path, store="sidecar" if kind == "sidecar" else None)
    assert report.seal is not None
    assert recall(path)["targets"] == [report.seal.root]
    with pytest.raises(RevokedModelError):
        api.verify(path)
    assert recall(path)["changed"] is False


def test_damaged_set_recalls_nothing(home: Path, tmp_path: Path) -> None:
    folder = write_keras_directory(tmp_path / "model")
    api.seal(folder)
    rot(folder / "model.weights.h5")
    recall(folder, code=1)
    recall(folder, "--content")
    assert len(recalled()) >= len(ALGORITHMS) - 1


def test_root_is_recalled_as_it_is_given(home: Path, tmp_path: Path) -> None:
    root = "ab" * 32
    assert recall("--root", f"sha256:{root}")["targets"] == [root]
    assert recall("--root", "xyz", code=2)["error"]["code"] == "configuration"


def test_file_with_the_name_of_a_root_is_not_mistaken(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "cd" * 32
    Path(name).write_bytes(archive_bytes())
    api.seal(name)
    assert "is a file's name and a root" in recall(name, code=2)["error"]["message"]
    assert recall(f"./{name}")["targets"] != [name]
    assert recall("--root", name)["targets"] == [name]
