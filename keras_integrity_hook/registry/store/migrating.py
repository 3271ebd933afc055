# SPDX-License-Identifier: Apache-2.0
"""Whether the tables are there and of this version; they are made and changed by Alembic.

Alembic is imported only where something is to be made or changed.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keras_integrity_hook.errors import RegistryError
from keras_integrity_hook.registry.store.database import Database

VERSION_TABLE = "registry_schema_version"  # MLflow's registry has one of the usual name
CURRENT = "1"
KNOWN = ("1",)
"""The versions of the tables that this package can bring up to date, and the current one."""


def no_registry(shown: str) -> RegistryError:
    return RegistryError(
        "there is no registry in this database",
        path=shown,
        remedy="'keras-integrity registry init' makes one. Otherwise look at the URL.",
    )


def see_to_tables(database: Database, *, create: bool, upgrade: bool) -> None:
    """Make the tables or bring them up to date, where that is wanted; check that they are.

    Raises:
        RegistryError: there are none, or they are of another version.
    """
    there = database.read(_version)
    if there == CURRENT:
        return
    if there is None and not create:
        raise no_registry(database.shown)
    if there is not None and there not in KNOWN:
        raise RegistryError(
            "the registry's tables are of a newer version of this package",
            path=database.shown,
            remedy="Update keras-integrity-hook here.",
        )
    if there is not None and not upgrade:
        raise RegistryError(
            "the registry's tables are of an older version of this package",
            path=database.shown,
            remedy="Back the database up, then start 'keras-integrity registry serve --upgrade'.",
        )
    database.write(_migrate)


def _version(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return None if found is None else str(found)


def _migrate(connection: Connection) -> None:
    """Under the lock of writers, and in their transaction: all is done, or nothing."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
    config.set_main_option("script_location", f"{__package__}:migrations")
    command.upgrade(config, "head")
