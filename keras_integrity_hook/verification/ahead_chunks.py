# SPDX-License-Identifier: Apache-2.0
"""Which chunk of a content is verified by whom: each once, by whoever comes to it first.

Threads go ahead of the reader, no further than a window; what the reader comes to first, it
verifies itself. Nothing here reads or digests.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from enum import IntEnum


class State(IntEnum):
    """What is known of a chunk."""

    NEW = 0
    BUSY = 1
    GOOD = 2
    BAD = 3


class AheadChunks:
    """The states of all chunks, and where the reader is; safe to use from several threads."""

    def __init__(self, count: int, window: int, first: Iterable[int]) -> None:
        """Of ``count`` chunks nothing is known.

        Args:
            window: how many chunks from the reader's on may be verified ahead of it.
            first: chunks that are verified before all others, in this order.
        """
        self._states = bytearray(count)
        self._window = window
        self._first = iter(first)
        self._position = 0
        self._is_over = False
        self._changed = threading.Condition()

    def state(self, index: int) -> State:
        """What is known of the chunk now."""
        return State(self._states[index])

    def is_good(self, index: int) -> bool:
        """Whether the chunk was verified and is as it was sealed."""
        return self._states[index] == State.GOOD

    def are_good(self, first: int, stop: int) -> bool:
        """Whether all chunks from ``first`` to ``stop``, exclusive, are."""
        return self._states.count(State.GOOD, first, stop) == stop - first

    def claim(self, index: int) -> bool:
        """Whether the caller is the one to verify the chunk; it must :meth:`settle` it then."""
        with self._changed:
            return self._claimed(index)

    def claim_ahead(self) -> int | None:
        """The next chunk to verify ahead of the reader, when there is one; None when it is over."""
        with self._changed:
            while not self._is_over:
                index = self._next()
                if index >= 0:
                    return index
                self._changed.wait()
        return None

    def claim_any(self) -> int | None:
        """A chunk that nobody has verified, None where there is none."""
        return self.claim_among(0, len(self._states))

    def claim_among(self, first: int, stop: int) -> int | None:
        """The same of those from ``first`` to ``stop``, exclusive."""
        with self._changed:
            index = self._states.find(State.NEW, first, stop)
            return index if index >= 0 and self._claimed(index) else None

    def settle(self, index: int, state: State) -> None:
        """Say what became of a chunk that was claimed; ``NEW`` gives it back."""
        with self._changed:
            self._states[index] = state
            self._changed.notify_all()

    def settled(self, index: int) -> State:
        """What is known of the chunk when whoever has claimed it is done."""
        with self._changed:
            while self._states[index] == State.BUSY:
                self._changed.wait()
            return State(self._states[index])

    def wait_for(self, first: int, stop: int) -> None:
        """Return when nobody is at a chunk from ``first`` to ``stop``, exclusive: not before, even
        where this thread is to end."""
        interrupted: BaseException | None = None
        while True:
            try:
                with self._changed:
                    while self._states.find(State.BUSY, first, stop) >= 0:
                        self._changed.wait()
                break
            except BaseException as error:
                interrupted = error
        if interrupted is not None:
            raise interrupted

    def move(self, index: int) -> None:
        """The reader is at the chunk ``index``; a step back does not count."""
        if index <= self._position:
            return
        with self._changed:
            self._position = max(self._position, index)
            self._changed.notify_all()

    def open_window(self) -> None:
        """Let everything be verified now: the reader is done."""
        with self._changed:
            self._window = len(self._states)
            self._position = 0
            self._changed.notify_all()

    def stop(self) -> None:
        """Nothing is to be verified ahead any more."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def forked(self) -> None:
        """Take back what threads have claimed that this new process does not have."""
        self._changed = threading.Condition()
        self._states = self._states.replace(bytes([State.BUSY]), bytes([State.NEW]))

    def bad(self) -> list[int]:
        """The chunks that are not as they were sealed, as far as that is known."""
        return [index for index, state in enumerate(self._states) if state == State.BAD]

    def _next(self) -> int:
        """Claim the next chunk within the window; -1 where there is none."""
        for index in self._first:
            if self._claimed(index):
                return index
        index = self._states.find(State.NEW, self._position, self._position + self._window)
        if index >= 0:
            self._states[index] = State.BUSY
        return index

    def _claimed(self, index: int) -> bool:
        if self._states[index] != State.NEW:
            return False
        self._states[index] = State.BUSY
        return True
