# SPDX-License-Identifier: Apache-2.0
"""How much work a piece of code does, counted and not timed: the same on every machine."""

from __future__ import annotations

import os
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock


@dataclass(slots=True)
class Work:
    """What was done.

    Attributes:
        calls: of functions, Python's and built-in ones. A loop over anything calls something.
        read: bytes that were asked of files.
        memory: bytes held at the peak beyond what was held before; 0 if it was not measured.
    """

    calls: int = 0
    read: int = 0
    memory: int = 0


def work_of(action: Callable[[], object], *, memory: bool = False) -> Work:
    """Run ``action``, which may raise nothing, and count."""
    work = Work()
    pread, preadv = os.pread, os.preadv

    def counted_pread(fd: int, size: int, offset: int) -> bytes:
        work.read += size
        return pread(fd, size, offset)

    def counted_preadv(fd: int, buffers: Any, offset: int) -> int:
        work.read += sum(map(len, buffers))
        return preadv(fd, buffers, offset)

    def count(frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            work.calls += 1

    with (
        mock.patch.object(os, "pread", counted_pread),
        mock.patch.object(os, "preadv", counted_preadv),
    ):
        if memory:
            tracemalloc.start()
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            action()
        finally:
            sys.setprofile(before)
            if memory:
                work.memory = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
    return work
