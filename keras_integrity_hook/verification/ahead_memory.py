# SPDX-License-Identifier: Apache-2.0
"""Chunks that were verified, in memory of ours: where no lease keeps the file as it was.

Each is served from here, so that the file is read once. Numbers are read once, too, and go when
they were; names, shapes and configuration are asked for again and again, and stay while there is
room.
"""

from __future__ import annotations

import threading

_SPARE = 4
"""Buffers that are kept to be filled again: new memory costs more than a copy."""


class AheadMemory:
    """Verified chunks by their index; safe to use from several threads."""

    def __init__(self, room: int) -> None:
        """``room``: bytes that may be held; what is there longest goes first."""
        self._room = room
        self._held: dict[int, memoryview] = {}
        self._size = 0
        self._spare: list[memoryview] = []
        self._lock = threading.RLock()

    def buffer(self, size: int) -> memoryview:
        """Memory for a chunk of ``size`` bytes, to be given to :meth:`hold`."""
        with self._lock:
            if self._spare and len(self._spare[-1]) == size:
                return self._spare.pop()
        return memoryview(bytearray(size))

    def hold(self, index: int, chunk: memoryview) -> None:
        """Take over a chunk that was verified."""
        with self._lock:
            self._held[index] = chunk
            self._size += len(chunk)
            while self._size > self._room and len(self._held) > 1:
                self._drop(next(iter(self._held)))

    def serve(self, index: int, within: int, target: memoryview, *, drop: bool) -> bool:
        """Fill ``target`` from the chunk, if it is here.

        Args:
            within: where in the chunk to begin, in bytes.
            drop: its last byte will not be asked for again.
        """
        with self._lock:
            chunk = self._held.get(index)
            if chunk is None:
                return False
            target[:] = chunk[within : within + len(target)]
            if drop and within + len(target) == len(chunk):
                self._drop(index)
            return True

    def clear(self) -> None:
        """Hold nothing any more."""
        with self._lock:
            self._held.clear()
            self._spare.clear()
            self._size = 0

    def _drop(self, index: int) -> None:
        chunk = self._held.pop(index)
        self._size -= len(chunk)
        if len(self._spare) < _SPARE:
            self._spare.append(chunk)
