# SPDX-License-Identifier: Apache-2.0
"""A database that goes away under the service, and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from tests.support.postgres import Server
from tests.support.registries import Cast, registration
from tests.support.registry_service import Running, found_registry, serving

NAME = "outage"


def _cut(postgres: Server) -> None:
    """End every connection to the database, as a server does that restarts."""
    postgres.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{NAME}'")


def _asks(service: Running, version: int) -> list[int]:
    """The status of each kind of question, and of a post that registers a version."""
    event = service.cast.signed(registration("outage", str(version)), "carol")
    paths = ("/healthz", "/v1/checkpoint", "/v1/models", f"/v1/digests/{'ab' * 32}")
    return [*(service.get(path).status for path in paths), service.post(event).status]


def test_a_database_that_is_away_is_a_503_and_the_service_recovers_by_itself(
    postgres: Server, tmp_path: Path
) -> None:
    (tmp_path / "keys").mkdir()
    cast = Cast(tmp_path / "keys")
    database = postgres.new_database(NAME)
    found_registry(database, cast)
    well = [200, 200, 200, 200, 201]
    with serving(database, cast, home=tmp_path) as service:
        assert _asks(service, 1) == well
        _cut(postgres)
        assert _asks(service, 2) == well
        postgres.run(f"ALTER DATABASE {NAME} ALLOW_CONNECTIONS false")
        _cut(postgres)
        assert _asks(service, 3) == [503] * 5
        reply = service.get("/v1/models")
        assert reply.document["code"] == "registry-unavailable"
        assert reply.headers["retry-after"] == "1"
        assert database not in reply.body.decode()
        assert "log_size NaN" in service.get("/metrics").body.decode()
        postgres.run(f"ALTER DATABASE {NAME} ALLOW_CONNECTIONS true")
        assert _asks(service, 4) == well
