# SPDX-License-Identifier: Apache-2.0
"""Many readers and writers at once: nobody gets an error, and no event is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from keras_integrity_hook.registry import merkle, notes, signed
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.store import open_store
from tests.support.postgres import Server
from tests.support.registries import Cast, registration
from tests.support.registry_load import Load, put_on
from tests.support.registry_service import found_registry, serving

READERS, WRITERS = 200, 20


@pytest.mark.parametrize(
    ("questions", "events"), [(5, 5), pytest.param(100, 100, marks=pytest.mark.nightly)]
)
@pytest.mark.timeout(1800)
def test_two_hundred_readers_and_twenty_writers_on_postgresql_meet_no_error_and_lose_no_event(
    postgres: Server, tmp_path: Path, questions: int, events: int
) -> None:
    (tmp_path / "keys").mkdir()
    cast = Cast(tmp_path / "keys")
    database = postgres.new_database(f"load-{questions}")
    found_registry(database, cast)
    posts = _posts(cast, WRITERS, events)
    paths = [
        [_path(reader + number, events) for number in range(questions)] for reader in range(READERS)
    ]
    with serving(database, cast, home=tmp_path) as service:
        load = put_on(service.url, paths, posts)
        assert (tmp_path / "serve.err").read_text() == ""
    print(_summary(load))
    assert load.statuses == {200: READERS * questions, 201: WRITERS * events}
    _assert_whole(database, load, posts)


def test_two_services_on_one_database_write_one_log(postgres: Server, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    cast = Cast(tmp_path / "keys")
    database = postgres.new_database("two-services")
    found_registry(database, cast)
    posts = [
        [cast.signed(registration(f"m{n}", f"{i}.0"), "carol") for i in range(10)] for n in range(8)
    ]
    with (
        serving(database, cast, home=tmp_path) as first,
        serving(database, cast, home=tmp_path) as second,
        ThreadPoolExecutor() as pool,
    ):
        halves = pool.map(put_on, (first.url, second.url), ([], []), (posts[:4], posts[4:]))
        one, other = list(halves)
        assert first.get("/v1/checkpoint").body == second.get("/v1/checkpoint").body
        digest = registration("m7", "9.0").root
        answers = [service.get(f"/v1/digests/{digest}").document for service in (first, second)]
        assert answers[0]["events"] == answers[1]["events"]
    load = one._replace(receipts=one.receipts + other.receipts)
    assert one.statuses == other.statuses == {201: 40}
    _assert_whole(database, load, posts)


def _assert_whole(database: str, load: Load, posts: list[list[SignedEvent]]) -> None:
    """That every event that was posted is in the log once, where its receipt says, and no other."""
    positions = {receipt["position"]: receipt["leaf"] for receipt in load.receipts}
    events = {signed.encode(event) for one in posts for event in one}
    assert len(positions) == len(events)
    with open_store(database) as store:
        log = [one.encoded for one in store.whole_log()]
        assert len(log) == 1 + len(events)
        assert set(log[1:]) == events
        for position, leaf in positions.items():
            assert merkle.leaf_hash(log[position]).hex() == leaf
        checkpoint = notes.unverified_checkpoint(store.checkpoint())
        assert checkpoint.root == merkle.root([merkle.leaf_hash(entry) for entry in log])
        assert store.rebuild() == len(log)


def _posts(cast: Cast, writers: int, events: int) -> list[list[SignedEvent]]:
    return [
        [cast.signed(registration(f"m{n}", f"{i}.0"), "carol") for i in range(events)]
        for n in range(writers)
    ]


def _path(number: int, events: int) -> str:
    """A question, most often the one that a load asks."""
    body = registration(f"m{number % WRITERS}", f"{number % events}.0")
    others = (f"/v1/models/{body.model}", "/v1/checkpoint", "/v1/models", "/v1/tile/0/000.p/1")
    if number % 5 or body.version == "0.0":
        return f"/v1/digests/{body.root}"
    return others[number // 5 % 4] if number % 10 else "/healthz"


def _summary(load: Load) -> str:
    reads, writes = sorted(load.reads), sorted(load.writes)
    return (
        f"{len(reads) + len(writes)} requests in {load.seconds:.1f} s; "
        f"reads p50 {reads[len(reads) // 2] * 1e3:.0f} ms, "
        f"p99 {reads[-len(reads) // 100] * 1e3:.0f} ms; "
        f"writes p50 {writes[len(writes) // 2] * 1e3:.0f} ms"
    )
