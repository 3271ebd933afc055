# SPDX-License-Identifier: Apache-2.0
"""Many readers and writers at once: nobody gets an error, and no event is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from keras_integrity_hook.registry import merkle, notes, signed
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
    posts = [
        [cast.signed(registration(f"m{n}", f"{i}.0"), "carol") for i in range(events)]
        for n in range(WRITERS)
    ]
    paths = [
        [_path(reader + number, events) for number in range(questions)] for reader in range(READERS)
    ]
    with serving(database, cast, home=tmp_path) as service:
        load = put_on(service.url, paths, posts)
        assert (tmp_path / "serve.err").read_text() == ""
    print(_summary(load))
    assert load.statuses == {200: READERS * questions, 201: WRITERS * events}
    positions = {receipt["position"]: receipt["leaf"] for receipt in load.receipts}
    assert len(positions) == WRITERS * events
    with open_store(database) as store:
        log = [one.encoded for one in store.whole_log()]
        assert len(log) == 1 + WRITERS * events
        for position, leaf in positions.items():
            assert merkle.leaf_hash(log[position]).hex() == leaf
        assert set(log[1:]) == {signed.encode(event) for one in posts for event in one}
        checkpoint = notes.unverified_checkpoint(store.checkpoint())
        assert checkpoint.root == merkle.root([merkle.leaf_hash(entry) for entry in log])
        assert store.rebuild() == len(log)


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
