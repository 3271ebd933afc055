# SPDX-License-Identifier: Apache-2.0
"""Models, what a load asks of their signatures, and how it then reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from keras_integrity_hook import detached
from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.model_file import ModelFile
from keras_integrity_hook.containers.opening import open_model, open_set
from keras_integrity_hook.detached import full_check, sign
from keras_integrity_hook.detached.vouching import Attestation
from keras_integrity_hook.signing import trust_store
from keras_integrity_hook.verification import holding
from keras_integrity_hook.verification.verified_directory import VerifiedDirectory
from keras_integrity_hook.verification.verified_file import VerifiedFile
from tests.detached.bundles import Key

NAMES = ("model.keras", "model.weights.h5", "directory", "saved-model")
SETS = {"directory": "config.json", "saved-model": "saved_model.pb"}


def opened(path: Path) -> ModelFile:
    place = recognition.recognise(str(path))
    return open_model(path) if place is None else open_set(str(path), place, hold=True)


def attested(path: Path) -> Attestation:
    """What a load asks of the signature beside the model; then all of it, read as a load does."""
    with opened(path) as model:
        found = detached.attestation_for(model, at=datetime.now(UTC), machine_only=False)
        assert found is not None
        served(model, found)
        return found


def served(model: ModelFile, found: Attestation) -> bytes:
    """The bytes that a loader gets of an attested model."""
    verified = holding.verify(model.with_seal(found.seal, found.content))
    if model.files is None:
        with VerifiedFile.of(verified) as file:
            return file.read()
    directory = VerifiedDirectory(verified)
    try:
        return b"".join(Path(directory.path, name).read_bytes() for name in directory.names)
    finally:
        directory.close()


def signed(path: Path, by: Key) -> Path:
    return Path(sign.sign(str(path), str(by.private)).bundle)


def reviewed(path: Path, where: Path | None = None) -> full_check.FullCheck:
    given = None if where is None else str(where)
    return full_check.check_all(str(path), trust_store.store(), datetime.now(UTC), bundle=given)


def spoil(path: Path) -> None:
    """Change one byte in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
