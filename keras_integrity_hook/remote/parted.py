# SPDX-License-Identifier: Apache-2.0
"""A large file comes in parts, by several threads that each read, write and digest what they take.

A store on a network answers each request after a moment, and several at once in the same one. From
one in memory a part is digested while it is still in the processor's cache, by whoever has read it.
The parts are read at any place of the file, which not every store can do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from keras_integrity_hook.errors import RemoteUnavailableError
from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.remote import at_once
from keras_integrity_hook.remote.arrivals import Cut
from keras_integrity_hook.remote.sources import Source
from keras_integrity_hook.sealing import tree

_SPAN = 8 * MIB  # what a thread takes at a time; of whole chunks, which are no larger
Put = Callable[[bytes, int], None]


class Came(NamedTuple):
    """What is known of a file that has come.

    Attributes:
        cut: how it was cut into chunks; None if it was not digested.
        digests: of its whole chunks, by where in the file they begin.
    """

    cut: Cut | None
    digests: Mapping[int, bytes]


def readers_of(source: Source, others: int = 0, *, is_sealed: bool = False) -> int:
    """How many readers are best at the file; 1 where it is to be read as a stream.

    Args:
        others: how many other large files are fetched meanwhile.
        is_sealed: it will be held against a seal. What has none, and is replaced meanwhile in a
            store that cannot tell, is to be the bytes of one moment: those of one reader.
    """
    parts = source.parts
    if parts is None or not (source.version or is_sealed):
        return 1
    return max(1, parts.at_once // (others + 1))


def fetch(source: Source, put: Put, cut_of: Callable[[bytes], Cut | None], readers: int) -> Came:
    """Fetch all of ``source``, and ask whether it is the same as before then.

    Args:
        put: keeps bytes that begin at an offset; called by several threads.
        cut_of: says by its first bytes how the file is cut into chunks; None for no digests.
        readers: how many, each in a thread of its own.

    Raises:
        As ``Source.stream``, and what ``put`` raises; no thread is at it any more by then.
    """
    assert source.parts is not None
    piece = source.parts.piece
    head = source.read(0, piece)
    cut = cut_of(head)
    if cut is not None and (not cut.is_feasible or source.size // cut.size > LIMITS.chunks):
        cut = None
    digests: dict[int, bytes] = {}
    idle: list[Source] = []

    def take(start: int, stop: int) -> None:
        reader = _one_of(idle) or source.again()
        try:
            chunks = None if cut is None else _Chunks(cut, start, digests)
            while start < stop:
                data = head[start : min(stop, len(head))]
                data = data or reader.read(start, min(piece, stop - start))
                put(data, start)
                if chunks is not None:
                    chunks.update(data)
                start += len(data)
        finally:
            idle.append(reader)

    spans = dict(_spans(source.size, 0 if cut is None else cut.first))
    try:
        at_once.each(spans, lambda start: take(start, spans[start]), readers)
    except (FileNotFoundError, RemoteUnavailableError):
        source.check_again()  # some stores tell of a new one by an error of theirs
        raise
    finally:
        for reader in idle:
            reader.close()
    source.check_again()
    return Came(cut, digests)


def _spans(size: int, first: int) -> Iterator[tuple[int, int]]:
    """Where the spans begin and end of a file whose first chunk begins at ``first``."""
    first = min(first, size)
    if first:
        yield 0, first
    for start in range(first, size, _SPAN):
        yield start, min(start + _SPAN, size)


def _one_of(idle: list[Source]) -> Source | None:
    try:
        return idle.pop()
    except IndexError:
        return None


class _Chunks:
    """Digests the bytes of a file from the beginning of a chunk on."""

    def __init__(self, cut: Cut, start: int, digests: dict[int, bytes]) -> None:
        self._cut, self._start, self._digests = cut, start, digests
        self._left = 0 if start < cut.first else cut.size
        self._digest = tree.new_hash(cut.algorithm)

    def update(self, data: bytes) -> None:
        """Take the next bytes; what comes before the first chunk is none of it."""
        view = memoryview(data)
        while view and self._left:
            piece, view = view[: self._left], view[self._left :]
            self._digest.update(piece)
            self._left -= len(piece)
            if not self._left:
                self._digests[self._start] = self._digest.digest()
                self._start += self._cut.size
                self._left = self._cut.size
                self._digest = tree.new_hash(self._cut.algorithm)
