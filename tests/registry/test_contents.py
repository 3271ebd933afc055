# SPDX-License-Identifier: Apache-2.0
"""What a registration says of a model: all of it computed from its content."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook import api
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.errors import ChecksumMismatchError, RegistryError
from keras_integrity_hook.registry import contents, signed
from keras_integrity_hook.registry.events import Registered
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.state import ALGORITHMS
from keras_integrity_hook.sealing.statement import files_digest
from tests.support.models import archive_bytes, write_model


def registered(path: Path, **named: Any) -> Registered:
    with api.opened(path) as model:
        assert isinstance(model, SealedModel)
        return contents.registration(model, **{"name": "m", "version": "1", **named})


def sealed(path: Path, algorithm: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("KERAS_INTEGRITY_ALGORITHM", algorithm)
    kih.seal(path)
    seal = kih.inspect(path).seal
    assert seal is not None
    return seal.root


def test_digests_are_the_roots_that_seals_of_it_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whichever it is registered, it is known by all."""
    path = write_model(tmp_path, "model.keras")
    found = {}
    for algorithm in ALGORITHMS:
        root = sealed(path, algorithm, monkeypatch)
        one = registered(path)
        assert (one.root, one.algorithm, one.digests[algorithm]) == (root, algorithm, root)
        found[algorithm] = dict(one.digests)
        kih.unseal(path)
    assert found["sha256"] == found["sha512"] == found["blake2b"]
    assert set(ALGORITHMS) <= set(found["sha256"])


def test_the_statement_is_that_of_the_seal(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    kih.seal(path)
    with api.opened(path) as model:
        assert model.seal is not None
        payload, stated = model.seal.envelope.payload, model.seal.statement
    one = registered(path)
    assert one.statement == hashlib.sha256(payload).hexdigest()
    assert (one.size, one.container, one.files) == (stated.size, "keras-zip", "")


def test_files_of_a_set_are_told_by_names_and_sizes(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    with zipfile.ZipFile(io.BytesIO(archive_bytes())) as archive:
        archive.extractall(folder)
    kih.seal(folder)
    with api.opened(folder) as model:
        assert model.seal is not None
        members = model.seal.statement.files
    one = registered(folder)
    assert one.container == "keras-directory"
    assert one.files == files_digest(members)


def test_damaged_content_is_not_registered(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    kih.seal(path)
    path.write_bytes(path.read_bytes().replace(b"Sequential", b"Functional"))
    with pytest.raises(ChecksumMismatchError):
        registered(path)


def test_a_seal_that_says_much_still_fits_into_an_event(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    facts: dict[str, Any] = {f"fact{number}": "x" * 1000 for number in range(50)}
    with kih.provenance(**facts):
        kih.seal(path)
    one = registered(path)
    assert 0 < len(one.provenance) < 50
    made = SignedEvent(signed.payload_of(signed.new_event(one, "ab" * 32)))
    assert signed.decode(signed.encode(made)) == made


def test_a_model_without_a_name_needs_one(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    kih.seal(path)
    with pytest.raises(RegistryError, match="says no version"):
        registered(path, version=None)
