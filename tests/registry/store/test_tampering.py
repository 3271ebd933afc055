# SPDX-License-Identifier: Apache-2.0
"""A database administrator can do what he likes; whoever reads the log notices."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keras_integrity_hook.errors import (
    MalformedEventError,
    RegistryError,
    RegistryForkError,
    RegistryUnavailableError,
)
from keras_integrity_hook.registry import signed, whole
from keras_integrity_hook.registry.events import Recalled
from keras_integrity_hook.registry.merkle import Node
from keras_integrity_hook.registry.store import Store, open_store
from keras_integrity_hook.registry.verdicts import Question, Verdict, verify
from tests.support.logs import NOW
from tests.support.registries import promotion, registration
from tests.support.stores import Copy, Kept

ONE, TWO, THREE = (registration(version=version) for version in ("1", "2", "3"))
LOG = ("registry_entries", "registry_nodes", "registry_checkpoints")


@pytest.fixture
def full(copy: Copy) -> Kept:
    """Three versions, one of them in production, another recalled."""
    return copy("tampering", fill)


def fill(kept: Kept) -> None:
    for body in (ONE, TWO, THREE):
        kept.add(body, "carol")
    kept.add(promotion(TWO), "alice", "bob")
    kept.add(Recalled("root", THREE.root, "bad"), "carol")


@contextlib.contextmanager
def administrator(kept: Kept, *, guarded: bool = False) -> Iterator[Connection]:
    """A connection of the tables' owner, who has taken the triggers away unless ``guarded``."""
    engine = sa.create_engine(kept.url)
    with contextlib.ExitStack() as stack:
        stack.callback(engine.dispose)
        connection = stack.enter_context(engine.begin())
        if not guarded and kept.is_sqlite:
            names = connection.execute(
                sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            )
            for (name,) in names.all():
                connection.execute(sa.text(f"DROP TRIGGER {name}"))
        elif not guarded:
            for table in LOG:
                connection.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        yield connection


def do(kept: Kept, statement: str, **values: Any) -> None:
    with administrator(kept) as connection:
        connection.execute(sa.text(statement), values)


def faults(kept: Kept, *seen: bytes) -> set[str]:
    """What a look at the whole log finds, by a process that was not there before."""
    with open_store(kept.url) as store:
        expected = whole.Expected(kept.cast.registry, seen, store.differences)
        return {fault.what for fault in whole.verify(store, NOW, expected).faults}


def asked_anew(kept: Kept, root: str) -> Verdict:
    """As :func:`asked`, by a process that was not there before."""
    with open_store(kept.url) as store:
        return asked(store, root)


def asked(store: Store, root: str, seen: bytes = b"", since: int = 0) -> Verdict:
    answer = store.answer([root], since=since)
    question = Question(store.registry_id(), (root,), seen=seen, needs_freshness=False)
    return verify(answer, question, NOW)


@pytest.mark.parametrize("action", ["UPDATE", "DELETE", "TRUNCATE", "REPLACE", "INSERT"])
def test_the_log_can_only_be_added_to(full: Kept, action: str) -> None:
    before = [one.encoded for one in full.store.whole_log()]
    for table in LOG:
        with (
            pytest.raises(sa.exc.DBAPIError, match="the log of a registry only grows"),
            administrator(full, guarded=True) as connection,
        ):
            connection.execute(sa.text(changing(table, action, is_sqlite=full.is_sqlite)))
    assert [one.encoded for one in full.store.whole_log()] == before
    assert faults(full) == set()


def changing(table: str, action: str, *, is_sqlite: bool) -> str:
    """REPLACE of SQLite deletes without asking who guards against that."""
    key = {"entries": "position", "nodes": "number", "checkpoints": "size"}[table[9:]]
    other = "note" if table.endswith("checkpoints") else "hash" if table.endswith("nodes") else ""
    columns = f"{key}, {other}" if other else "position, event, encoded"
    again = f"INTO {table} ({columns}) SELECT {columns} FROM {table} WHERE {key} = 1"
    below = f"INTO {table} ({columns}) SELECT {columns.replace(key, '-1', 1)} FROM {table}"
    return {
        "UPDATE": f"UPDATE {table} SET {key} = {key} + 1000",
        "DELETE": f"DELETE FROM {table} WHERE {key} = 1",
        "TRUNCATE": f"DELETE FROM {table}" if is_sqlite else f"TRUNCATE {table}",
        "REPLACE": f"INSERT OR REPLACE {again}"
        if is_sqlite
        else f"INSERT {again} ON CONFLICT ({key}) DO UPDATE SET {key} = 1000",
        "INSERT": f"INSERT {below} WHERE {key} = 1",
    }[action]


def test_an_edited_entry_is_found_by_verify_and_by_whoever_asks_for_it(full: Kept) -> None:
    forged = full.cast.signed(ONE._replace(root="ab" * 32), "dave")
    do(
        full,
        "UPDATE registry_entries SET encoded = :new WHERE position = 1",
        new=signed.encode(forged),
    )
    assert {"event", "hash", "root"} <= faults(full)
    with pytest.raises(MalformedEventError):
        asked_anew(full, ONE.root)
    assert asked_anew(full, TWO.root).registrations[0].stages == ("production",)


def test_deleted_entries_are_found_by_verify_and_by_whoever_asks_for_them(full: Kept) -> None:
    do(full, "DELETE FROM registry_entries WHERE position = 2")
    assert "entries" in faults(full)
    with pytest.raises(RegistryError, match="no entry 2"):
        asked_anew(full, TWO.root)


