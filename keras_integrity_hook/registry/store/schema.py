# SPDX-License-Identifier: Apache-2.0
"""The tables. Three are the log, and only ever grow; the rest is made from it and can be made anew.

Migrations make them (``migrations/``); a test asks that both agree.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects import sqlite

# SQLite numbers rows by a column of exactly this type, and so needs no index for it.
_NUMBER = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")

METADATA = MetaData()

# The log.

ENTRIES = Table(
    "registry_entries",
    METADATA,
    Column("position", _NUMBER, primary_key=True, autoincrement=False),
    Column("event", LargeBinary, nullable=False, unique=True),  # its id: SHA-256 of the payload
    Column("encoded", LargeBinary, nullable=False),
)
NODES = Table(
    "registry_nodes",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)
CHECKPOINTS = Table(
    "registry_checkpoints",
    METADATA,
    Column("size", _NUMBER, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
)
LOG = (ENTRIES, NODES, CHECKPOINTS)

# The records of ``registry.records``. What an event says stands in the log alone.

REGISTRY = Table(
    "registry_registry",
    METADATA,
    Column("id", LargeBinary, primary_key=True),
    Column("origin", Text, nullable=False),
    Column("changes", Text, nullable=False),  # JSON: where roles were set, the first time included
)
MODELS = Table(
    "registry_models",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("stages", Text, nullable=False),  # JSON
    Column("highest", Text, nullable=False),
    Column("versions", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),  # the last event about it,
    Column("time", Text, nullable=False),  # and when that was signed
)
VERSIONS = Table(
    "registry_versions",
    METADATA,
    Column("model", Text, primary_key=True),
    Column("version", Text, primary_key=True),  # as ``versions.same`` spells it
    Column("registered", BigInteger, nullable=False),  # the event
    Column("signers", Text, nullable=False),  # JSON
    Index("registry_versions_by_event", "model", "registered"),
)
CONTENTS = Table(
    "registry_contents",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=False),  # its first event
    Column("record", Text, nullable=False),  # JSON
)
DIGESTS = Table(
    "registry_digests",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("content", BigInteger, nullable=False),
)
KEYS = Table(
    "registry_keys",
    METADATA,
    Column("keyid", Text, primary_key=True),
    Column("recalls", Text, nullable=False),  # JSON
)
# For lists and pages.

SUBJECTS = Table(
    "registry_subjects",
    METADATA,
    Column("model", Text, primary_key=True),
    Column("version", Text, primary_key=True),  # as ``versions.same`` spells it
    Column("position", BigInteger, primary_key=True),  # of an event about it
    Index("registry_subjects_by_model", "model", "position"),
)
MENTIONS = Table(
    "registry_mentions",
    METADATA,
    Column("target", Text, primary_key=True),  # a digest or a key id of a recall or its end
    Column("position", BigInteger, primary_key=True),
)
RECALLS = Table(
    "registry_recalls",
    METADATA,
    Column("position", _NUMBER, primary_key=True, autoincrement=False),  # those in force
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),
)
STATE = (
    REGISTRY,
    MODELS,
    VERSIONS,
    CONTENTS,
    DIGESTS,
    KEYS,
    SUBJECTS,
    MENTIONS,
    RECALLS,
)
