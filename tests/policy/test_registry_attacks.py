# SPDX-License-Identifier: Apache-2.0
"""What somebody without the actors' keys can do to a machine that asks a registry: the network is
his, or the database, the models' directory or the clock. Each through Keras itself."""

from __future__ import annotations

import http.server
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry.client import asking, memory
from keras_integrity_hook.sealing.envelope import Envelope, Signature
from tests.support import attacks
from tests.support.attacks import GOOD, Publisher
from tests.support.fleets import Fleet, forget_what_was_said, registration_of
from tests.support.registries import promotion
from tests.support.registry_service import Running, serving

pytest.importorskip("sqlalchemy", reason="a registry needs sqlalchemy")


@pytest.fixture
def fleet(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    forget_what_was_said()
    made = Fleet(tmp_path / "fleet")
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(made.policy))
    return made


@pytest.fixture
def service(tmp_path: Path, fleet: Fleet) -> Iterator[Running]:
    pytest.importorskip("uvicorn", reason="a service needs uvicorn")
    with serving(fleet.url, fleet.cast, home=tmp_path) as running:
        fleet.demand(url=running.url)
        yield running


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Set this machine's clock so much ahead, or back."""

    def ahead(by: timedelta) -> None:
        monkeypatch.setattr(asking, "clock", lambda: datetime.now(UTC) + by)

    return ahead


@pytest.fixture
def model(keras: Any, models: Path, publisher: Publisher, fleet: Fleet) -> Path:
    """A registered model."""
    path = publisher.save(models / "model.keras")
    fleet.register(path)
    return path


