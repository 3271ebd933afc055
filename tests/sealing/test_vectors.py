# SPDX-License-Identifier: Apache-2.0
"""Signed models as released versions left them: every later build has to believe the same people.

The private keys were thrown away when the vectors were made.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import keras_integrity_hook as kih

SIGNED = Path(__file__).parent.parent / "vectors" / "signed"
VERSIONS = sorted(SIGNED.iterdir())
IN_THE_SEAL = (
    "signed.keras",
    "signed.weights.h5",
    "directory",
    "shards.weights.json",
    "saved-model",
)


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def vectors(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    version: Path = request.param
    # As any checkout may be: a umask of 002 lets the group write, which trust files must not be.
    trust = home.parent / "trust.toml"
    trust.parent.mkdir(exist_ok=True)
    shutil.copyfile(version / "trust.toml", trust)
    trust.chmod(0o600)
    monkeypatch.setenv("KERAS_INTEGRITY_TRUST", str(trust))
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    return version


@pytest.mark.parametrize("name", IN_THE_SEAL)
def test_released_signatures_still_count(
    vectors: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_THRESHOLD", "2")
    monkeypatch.setenv("KERAS_INTEGRITY_MODEL", "vector")
    monkeypatch.setenv("KERAS_INTEGRITY_MINIMUM_VERSION", "1.2")
    report = kih.verify(vectors / name)
    assert (report.assurance, report.signers) == ("signed", ("ann", "bob"))
    assert report.seal is not None
    assert report.seal.datasets == {"train.csv": "sha256:" + "ab" * 32}
    monkeypatch.setenv("KERAS_INTEGRITY_THRESHOLD", "3")
    with pytest.raises(kih.NotSignedError):
        kih.verify(vectors / name)


def test_released_detached_signature_still_counts(
    vectors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = kih.verify(vectors / "detached.keras")
    assert (report.state, report.signers) == ("unsealed", ("bob",))
    monkeypatch.setenv("KERAS_INTEGRITY_SIGNERS", "ann")
    with pytest.raises(kih.NotSignedError):
        kih.verify(vectors / "detached.keras")
