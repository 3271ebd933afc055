# SPDX-License-Identifier: Apache-2.0
"""One registry with a past, served by one process to all who look at its pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import consoles
from tests.support.registries import Cast
from tests.support.registry_service import Running, found_registry, serving


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("console")
    cast = Cast(home)
    database = f"sqlite:///{home}/registry.db"
    found_registry(database, cast)
    with serving(database, cast, home=home) as running:
        assert running.post(*consoles.past(cast)).status == 201
        yield running
