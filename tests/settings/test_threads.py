# SPDX-License-Identifier: Apache-2.0
"""Threads that ask for settings while another changes the environment."""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from keras_integrity_hook import settings
from keras_integrity_hook.settings import Unsealed

VARIABLE = settings.UNSEALED_VARIABLE


@pytest.fixture(autouse=True)
def threads_change_places_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@contextlib.contextmanager
def changing() -> Iterator[None]:
    """A thread sets the variable and takes it away, again and again."""
    over = threading.Event()

    def change() -> None:
        while not over.is_set():
            os.environ[VARIABLE] = "reject"
            os.environ.pop(VARIABLE)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def asked_at_once(threads: int = 8) -> set[Unsealed]:
    """What threads are told that ask at the same moment, each with a copy of the context."""
    together = threading.Barrier(threads)

    def ask() -> Unsealed:
        together.wait(100)
        return settings.at().unsealed

    with ThreadPoolExecutor(threads) as pool:
        asked = [pool.submit(contextvars.copy_context().run, ask) for _ in range(threads)]
        return {future.result() for future in asked}


def test_a_variable_that_another_thread_takes_away_is_not_set() -> None:
    with changing():
        for _ in range(100):
            assert asked_at_once() <= {Unsealed.WARN, Unsealed.REJECT}


def test_threads_that_share_a_snapshot_are_told_the_same() -> None:
    with changing():
        for _ in range(100):
            with settings.snapshot():
                assert len(asked_at_once()) == 1