@contextmanager
def answering_always(body: bytes) -> Iterator[str]:
    """The URL of somebody in between who says the same to every question."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_freeze_hides_a_recall_only_until_the_freshness_ends(
    model: Path, fleet: Fleet, service: Running, at: Callable[[timedelta], None]
) -> None:
    root = registration_of(model).root
    said = service.get(f"/v1/digests/{root}").body
    fleet.recall(root)
    with answering_always(said) as frozen:
        fleet.demand(url=frozen)
        assert attacks.value_of(model) == GOOD
        at(timedelta(hours=1, seconds=1))
        attacks.refused(kih.RegistryUnavailableError, model, "was good until")


def test_registry_that_is_cut_off_serves_until_its_answers_are_too_old(
    model: Path, fleet: Fleet, service: Running, at: Callable[[timedelta], None]
) -> None:
    assert attacks.value_of(model) == GOOD
    service.end()
    forget_what_was_said()
    at(timedelta(minutes=59))
    assert attacks.value_of(model) == GOOD
    at(timedelta(minutes=61))
    attacks.refused(kih.RegistryUnavailableError, model)
    at(-timedelta(minutes=20))  # and the clock helps nobody
    attacks.refused(kih.WrongClockError, model)


def test_answer_about_another_model_is_none(
    model: Path, models: Path, publisher: Publisher, fleet: Fleet, service: Running
) -> None:
    """Mix-and-match: what a registry said of a good model, for one that it does not know."""
    evil = publisher.save(models / "evil.keras", attacks.EVIL)
    said = service.get(f"/v1/digests/{registration_of(model).root}").body
    with answering_always(said) as mixed:
        fleet.demand(url=mixed)
        attacks.refused(kih.MalformedEventError, evil, "did not answer about")


def test_registered_model_with_the_weights_of_another_is_refused(
    model: Path, models: Path, publisher: Publisher, fleet: Fleet
) -> None:
    other = publisher.save(models / "other.keras", attacks.EVIL, version="1.0")
    fleet.register(other)
    attacks.rebuilt(model, other, "model.weights.h5")  # and so without a seal
    attacks.refused(kih.UnregisteredModelError, model)


def test_seal_that_names_many_keys_makes_the_registry_silent_for_nobody(
    model: Path, models: Path, publisher: Publisher, fleet: Fleet, service: Running
) -> None:
    """Anybody can write such a seal; the question must not be one that a service turns down."""
    evil = publisher.save(models / "evil.keras", attacks.EVIL)
    seal = attacks.seal_of(evil)
    many = tuple(Signature(f"{number:064x}", "AAAA") for number in range(LIMITS.signatures))
    attacks.put_seal(evil, Envelope(seal.envelope.payload, many), seal.table)
    attacks.refused(kih.UnregisteredModelError, evil)
    assert attacks.value_of(model) == GOOD
    fleet.recall(f"{7:064x}", "stolen", kind="key")
    forget_what_was_said()
    shutil.rmtree(memory.directory(fleet.id))
    attacks.refused(kih.RecalledModelError, evil, "stolen")


def test_recalled_model_without_its_seal_is_refused(
    model: Path, fleet: Fleet, service: Running
) -> None:
    fleet.recall(registration_of(model).root)
    kih.unseal(model)
    attacks.refused(kih.RecalledModelError, model)
    fleet.demand(url=service.url, require="nothing")
    attacks.refused(kih.RecalledModelError, model)


def test_older_version_put_in_the_place_of_the_newest_is_refused(
    model: Path, models: Path, publisher: Publisher, fleet: Fleet, service: Running
) -> None:
    fleet.promote(registration_of(model))
    newer = publisher.save(models / "newer.keras", version="3.0")
    fleet.promote(fleet.register(newer), exclusive=True)
    fleet.demand(url=service.url, stages=["production"])
    assert attacks.value_of(newer) == GOOD
    attacks.swap(model, newer)
    attacks.refused(kih.RollbackError, newer, "production has had 3.0 since")


def test_event_that_is_handed_in_again_changes_nothing(
    model: Path, fleet: Fleet, service: Running
) -> None:
    """The promotion of what was withdrawn since, with the good signatures that it has."""
    body = registration_of(model)
    promoted = fleet.cast.signed(promotion(body), "alice", "bob")
    fleet.append(promoted)
    fleet.withdraw(body)
    fleet.demand(url=service.url, stages=["production"])
    attacks.refused(kih.UnregisteredModelError, model, "at no stage")
    before = fleet.store.size()
    assert service.post(promoted).status in (200, 201)
    assert fleet.store.size() == before
    forget_what_was_said()
    attacks.refused(kih.UnregisteredModelError, model, "at no stage")


def test_registry_of_the_same_people_is_another_one(
    model: Path, tmp_path: Path, fleet: Fleet
) -> None:
    other = Fleet(tmp_path / "other")
    other.register(model)
    with serving(other.url, other.cast, home=tmp_path) as running:
        fleet.demand(url=running.url)
        attacks.refused(kih.MalformedEventError, model, "another registry")


def test_database_that_was_put_back_is_refused_and_both_pasts_are_told(
    model: Path, tmp_path: Path, fleet: Fleet
) -> None:
    """By its administrator, to what it was before a recall."""
    path, before = Path(fleet.url.removeprefix("sqlite:///")), tmp_path / "before.db"
    with sqlite3.connect(path) as now, sqlite3.connect(before) as backup:
        now.backup(backup)
    fleet.recall(registration_of(model).root)
    attacks.refused(kih.RecalledModelError, model)
    fleet.store.close()
    with sqlite3.connect(before) as backup, sqlite3.connect(path) as now:
        backup.backup(now)
    error = attacks.refused(kih.RegistryForkError, model)
    sizes = [error.evidence()[which].split("\n")[1] for which in ("seen", "shown")]
    assert sizes == ["3", "2"]
    fleet.demand(require="nothing")
    attacks.refused(kih.RegistryForkError, model)


def test_clock_that_was_turned_back_makes_no_old_answer_young(
    model: Path, fleet: Fleet, service: Running, at: Callable[[timedelta], None]
) -> None:
    root = registration_of(model).root
    said = service.get(f"/v1/digests/{root}").body
    at(timedelta(hours=3))
    with answering_always(said) as old:
        fleet.demand(url=old)
        attacks.refused(kih.RegistryUnavailableError, model)
    at(-timedelta(hours=3))
    fleet.demand(url=service.url)
    attacks.refused(kih.WrongClockError, model, "yet to come")
    attacks.refused(kih.WrongClockError, model, "yet to come")  # and again


def test_outage_stops_nothing_that_need_not_be_registered(
    model: Path, fleet: Fleet, service: Running
) -> None:
    service.end()
    fleet.demand(url=service.url, require="sealed")
    with pytest.warns(kih.IntegrityWarning, match="without asking whether it was recalled"):
        assert attacks.value_of(model) == GOOD
