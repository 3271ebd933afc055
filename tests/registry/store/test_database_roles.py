# SPDX-License-Identifier: Apache-2.0
"""The roles that docs/registry.md makes in PostgreSQL can do what they are for, and no more."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from keras_integrity_hook.errors import RegistryError
from keras_integrity_hook.registry.events import Recalled
from keras_integrity_hook.registry.store import Store, open_store
from keras_integrity_hook.signing import signers
from tests.support.documents import blocks, pages
from tests.support.postgres import Server
from tests.support.registries import Cast, promotion, registration

pytestmark = pytest.mark.skipif(not pages(), reason="the docs are not beside the tests")

LOG = ("registry_entries", "registry_nodes", "registry_checkpoints")
CHURN = registration("churn", "1.0")


@pytest.fixture(scope="module")
def server(postgres: Server, cast: Cast) -> Server:
    """A server on which the page was followed."""
    for_server, for_database = [
        block.text for block in blocks("docs/registry.md") if block.language == "sql"
    ]
    postgres.run(for_server)
    with open_store(postgres.url("registry", user="registry_owner"), create=True) as store:
        append(store, cast, founding=True)
    postgres.run(for_database, database="registry", user="registry_owner")
    return postgres


@pytest.fixture
def writer(server: Server) -> Iterator[Store]:
    with open_store(server.url("registry", user="registry_writer")) as store:
        yield store


@pytest.fixture
def reader(server: Server) -> Iterator[Store]:
    with open_store(server.url("registry", user="registry_reader")) as store:
        yield store


def append(store: Store, cast: Cast, *, founding: bool = False) -> None:
    """Append the first event, or what uses every table that follows from the log."""
    key, now = signers.find(cast.service), datetime.now(UTC)
    if founding:
        store.append(cast.founding(), service_key=key, now=now)
        return
    other = registration("churn", "1.1")
    events = [cast.signed(CHURN, "carol"), cast.signed(other, "carol")]
    for exclusive in (False, True):
        events.append(cast.signed(promotion(CHURN, exclusive=exclusive), "alice", "bob"))
    for kind, target in (("key", "cd" * 32), ("root", other.root)):
        events.append(cast.signed(Recalled(kind, target, "Only a test."), "carol"))
    store.append_many(events, service_key=key, now=now)


def test_the_writer_appends_and_the_reader_reads(writer: Store, reader: Store, cast: Cast) -> None:
    append(writer, cast)
    assert writer.rebuild() == reader.size() == 7
    found = reader.version("churn", "1.0")
    assert found is not None
    assert found.stages == ("production",)
    assert reader.answer([CHURN.root]).events
    new, key = cast.signed(registration("churn", "2.0"), "carol"), signers.find(cast.service)
    with pytest.raises(RegistryError, match="permission denied") as caught:
        reader.append(new, service_key=key, now=datetime.now(UTC))
    assert "who may do that" in caught.value.remedy()


@pytest.mark.parametrize("table", LOG)
@pytest.mark.parametrize("user", ["registry_owner", "registry_writer", "registry_reader"])
def test_nobody_of_them_changes_the_log(server: Server, user: str, table: str) -> None:
    for sql in (f"DELETE FROM {table}", f"TRUNCATE {table}"):
        with pytest.raises(subprocess.CalledProcessError):
            server.run(sql, database="registry", user=user)


@pytest.mark.parametrize("user", ["registry_writer", "registry_reader"])
def test_no_table_is_made_or_taken_away_but_by_the_owner(server: Server, user: str) -> None:
    for sql in ("CREATE TABLE more (text text)", "DROP TABLE registry_models"):
        with pytest.raises(subprocess.CalledProcessError):
            server.run(sql, database="registry", user=user)