def test_reordered_entries_are_found_by_verify_and_by_whoever_asks_for_them(full: Kept) -> None:
    with administrator(full) as connection:
        for old, new in ((1, 100), (2, 1), (100, 2)):
            move = "UPDATE registry_entries SET position = :new WHERE position = :old"
            connection.execute(sa.text(move), {"old": old, "new": new})
    assert {"hash", "root"} <= faults(full)
    for body in (ONE, TWO):
        with pytest.raises((MalformedEventError, RegistryError)):
            asked_anew(full, body.root)


def test_a_log_that_forgets_its_last_entries_is_a_fork_to_whoever_saw_them(full: Kept) -> None:
    """Entries, hashes, checkpoint and state: all as it was before the recall."""
    seen = full.store.checkpoint()
    with administrator(full) as connection:
        for table, key, first in zip(LOG, ("position", "number", "size"), (5, 8, 6), strict=True):
            connection.execute(sa.text(f"DELETE FROM {table} WHERE {key} >= {first}"))
    with open_store(full.url) as store:
        assert store.rebuild() == 5
        assert asked(store, THREE.root).recalls == ()
        with pytest.raises(RegistryForkError):
            asked(store, THREE.root, seen, since=6)
    assert faults(full, seen) == {"fork"}
    # The service's key is honest, and goes on: the fork stays one.
    full.store.close()
    full.store = open_store(full.url)
    full.add(registration("other"), "carol")
    assert faults(full, seen) == {"fork"}
    with pytest.raises(RegistryForkError):
        asked(full.store, THREE.root, seen, since=6)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM registry_recalls",
        "DELETE FROM registry_mentions",
        "UPDATE registry_models SET stages = '{}'",
        "UPDATE registry_versions SET signers = '[\"alice\"]'",
        "UPDATE registry_contents SET record = replace(record, 'bad', 'good')",
        "DELETE FROM registry_digests",
        "DELETE FROM registry_subjects WHERE position = 4",
        "INSERT INTO registry_keys (keyid, recalls) VALUES ('ab', '[]')",
        "UPDATE registry_registry SET origin = 'elsewhere.example.com'",
    ],
)
def test_an_edited_state_is_found_by_verify_and_made_anew_from_the_log(
    full: Kept, statement: str
) -> None:
    do(full, statement)
    with open_store(full.url) as store:
        assert list(store.differences()) != []
    assert faults(full) == {"record"}
    assert full.store.rebuild() == 6
    assert faults(full) == set()


def test_no_key_is_put_under_a_log_that_was_altered(full: Kept) -> None:
    nodes = "UPDATE registry_nodes SET hash = :new WHERE number >= 5"
    do(full, nodes, new=b"\1" * 32)
    with open_store(full.url) as other, pytest.raises(RegistryError, match="not the one that"):
        other.append(full.cast.signed(registration("x"), "carol"), service_key=full.key, now=NOW)


def test_no_key_is_put_under_a_checkpoint_of_somebody_else(full: Kept) -> None:
    do(full, "UPDATE registry_checkpoints SET note = replace(note, 'registry', 'registrx')")
    with open_store(full.url) as other, pytest.raises(RegistryError, match="not the registry's"):
        other.append(full.cast.signed(registration("x"), "carol"), service_key=full.key, now=NOW)


READS: tuple[Callable[[Store], object], ...] = (
    lambda store: store.answer([ONE.root]),
    lambda store: store.model("classifier"),
    lambda store: store.versions("classifier"),
    lambda store: store.recalls(),
    lambda store: store.roles(),
    lambda store: store.checkpoint(),
    lambda store: store.events(),
    lambda store: store.nodes([Node(0, 0)]),
)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("entries", "encoded"),
        ("nodes", "hash"),
        ("checkpoints", "note"),
        ("registry", "changes"),
        ("models", "stages"),
        ("versions", "signers"),
        ("contents", "record"),
    ],
)
def test_what_is_no_row_of_a_registry_is_one_typed_error(
    full: Kept, table: str, column: str
) -> None:
    statement = f"UPDATE registry_{table} SET {column} = :new"
    is_bytes = column in ("encoded", "hash")
    for value in ("", "{", '{"a":[1]}', "[[1]]", "[" * 5000):
        do(full, statement, new=value.encode() if is_bytes else value)
        with open_store(full.url) as store:
            for read in READS:
                with contextlib.suppress(RegistryError):
                    read(store)


def test_an_entry_that_is_too_long_is_not_read(full: Kept) -> None:
    do(full, "UPDATE registry_entries SET encoded = :new WHERE position = 1", new=b"x" * 70_000)
    with open_store(full.url) as store:
        with pytest.raises(RegistryError, match="no entry 1"):
            store.entry(1)
        assert [one.position for one in store.events()] == [5, 4, 3, 2, 0]


def test_a_table_that_never_ends_is_given_up(full: Kept) -> None:
    endless = (
        "CREATE VIEW registry_models AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
        "SELECT i + 1 FROM n) SELECT 'm' || i AS name, '' AS stages, '' AS highest, 0 AS versions, "
        "0 AS changed, '' AS time FROM n"
    )
    with administrator(full) as connection:
        connection.execute(sa.text("DROP TABLE registry_models"))
        connection.execute(sa.text(endless))
    with open_store(full.url, timeout=0.5) as store, pytest.raises(RegistryUnavailableError):
        store.model("classifier")
