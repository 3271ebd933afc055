# SPDX-License-Identifier: Apache-2.0
"""A registry in each kind of database, founded by the cast of ``tests.support.registries``."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.postgres import Server
from tests.support.registries import Cast
from tests.support.stores import Copies, Copy, Kept


@pytest.fixture(scope="session")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Cast:
    """People with keys, the same for all: making them takes a while."""
    return Cast(tmp_path_factory.mktemp("cast"))


@pytest.fixture(scope="session")
def copies(cast: Cast, tmp_path_factory: pytest.TempPathFactory) -> Copies:
    return Copies(cast, tmp_path_factory.mktemp("copies"))


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> Server | None:
    """Each kind of database: a server, or None for a file."""
    if request.param == "sqlite":
        return None
    running: Server = request.getfixturevalue("postgres")
    return running


@pytest.fixture
def url(server: Server | None, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if server is None:
        return f"sqlite:///{tmp_path}/registry.db"
    return server.new_database(f"registry-{secrets.token_hex(6)}")


@pytest.fixture
def copy(server: Server | None, copies: Copies, tmp_path: Path) -> Iterator[Copy]:
    """Gives copies of registries that are made once for all tests."""
    made: list[Kept] = []

    def copied(name: str, fill: Callable[[Kept], object]) -> Kept:
        made.append(copies.copy(name, fill, tmp_path, server))
        return made[-1]

    yield copied
    for one in made:
        one.store.close()


@pytest.fixture
def kept(copy: Copy) -> Kept:
    """A registry that was founded, and nothing else."""
    return copy("founded", lambda _: None)
