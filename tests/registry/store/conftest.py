# SPDX-License-Identifier: Apache-2.0
"""A registry in each kind of database, founded by the cast of ``tests.support.registries``."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.registries import Cast
from tests.support.stores import Kept


@pytest.fixture(scope="session")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Cast:
    """People with keys, the same for all: making them takes a while."""
    return Cast(tmp_path_factory.mktemp("cast"))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/registry.db"
    server = request.getfixturevalue("postgres")
    made: str = server.new_database(f"registry-{secrets.token_hex(6)}")
    return made


@pytest.fixture
def kept(url: str, cast: Cast) -> Iterator[Kept]:
    """A registry that was founded a moment ago."""
    made = Kept(url, cast)
    try:
        made.found()
        yield made
    finally:
        made.store.close()
