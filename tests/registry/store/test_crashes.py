# SPDX-License-Identifier: Apache-2.0
"""kill -9 at any instant of an append: what was acknowledged is there, what is there is whole."""

from __future__ import annotations

import os
import random
import select
import signal
import struct
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest

from keras_integrity_hook.registry import whole
from keras_integrity_hook.registry.merkle import Node
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.store import open_store
from tests.support.registries import promotion, registration
from tests.support.stores import Kept

_RECEIPT = struct.Struct("=Q32s")


def events(kept: Kept) -> Iterator[SignedEvent]:
    """Without an end: registrations, alone and with promotions that make room."""
    number = 0
    while True:
        number += 1
        body = registration(f"model {number % 3}", str(number))
        yield kept.cast.signed(body, "carol")
        if number % 3 == 0:
            yield kept.cast.signed(promotion(body, "staging", exclusive=True), "carol")


def write_until_killed(kept: Kept, pipe: int, parts: Sequence[Sequence[SignedEvent]]) -> None:
    """In a process of its own: append, and acknowledge what has a receipt."""
    try:
        with open_store(kept.url, timeout=60) as store:
            for part in parts:
                receipts = store.append_many(part, service_key=kept.key, now=datetime.now(UTC))
                for one in receipts:
                    os.write(pipe, _RECEIPT.pack(one.position, one.leaf))
    finally:
        os._exit(1)


def killed_writer(
    kept: Kept, parts: Sequence[Sequence[SignedEvent]], after: float
) -> list[tuple[int, bytes]]:
    """What a writer acknowledged who was killed so many seconds after its first receipt, or, in one
    of ten cases, before it had one."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        write_until_killed(kept, writing, parts)
    os.close(writing)
    if after > 0:
        select.select([reading], [], [], 60)
    time.sleep(abs(after))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    whole_ones = len(told) // _RECEIPT.size * _RECEIPT.size
    return list(_RECEIPT.iter_unpack(told[:whole_ones]))


def kill_and_look(kept: Kept, kills: int) -> None:
    chance = random.Random(kills)
    coming, acknowledged, at_least = events(kept), 0, 0
    waiting: list[SignedEvent] = []
    for kill in range(1, kills + 1):
        waiting += [next(coming) for _ in range(30 - len(waiting))]
        parts = [waiting[:1], waiting[1:2], waiting[2:9], *([one] for one in waiting[9:])]
        after = chance.uniform(0, 0.03)
        is_early = chance.random() < 0.1
        receipts = killed_writer(kept, parts, -after if is_early else after)
        acknowledged += len(receipts)
        at_least += not is_early
        nodes = kept.store.nodes([Node(0, position) for position, _ in receipts])
        assert nodes == [leaf for _, leaf in receipts]
        # The rest comes again, part of it perhaps without having been acknowledged.
        waiting = waiting[len(receipts) :]
        if kill % 25 == 0 or kill == kills:
            expected = whole.Expected(kept.cast.registry, differences=kept.store.differences)
            assert whole.verify(kept.store, datetime.now(UTC), expected).faults == ()
    assert acknowledged >= at_least
    assert kept.store.size() > acknowledged


def test_a_killed_writer_leaves_whole_events_and_all_that_it_acknowledged(kept: Kept) -> None:
    kill_and_look(kept, 25)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_thousand_killed_writers_leave_all_that_they_acknowledged(kept: Kept) -> None:
    kill_and_look(kept, 500)
