# SPDX-License-Identifier: Apache-2.0
"""A registry in a database as a whole: seen at one moment, exported, and verified after somebody
with the rights of an administrator wrote its tables by hand."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from keras_integrity_hook.errors import RegistryError
from keras_integrity_hook.registry import export, mirrors, verdicts, whole
from keras_integrity_hook.registry.events import Body, Recalled, Withdrawn
from keras_integrity_hook.registry.store import open_store
from keras_integrity_hook.registry.verdicts import Question, Verdict
from keras_integrity_hook.registry.whole import Expected
from tests.support.registries import promotion, registration
from tests.support.stores import Copy, Kept

ONE, TWO, LAST = (registration(version=version) for version in ("1.0", "2.0", "3.0"))
STAGED = registration("staged")
BOTH = ("alice", "bob")
KEY = "f" * 64


@pytest.fixture
def filled(copy: Copy) -> Kept:
    """A registry with all that can be in one."""
    return copy("whole", fill)


def fill(kept: Kept) -> None:
    left = Withdrawn(STAGED.model, STAGED.version, STAGED.root, "staging")
    bodies: list[tuple[Body, tuple[str, ...]]] = [
        *((body, ("carol",)) for body in (ONE, TWO, LAST, STAGED)),
        *((promotion(ONE), BOTH), (promotion(TWO, exclusive=True), BOTH)),
        *((promotion(STAGED, "staging"), ("carol",)), (left, ("carol",))),
        (Recalled("root", LAST.digests["sha512"], "poisoned"), ("carol",)),
        (Recalled("key", KEY, "stolen"), ("carol",)),
    ]
    kept.append(*(kept.cast.signed(body, *names) for body, names in bodies))


def report(kept: Kept) -> whole.Report:
    expected = Expected(kept.cast.registry, (), kept.store.differences)
    return whole.verify(kept.store, datetime.now(UTC), expected)


def write(kept: Kept, *statements: str) -> None:
    """What an administrator does, who can take triggers off."""
    engine = sa.create_engine(kept.url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def unguarded(kept: Kept, table: str) -> list[str]:
    """How the triggers of a table of the log are taken off."""
    if not kept.is_sqlite:
        return [f"ALTER TABLE {table} DISABLE TRIGGER ALL"]
    names = sqlite3.connect(kept.url.removeprefix("sqlite:///")).execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", (table,)
    )
    return [f"DROP TRIGGER {name}" for (name,) in names]


def test_a_registry_that_nobody_touched_is_clean(filled: Kept) -> None:
    found = report(filled)
    assert (found.size, found.registry_id, found.faults) == (11, filled.cast.registry, ())


def test_a_snapshot_is_of_one_moment(filled: Kept) -> None:
    with filled.store.snapshot() as moment:
        before = moment.checkpoint()
        filled.add(registration("late"), "carol")
        assert filled.store.size() == 12
        assert (moment.size(), moment.checkpoint()) == (11, before)
        assert moment.model("late") is None
        assert moment.answer((ONE.root,)).checkpoint == before
        with moment.snapshot() as same:
            assert same.checkpoint() == before
        with pytest.raises(RegistryError, match="as it was"):
            moment.rebuild()
    assert filled.store.model("late")


def test_what_was_recalled_and_seen_is_told_by_a_mirror_as_by_the_database(
    filled: Kept, tmp_path: Path
) -> None:
    mirror, now = tmp_path / "mirror", datetime.now(UTC).replace(microsecond=0)
    with filled.store.snapshot() as moment:
        filled.add(registration("late"), "carol")
        done = export.export(moment, str(mirror), filled.key, now, now + timedelta(days=1))
    assert (done.size, done.digests) == (11, 12)
    read = mirrors.in_directory(str(mirror))
    for body in (ONE, TWO, LAST, STAGED):
        for digest in body.digests.values():
            question = Question(filled.cast.registry, (digest,), (KEY,))
            mirrored = verdicts.verify(mirrors.answer(read, digest), question, now)
            direct = by_the_database(filled, question, now)
            assert mirrored.registrations == direct.registrations
            assert mirrored.recalls == direct.recalls
            assert bool(mirrored.recalls[1:]) == (body is LAST)
    assert whole.verify(mirrors.MirroredLog(read), now).faults == ()


def by_the_database(kept: Kept, question: Question, now: datetime) -> Verdict:
    answer = kept.store.answer(question.digests, keys=question.keys)
    return verdicts.verify(answer, question._replace(needs_freshness=False), now)


# Each is undone by ``rebuild``: they are tables of the state.
EDITS = [
    "DELETE FROM registry_recalls WHERE kind = 'key'",
    "DELETE FROM registry_recalls WHERE kind = 'root'",
    "DELETE FROM registry_mentions",
    "UPDATE registry_keys SET recalls = '[]'",
    "DELETE FROM registry_keys",
    f"UPDATE registry_contents SET record = replace(record, '{LAST.root}', '{ONE.root}')",
    "UPDATE registry_contents SET number = number + 100",
    "DELETE FROM registry_digests",
    "UPDATE registry_digests SET content = 1",
    "UPDATE registry_models SET stages = replace(stages, '2.0', '1.0')",
    "UPDATE registry_models SET highest = '9'",
    "UPDATE registry_versions SET registered = 1",
    "UPDATE registry_versions SET signers = '[\"alice\"]'",
    "DELETE FROM registry_subjects",
    "UPDATE registry_registry SET changes = '[]'",
    "UPDATE registry_registry SET origin = 'evil.example'",
    "INSERT INTO registry_recalls (position, kind, target) VALUES (1, 'key', 'ff')",
]


def test_a_table_that_look_ups_read_and_somebody_wrote_is_found_and_mended(filled: Kept) -> None:
    for statement in EDITS:
        write(filled, statement)
        first, *_ = list(filled.store.differences())
        table = statement.partition("registry_")[2].split(maxsplit=1)[0]
        assert f"registry_{table}" in first, statement
        filled.store.rebuild()
    assert list(filled.store.differences()) == []
    write(filled, EDITS[0])
    assert {fault.what for fault in report(filled).faults} == {"record"}


LOG_EDITS = [
    ("entries", "DELETE FROM registry_entries WHERE position = 10", "entries"),
    ("entries", "DELETE FROM registry_entries WHERE position = 4", "entries"),
    ("entries", "UPDATE registry_entries SET encoded = 'x' WHERE position = 4", "event"),
    ("nodes", "UPDATE registry_nodes SET hash = {zeros} WHERE number = 3", "hash"),
    ("nodes", "DELETE FROM registry_nodes WHERE number = 3", "hash"),
    ("checkpoints", "DELETE FROM registry_checkpoints WHERE size > 5", "record"),
    ("entries", "UPDATE registry_entries SET event = {zeros} WHERE position = 9", "record"),
]


def test_a_log_that_somebody_wrote_is_found(filled: Kept, tmp_path: Path) -> None:
    """In SQLite each edit of a copy; in PostgreSQL one, which goes through the same readers."""
    zeros = "zeroblob(32)" if filled.is_sqlite else f"decode('{'00' * 32}', 'hex')"
    filled.store.close()
    original = filled.url.removeprefix("sqlite:///")
    for number, (table, statement, what) in enumerate(
        LOG_EDITS if filled.is_sqlite else LOG_EDITS[3:4]
    ):
        if filled.is_sqlite:
            copy = tmp_path / f"{number}.db"
            shutil.copy(original, copy)
            filled.url = f"sqlite:///{copy}"
            filled.store = open_store(filled.url)
        write(filled, *unguarded(filled, f"registry_{table}"), statement.format(zeros=zeros))
        assert what in {fault.what for fault in report(filled).faults}, statement
        filled.store.close()


def test_what_follows_is_the_same_made_anew_or_event_by_event(filled: Kept) -> None:
    assert list(filled.store.differences()) == []
    filled.store.rebuild()
    assert list(filled.store.differences()) == []
