# SPDX-License-Identifier: Apache-2.0
"""Contracts in seals as released versions left them: every later build reads the same rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook import InputContract
from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.sealing import statement

VERSIONS = sorted((Path(__file__).parent.parent / "vectors" / "inputs").iterdir())


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_contracts_of_released_versions_are_read(version: Path, name: str) -> None:
    report = kih.verify(version / name)
    assert report.seal is not None
    written = json.loads((version / "contract.json").read_text())
    assert report.seal.inputs == written
    contract = InputContract.from_dict(written)
    assert contract.to_dict() == written
    assert (contract["image"].minimum, contract["image"].maximum) == (-0.5, 1e300)
    assert contract["code"].allowed == (-1, 0, 2**53, 2**64 - 1)
    with open_model(version / name) as model:
        assert model.seal is not None
        payload = model.seal.envelope.payload
    assert statement.encode(statement.decode(payload)) == payload
