# SPDX-License-Identifier: Apache-2.0
"""From a URL to a registry: what is opened, what is made, and what is refused."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from keras_integrity_hook.errors import RegistryError, RegistryUnavailableError
from keras_integrity_hook.registry.store import migrating, open_store
from keras_integrity_hook.registry.store.schema import METADATA
from tests.support.registries import Cast, registration
from tests.support.stores import Kept


@pytest.mark.parametrize(
    "url",
    [
        *("", "registry.db", "sqlite://", "sqlite:///:memory:", "sqlite:///x.db?mode=memory"),
        *("sqlite:///a\0b", "mysql://host/name", "https://host/x", "postgresql+asyncpg://h/name"),
    ],
)
def test_what_names_no_database_that_is_supported_is_refused(url: str) -> None:
    with pytest.raises(RegistryError) as caught:
        open_store(url, create=True)
    assert "sqlite:///" in caught.value.remedy()


def test_nothing_is_made_where_nobody_asked_for_it(tmp_path: Path) -> None:
    path = tmp_path / "missing.db"
    with pytest.raises(RegistryError, match="there is no registry"):
        open_store(f"sqlite:///{path}")
    assert not path.exists()
    path.touch()
    with pytest.raises(RegistryError, match="there is no registry"):
        open_store(f"sqlite:///{path}")
    assert path.read_bytes() == b""


def test_a_database_of_somebody_else_is_no_registry(url: str, cast: Cast) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num TEXT)"))
    engine.dispose()
    with pytest.raises(RegistryError, match="there is no registry"):
        open_store(url)
    # Both can be in one database: neither table is the other's.
    with Kept(url, cast).store as store:
        assert store.size() == 0


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK\3\4" + bytes(4000))
    for create in (False, True):
        with pytest.raises(RegistryError):
            open_store(f"sqlite:///{path}", create=create)
    assert path.read_bytes() == b"PK\3\4" + bytes(4000)


@pytest.mark.parametrize("suffix", ["", "-journal", "-wal", "-shm"])
def test_fifo_in_the_place_of_a_file_of_sqlites_is_not_waited_for(
    tmp_path: Path, cast: Cast, suffix: str
) -> None:
    """Whoever may write the folder could keep an administrator's command waiting for ever."""
    path = tmp_path / "registry.db"
    Kept(f"sqlite:///{path}", cast).store.close()
    place = Path(f"{path}{suffix}")
    place.unlink(missing_ok=True)
    os.mkfifo(place, 0o444)
    with pytest.raises(RegistryError, match="not a regular file"):
        open_store(f"sqlite:///{path}")


def test_the_tables_are_those_that_the_migrations_make(url: str, cast: Cast) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    Kept(url, cast).store.close()
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        options = {"version_table": migrating.VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_tables_of_another_version_are_refused_with_what_to_do(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = sa.create_engine(kept.url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {migrating.VERSION_TABLE} SET version_num = '99'"))
    with pytest.raises(RegistryError, match="newer version") as caught:
        open_store(kept.url, upgrade=True)
    assert "Update" in caught.value.remedy()
    monkeypatch.setattr(migrating, "KNOWN", ("99", "1"))
    with pytest.raises(RegistryError, match="older version") as caught:
        open_store(kept.url)
    assert "registry serve --upgrade" in caught.value.remedy()
    engine.dispose()


def test_no_password_is_told(postgres: Any) -> None:
    url = f"postgresql+psycopg://{postgres.user}:hush@/missing?host={postgres.socket}"
    with pytest.raises(RegistryUnavailableError) as caught:
        open_store(url, timeout=2)
    assert "hush" not in f"{caught.value!s}{caught.value!r}{caught.value.path}"


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://nobody@/name?host={tmp_path}"
    with pytest.raises(RegistryUnavailableError):
        open_store(url, timeout=2)


def test_a_connection_that_the_server_ended_is_replaced(postgres: Any, cast: Cast) -> None:
    """As after a restart of the server; neither a reader nor a writer is told."""
    name = f"registry-{secrets.token_hex(6)}"
    kept = Kept(postgres.new_database(name), cast)
    end = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'"
    with kept.store as store:
        kept.found()
        assert int(postgres.run(end)) > 0
        assert store.size() == 1
        assert int(postgres.run(end)) > 0
        kept.add(registration(), "carol")
        assert store.size() == 2


def test_a_writer_that_holds_the_lock_is_not_waited_for_for_ever(kept: Kept) -> None:
    engine = sa.create_engine(kept.url)
    with engine.connect() as other:
        if kept.is_sqlite:
            other.execute(sa.text("UPDATE registry_models SET changed = changed"))
        else:
            other.execute(
                sa.text(
                    "SELECT pg_advisory_xact_lock("
                    "hashtextextended('keras-integrity ' || current_schema(), 0))"
                )
            )
        with open_store(kept.url, timeout=0.2) as store:
            event = kept.cast.signed(registration(), "carol")
            with pytest.raises(RegistryUnavailableError):
                store.append(event, service_key=kept.key, now=datetime.now(UTC))
        with open_store(kept.url) as store:
            assert store.size() == 1  # readers wait for nobody
        other.rollback()
    engine.dispose()
    assert kept.append(event).position == 1


def test_a_forked_process_has_connections_of_its_own(kept: Kept) -> None:
    kept.add(registration(), "carol")
    fork = multiprocessing.get_context("fork")
    sizes = fork.SimpleQueue()
    children = [fork.Process(target=lambda: sizes.put(kept.store.size())) for _ in range(3)]
    for child in children:
        child.start()
    found = [kept.store.size(), *(sizes.get() for _ in children)]
    for child in children:
        child.join()
    assert found == [2] * 4


def test_a_reader_who_may_not_write_reads(cast: Cast, public_folder: Path) -> None:
    """The file is another user's, and so is its directory: where no writer is there meanwhile, too,
    whose files beside it SQLite would want to write."""
    if os.getuid() != 0:
        pytest.skip("needs a second user")
    path = public_folder / "registry.db"
    kept = Kept(f"sqlite:///{path}", cast)
    kept.found()
    kept.add(registration(), "carol")
    code = (
        "import os, sys\n"
        "from keras_integrity_hook.registry.store import open_store, opening\n"
        "os.setuid(65534)\n"
        "with open_store(sys.argv[1]) as store: print(store.size())"
    )
    path.chmod(0o644)
    for state in ("open", "closed"):
        done = subprocess.run(
            [sys.executable, "-c", code, kept.url], capture_output=True, text=True, check=False
        )
        assert (state, done.stdout, done.stderr) == (state, "2\n", "")
        kept.store.close()


def test_without_the_extra_it_is_said_what_to_install(tmp_path: Path) -> None:
    """In a process that has no SQLAlchemy, as after an installation without extras."""
    code = f"""
import sys
sys.modules["sqlalchemy"] = None
from keras_integrity_hook.errors import RegistryError
from keras_integrity_hook.registry.store import open_store
try:
    open_store("sqlite:///{tmp_path}/registry.db", create=True)
except RegistryError as error:
    print(error.cause, error.remedy())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs sqlalchemy" in run.stdout
    assert "extra 'registry' brings: pip install 'sqlalchemy>=2'" in run.stdout
