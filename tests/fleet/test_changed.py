# SPDX-License-Identifier: Apache-2.0
"""Which models a commit has to check, by the files that it changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_integrity_hook import api
from keras_integrity_hook.fleet.changed import models_of
from tests.support.models import write_model


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a sealed SavedModel, an unsealed checkpoint and a file of Keras."""
    monkeypatch.chdir(tmp_path)
    saved = tmp_path / "models" / "saved"
    (saved / "variables").mkdir(parents=True)
    (saved / "saved_model.pb").write_bytes(b"\x08\x01\x12\x00")
    (saved / "variables" / "variables.index").write_bytes(b"an index")
    (saved / "variables" / "variables.data-00000-of-00001").write_bytes(bytes(100))
    api.seal(saved)
    for name in ("ckpt-1.index", "ckpt-1.data-00000-of-00001"):
        (tmp_path / "models" / name).write_bytes(b"weights")
    api.seal(write_model(tmp_path, "model.keras"))
    return tmp_path


@pytest.mark.parametrize(
    ("path", "models"),
    [
        ("model.keras", ["model.keras"]),
        ("models/saved/saved_model.pb", ["models/saved"]),
        ("models/saved/variables/variables.index", ["models/saved"]),
        ("models/saved/assets.extra/keras_integrity.seal", ["models/saved"]),
        ("models/ckpt-1.index", ["models/ckpt-1"]),
        ("models/ckpt-1.data-00000-of-00001", ["models/ckpt-1"]),
        ("train.py", []),
        ("models/README.md", []),
        ("gone/model.keras", ["gone/model.keras"]),
    ],
)
def test_a_file_stands_for_its_model(path: str, models: list[str]) -> None:
    assert models_of([path]) == models


def test_a_file_that_was_slipped_into_a_set_stands_for_it(tree: Path) -> None:
    (tree / "models" / "saved" / "assets").mkdir()
    (tree / "models" / "saved" / "assets" / "vocabulary.txt").write_text("one more")
    assert models_of(["models/saved/assets/vocabulary.txt"]) == ["models/saved"]


def test_a_seal_beside_a_file_stands_for_the_file(tree: Path) -> None:
    api.seal(write_model(tree, "a.weights.h5"), store="sidecar")
    assert models_of(["a.weights.h5.seal"]) == ["a.weights.h5"]


@pytest.mark.parametrize("end", [".sig", ".vsa.intoto.jsonl"])
@pytest.mark.parametrize("model", ["model.keras", "models/saved", "models/ckpt-1"])
def test_what_vouches_for_a_model_beside_it_stands_for_that(model: str, end: str) -> None:
    assert models_of([model + end]) == [model]


def test_the_signature_in_a_directory_stands_for_what_it_may_be_about() -> None:
    assert models_of(["models/saved/model.sig"]) == ["models/saved"]
    assert models_of(["model.sig"]) == ["model.keras"]
    assert models_of(["gone/model.sig"]) == []


def test_each_model_is_named_once() -> None:
    changed = ["models/saved/saved_model.pb", "models/saved/variables/variables.index"]
    assert models_of([*changed, "model.keras", "model.keras"]) == ["model.keras", "models/saved"]


def test_a_set_at_the_top_of_a_repository_is_found(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree / "models" / "saved")
    assert models_of(["saved_model.pb"]) == ["."]
