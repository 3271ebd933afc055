# SPDX-License-Identifier: Apache-2.0
"""What somebody with the rights of an administrator does to a log, and what a look at all of it
says of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from keras_integrity_hook.registry import merkle, notes, signed, whole
from keras_integrity_hook.registry.events import Recalled
from keras_integrity_hook.registry.merkle import Node
from keras_integrity_hook.registry.notes import Checkpoint
from keras_integrity_hook.registry.whole import Expected, Fault
from tests.support.logs import NOW, Log, Moment
from tests.support.registries import ORIGIN, Cast, promotion, registration

ONE = registration()
SIZE = 9


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Cast:
    return Cast(tmp_path_factory.mktemp("cast"))


@pytest.fixture
def log(cast: Cast) -> Log:
    log = Log(cast)
    log.add(ONE, "carol")
    log.add(promotion(ONE), "alice", "bob")
    log.add(Recalled("root", ONE.root, "poisoned"), "carol")
    while log.size < SIZE:
        log.add(registration(f"model {log.size}"), "carol")
    return log


def faults(moment: Moment, now: datetime = NOW, **known: object) -> tuple[Fault, ...]:
    expected = Expected(**known)  # type: ignore[arg-type]
    return whole.verify(moment, now, expected).faults


def kinds(found: tuple[Fault, ...]) -> set[str]:
    return {fault.what for fault in found}


def with_a_checkpoint_of_its_own(moment: Moment) -> Moment:
    """Whoever edits a database and has the service key, too, makes the rest fit."""
    leaves = [merkle.leaf_hash(entry) for entry in moment.entries_kept]
    checkpoint = Checkpoint(ORIGIN, len(leaves), merkle.root(leaves))
    moment.note = notes.sign_checkpoint(checkpoint, moment.log.key)
    moment.log.entries = list(moment.entries_kept)
    return moment


def test_an_untouched_log_is_clean(log: Log) -> None:
    report = whole.verify(Moment(log), NOW, Expected(log.registry_id, (log.checkpoint(4),)))
    assert (report.size, report.registry_id, report.faults) == (SIZE, log.registry_id, ())
    assert report.state == log.replay.state
    assert report.checkpoint == notes.unverified_checkpoint(log.checkpoint())


def test_progress_is_told(cast: Cast) -> None:
    told: list[int] = []
    whole.verify(Moment(Log(cast)), NOW, progress=told.append)
    assert told == [1]


def edited(entries: list[bytes]) -> None:
    honest = signed.decode(entries[2])
    event = signed.event_of(honest)._replace(nonce="0" * 32)
    entries[2] = signed.encode(honest._replace(payload=signed.payload_of(event)))


def deleted(entries: list[bytes]) -> None:
    del entries[3]


def reordered(entries: list[bytes]) -> None:
    entries[3], entries[4] = entries[4], entries[3]


def replayed(entries: list[bytes]) -> None:
    entries.append(entries[1])


def replaced_by_junk(entries: list[bytes]) -> None:
    entries[5] = b"junk"


@pytest.mark.parametrize("change", [edited, deleted, reordered, replayed, replaced_by_junk])
def test_entries_that_an_administrator_changed_are_found(
    log: Log, change: Callable[[list[bytes]], None]
) -> None:
    moment = Moment(log)
    change(moment.entries_kept)
    assert faults(moment)


@pytest.mark.parametrize(
    ("change", "position"), [(edited, 2), (replayed, SIZE), (replaced_by_junk, 5)]
)
def test_forged_entries_are_named_even_if_all_hashes_and_the_checkpoint_were_made_anew(
    log: Log, change: Callable[[list[bytes]], None], position: int
) -> None:
    moment = Moment(log)
    change(moment.entries_kept)
    found = faults(with_a_checkpoint_of_its_own(moment))
    assert kinds(found) == {"event"}
    assert position in {fault.position for fault in found}


@pytest.mark.parametrize("change", [deleted, reordered])
def test_a_past_that_was_rewritten_whole_is_a_fork_of_what_was_seen(
    log: Log, change: Callable[[list[bytes]], None]
) -> None:
    """Every entry is genuine and may stand where it stands: only a memory shows that others stood
    there."""
    seen, moment = log.checkpoint(), Moment(log)
    change(moment.entries_kept)
    with_a_checkpoint_of_its_own(moment)
    assert faults(moment) == ()
    assert kinds(faults(moment, seen=(seen,))) == {"fork"}


def test_a_log_that_lost_its_end_is_a_fork_of_what_was_seen(log: Log) -> None:
    (fault,) = faults(Moment(log.forked(5)), seen=(log.checkpoint(4), log.checkpoint()))
    assert (fault.what, fault.cause) == ("fork", "the log had 9 entries, and has 5 now")


def test_entries_that_the_checkpoint_has_and_the_log_has_not_are_missing(log: Log) -> None:
    moment = Moment(log)
    del moment.entries_kept[6:]
    found = faults(moment)
    assert ("entries", 6) in {(fault.what, fault.position) for fault in found}


def test_entries_after_the_checkpoint_are_told(log: Log) -> None:
    moment = Moment(log)
    moment.note = log.checkpoint(SIZE - 1)
    assert kinds(faults(moment)) == {"entries"}


@pytest.mark.parametrize("node", [Node(0, 8), Node(1, 2), Node(3, 0)])
def test_a_hash_that_is_kept_wrong_is_found(log: Log, node: Node) -> None:
    moment = Moment(log)
    moment.nodes_kept[node] = bytes(32)
    (fault,) = faults(moment)
    assert (fault.what, fault.position) == ("hash", node.number << node.level)


def test_a_checkpoint_of_other_entries_is_found(log: Log) -> None:
    moment = Moment(log)
    moment.note = notes.sign_checkpoint(Checkpoint(ORIGIN, SIZE, bytes(32)), log.key)
    assert kinds(faults(moment)) == {"root"}


def test_a_checkpoint_by_a_stranger_or_by_a_key_that_expired_is_found(log: Log) -> None:
    moment = Moment(log)
    moment.note = log.checkpoint().replace(b"\n\xe2", b"\n\xe2", 1)[:-3] + b"==\n"
    assert "checkpoint" in kinds(faults(moment)) or moment.note == log.checkpoint()
    assert kinds(faults(Moment(log), NOW + timedelta(days=100 * 365))) == {"checkpoint"}


def test_another_registry_is_not_this_one(log: Log) -> None:
    (fault,) = faults(Moment(log), registry_id="0" * 64)
    assert fault.what == "registry"


def test_a_log_without_a_beginning_is_of_no_registry(log: Log) -> None:
    moment = Moment(log)
    moment.entries_kept = moment.entries_kept[1:]
    assert {"event", "registry"} <= kinds(faults(with_a_checkpoint_of_its_own(moment)))


def test_records_that_say_something_else_than_the_log_are_told(log: Log) -> None:
    """A recall was taken out of the tables that look-ups read, and is still in the log."""

    def differences() -> Iterator[str]:
        yield "a recall is missing"

    assert faults(Moment(log), differences=differences) == (Fault("record", "a recall is missing"),)


def test_what_is_told_ends_somewhere(log: Log) -> None:
    moment = Moment(log)
    moment.entries_kept = [b"junk"] * 300
    assert len(faults(with_a_checkpoint_of_its_own(moment))) == 100
