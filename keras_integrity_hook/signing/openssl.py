# SPDX-License-Identifier: Apache-2.0
"""The room in which OpenSSL is called: only the thread that forks is in it while a process forks.

``cryptography`` brings an OpenSSL that has locks and knows nothing of forks. A child that is forked
while another thread has one of them finds it taken for ever, and waits for it at its first
signature. A thread takes such a lock when it uses OpenSSL for the first time, while it computes,
and **once more while it ends**, by a destructor of the C library, when nothing of Python is left.

So a fork waits until nobody is inside, and until those who were, and have ended, have ended for the
system as well. A lock that other people's threads hold is beyond this: of what they take when they
end the child is spared by :func:`_touch`, in the thread that forks.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import ParamSpec, TypeVar

from keras_integrity_hook.files import portable

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")
# Seconds. A thread that has not ended after that is not about to.
_PATIENCE = 1.0
_GLANCE = 0.0001


class _Room:
    """Who is inside, who is about to fork, whose end is near."""

    def __init__(self, inside: dict[int, int] | None = None) -> None:
        # A lock that its thread may take twice: what is collected at any moment may take it.
        self._door = threading.Condition(threading.RLock())
        self._inside = inside or {}
        self._forking: set[int] = set()
        self._ending: set[int] = set()

    def enter(self) -> None:
        me = threading.get_ident()
        with self._door:
            depth = self._inside.get(me, 0)
            while not depth and self._forking - {me}:
                self._door.wait()
            self._inside[me] = depth + 1

    def leave(self) -> None:
        me = threading.get_ident()
        with self._door:
            self._inside[me] -= 1
            if not self._inside[me]:
                del self._inside[me]
                if self._forking:
                    self._door.notify_all()

    def end(self) -> None:
        """This thread is about to end: not while another forks."""
        with self._door:
            while self._forking:
                self._door.wait()
            self._ending.add(threading.get_native_id())

    def clear(self) -> None:
        """Return when nobody is inside, and let nobody in until :meth:`open`.

        Whoever forks inside, in a signal handler say, waits for nobody: two of them would wait for
        each other.
        """
        me = threading.get_ident()
        with self._door:
            if me in self._inside:
                return
            self._forking.add(me)
            while self._inside:
                self._door.wait()
            ending = set(self._ending)
        until = time.monotonic() + _PATIENCE
        for thread in ending:
            while portable.has_thread(thread) and time.monotonic() < until:
                time.sleep(_GLANCE)
        with self._door:
            self._ending -= ending

    def open(self) -> None:
        with self._door:
            self._forking.discard(threading.get_ident())
            self._door.notify_all()

    def of_child(self) -> _Room:
        """The room of the forked process, in which there is one thread."""
        me = threading.get_ident()
        return _Room({me: self._inside[me]} if me in self._inside else None)


class _End:
    """Tells of the end of the thread that made it and keeps it as its own."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def __del__(self, ident: Callable[[], int] = threading.get_ident) -> None:
        # Those of other threads go in a forked child, where nobody is to be waited for.
        if ident() == self._thread:
            _Used.room.end()


class _Used:
    """The room of this process, and whether anybody was ever inside."""

    room = _Room()
    by_anybody = False


_mine = threading.local()


@contextmanager
def entered() -> Iterator[None]:
    """Be inside for the block: for computing alone, never to wait for a person or a network.

    What is imported there, asked for and locked there, somebody who forks has to wait for.
    """
    _enter()
    try:
        yield
    finally:
        _Used.room.leave()


def inside(function: Callable[_Params, _Result]) -> Callable[_Params, _Result]:
    """Let ``function`` be called inside, as by :func:`entered`."""

    @functools.wraps(function)
    def within(*args: _Params.args, **kwargs: _Params.kwargs) -> _Result:
        _enter()
        try:
            return function(*args, **kwargs)
        finally:
            _Used.room.leave()

    return within


def _enter() -> None:
    _Used.room.enter()
    _Used.by_anybody = True
    if not hasattr(_mine, "known"):
        _mine.known = _End() if _ends_with_python() else None


def _ends_with_python() -> bool:
    """Whether this thread is over when Python is done with it. Those of other languages go on, and
    so does the main thread, whose end is that of the process."""
    me = threading.get_ident()
    return me != threading.main_thread().ident and any(
        one.ident == me and not isinstance(one, threading._DummyThread)
        for one in threading.enumerate()
    )


def _touch() -> None:
    """Let OpenSSL know this thread, for which it takes the lock that threads take at their end."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    with entered(), suppress(InvalidSignature, ValueError):
        Ed25519PublicKey.from_public_bytes(bytes(32)).verify(bytes(64), b"")


def _before_fork() -> None:
    if not _Used.by_anybody:
        return
    if not hasattr(_mine, "known"):
        _touch()
    _Used.room.clear()


def _in_parent() -> None:
    _Used.room.open()


def _in_child() -> None:
    _Used.room = _Used.room.of_child()


if hasattr(os, "register_at_fork"):
    # Those that are registered last are called first: who waits here has no lock of logging's yet,
    # which a thread inside may want.
    assert logging
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
