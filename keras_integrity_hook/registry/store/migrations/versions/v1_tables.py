# SPDX-License-Identifier: Apache-2.0
"""The first tables: the log, which only grows at its end, and the state that follows from it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "1"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
_LOG = {
    "registry_entries": "position",
    "registry_nodes": "number",
    "registry_checkpoints": "size",
}


def upgrade() -> None:
    """Make all tables."""
    _make_log()
    _make_records()
    _make_lists()
    for table, key in _LOG.items():
        if op.get_bind().dialect.name == "sqlite":
            _guard_in_sqlite(table, key)
        else:
            _guard_in_postgresql(table, key)


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, _NUMBER, primary_key=True, autoincrement=False)


def _make_log() -> None:
    op.create_table(
        "registry_entries",
        _key("position"),
        sa.Column("event", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("encoded", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "registry_nodes", _key("number"), sa.Column("hash", sa.LargeBinary(), nullable=False)
    )
    op.create_table(
        "registry_checkpoints", _key("size"), sa.Column("note", sa.Text(), nullable=False)
    )


def _make_records() -> None:
    op.create_table(
        "registry_registry",
        sa.Column("id", sa.LargeBinary(), primary_key=True),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("changes", sa.Text(), nullable=False),
    )
    op.create_table(
        "registry_models",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("stages", sa.Text(), nullable=False),
        sa.Column("highest", sa.Text(), nullable=False),
        sa.Column("versions", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.Text(), nullable=False),
    )
    op.create_table(
        "registry_versions",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("version", sa.Text(), primary_key=True),
        sa.Column("registered", sa.BigInteger(), nullable=False),
        sa.Column("signers", sa.Text(), nullable=False),
    )
    op.create_index("registry_versions_by_event", "registry_versions", ["model", "registered"])
    op.create_table(
        "registry_contents", _key("number"), sa.Column("record", sa.Text(), nullable=False)
    )
    op.create_table(
        "registry_digests",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("content", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "registry_keys",
        sa.Column("keyid", sa.Text(), primary_key=True),
        sa.Column("recalls", sa.Text(), nullable=False),
    )


def _make_lists() -> None:
    op.create_table(
        "registry_subjects",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("version", sa.Text(), primary_key=True),
        sa.Column("position", sa.BigInteger(), primary_key=True),
    )
    op.create_index("registry_subjects_by_model", "registry_subjects", ["model", "position"])
    op.create_table(
        "registry_mentions",
        sa.Column("target", sa.Text(), primary_key=True),
        sa.Column("position", sa.BigInteger(), primary_key=True),
    )
    op.create_table(
        "registry_recalls",
        _key("position"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
    )


def _guard_in_sqlite(table: str, key: str) -> None:
    """Refuse what is not an INSERT at the end. REPLACE deletes without asking a trigger that is
    there for DELETE, and is refused as an INSERT that is not at the end."""
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, 'the log of a registry only grows'); END"
        )
    op.execute(
        f"CREATE TRIGGER {table}_at_end BEFORE INSERT ON {table} "
        f"WHEN NEW.{key} <= (SELECT max({key}) FROM {table}) "
        f"BEGIN SELECT RAISE(ABORT, 'the log of a registry only grows at its end'); END"
    )


def _guard_in_postgresql(table: str, key: str) -> None:
    """As in SQLite; and TRUNCATE, which asks no trigger for DELETE either."""
    op.execute(
        f"CREATE FUNCTION {table}_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'INSERT' THEN "
        f"IF NEW.{key} <= (SELECT max({key}) FROM {table}) THEN "
        f"RAISE EXCEPTION 'the log of a registry only grows at its end'; END IF; RETURN NEW; "
        f"END IF; RAISE EXCEPTION 'the log of a registry only grows'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_rows BEFORE INSERT OR UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_only_grows()"
    )
    op.execute(
        f"CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_only_grows()"
    )
