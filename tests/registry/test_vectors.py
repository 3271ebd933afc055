# SPDX-License-Identifier: Apache-2.0
"""Registries of every version of their format that was released are read for ever.

Each is a mirror with an event of every type, signed with keys of every kind; they were thrown away.
Go's implementation (golang.org/x/mod/sumdb) read its checkpoints, tiles and entries as they are.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook.registry import merkle, mirrors, notes, signed, spelling, verdicts, whole
from keras_integrity_hook.registry.mirrors import MirroredLog
from keras_integrity_hook.registry.verdicts import Question, Verdict
from keras_integrity_hook.registry.whole import Expected

VERSIONS = sorted((Path(__file__).parent.parent / "vectors" / "registry").iterdir())


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def vector(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def expected(vector: Path) -> dict[str, Any]:
    stated: dict[str, Any] = json.loads((vector / "expected.json").read_text(encoding="utf-8"))
    return stated


def told(vector: Path, expected: dict[str, Any], what: str) -> Verdict:
    read, digest = mirrors.in_directory(str(vector)), expected["digests"][what]
    seen = (vector / "checkpoint-5").read_bytes()
    proof = MirroredLog(read).consistency(5)
    keys = (expected["recalled_key"],)
    question = Question(expected["registry_id"], (digest,), keys, seen, proof)
    return verdicts.verify(mirrors.answer(read, digest), question, at(expected))


def at(expected: dict[str, Any]) -> datetime:
    return datetime.strptime(expected["at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def test_the_log_is_clean_and_of_every_type_of_event(
    vector: Path, expected: dict[str, Any]
) -> None:
    log = MirroredLog(mirrors.in_directory(str(vector)))
    seen = (vector / "checkpoint-5").read_bytes()
    found = whole.verify(log, at(expected), Expected(expected["registry_id"], (seen,)))
    assert found.faults == ()
    events = [signed.event_of(signed.decode(entry)) for entry in log.entries(0, log.size())]
    assert {type(event.body) for event in events} == set(spelling.BODIES.values())


def test_the_answers_say_what_they_said(vector: Path, expected: dict[str, Any]) -> None:
    (there,) = told(vector, expected, "production").registrations
    assert (there.model, there.version) == ("modèle", "1.1rc1")
    assert sorted(there.stages) == ["production", "staging"]
    assert there.high_water == {"production": "1.1rc1", "staging": "1.1rc1"}
    restored = told(vector, expected, "restored")
    assert restored.registrations[0].stages == ()
    assert [recall.kind for recall in restored.recalls] == ["key"]
    recalls = told(vector, expected, "recalled").recalls
    assert ("root", "trained on the wrong data") in {(one.kind, one.reason) for one in recalls}
    assert told(vector, expected, "unknown").registrations == ()


def test_entries_and_checkpoints_are_spelt_as_they_were(
    vector: Path, expected: dict[str, Any]
) -> None:
    log = MirroredLog(mirrors.in_directory(str(vector)))
    entries = log.entries(0, log.size())
    assert [signed.encode(signed.decode(entry)) for entry in entries] == entries
    events = [signed.decode(entry) for entry in entries]
    assert [signed.payload_of(signed.event_of(one)) for one in events] == [
        one.payload for one in events
    ]
    first = signed.event_of(events[0]).body
    assert isinstance(first, spelling.BODIES["founded"])
    assert events[0].id == expected["registry_id"]
    checkpoint = notes.unverified_checkpoint(log.checkpoint())
    assert checkpoint.root == merkle.root([merkle.leaf_hash(entry) for entry in entries])
    assert checkpoint.origin == expected["origin"]
