# SPDX-License-Identifier: Apache-2.0
"""Digests of one reading: the signer's, to be compared, and chunk tables, to pin the bytes.

Were the bytes read twice, somebody could change them in between: what the signature is compared
with would be one thing, and what is loaded another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from keras_integrity_hook.errors import ChecksumMismatchError
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.verification.chunk_checker import ChunkChecker

PINNED_BY = "sha256"
"""The algorithm of the chunk table that a load is checked against."""
_BUFFER = MIB


class Reading(NamedTuple):
    """What one reading of a content gave.

    Attributes:
        digests: of its pieces, in order.
        tables: its chunk tables by their algorithms, :data:`PINNED_BY` among them.
    """

    digests: tuple[bytes, ...]
    tables: Mapping[str, bytes]

    @property
    def table(self) -> bytes:
        """What pins the bytes."""
        return self.tables[PINNED_BY]


def read_once(
    content: Content, stops: Sequence[int], algorithm: str, others: Iterable[str] = ()
) -> Reading:
    """Digest ``content`` piece by piece and chunk by chunk, each buffer read once.

    Args:
        content: any number of files joined.
        stops: where the pieces end, ascending, each beginning where the one before ends; the last
            is the size of the content. A piece may be empty.
        algorithm: of the pieces, a name of :data:`sealing.tree.ALGORITHMS`.
        others: algorithms of more chunk tables.

    Raises:
        DamagedFileError: the content became shorter meanwhile.
        ConfigurationError: the algorithm is not available.
        OSError: the content cannot be read.
    """
    pieces = _Splitter(stops, algorithm)
    size = content.size
    ends = _chunk_ends(size)
    chunks = {name: _Splitter(ends, name) for name in (PINNED_BY, *others)}
    buffer = memoryview(bytearray(min(_BUFFER, size) or 1))
    # hashlib releases the GIL: the second digest of a buffer costs no time on a second core.
    with ThreadPoolExecutor(1) as pool:
        for start in range(0, size, _BUFFER):
            piece = buffer[: min(_BUFFER, size - start)]
            content.read_into(start, piece)
            pending = [pool.submit(splitter.update, piece) for splitter in chunks.values()]
            pieces.update(piece)
            for update in pending:
                update.result()
    tables = {name: b"".join(splitter.finish()) for name, splitter in chunks.items()}
    return Reading(tuple(pieces.finish()), tables)


def read_pinned(content: Content, table: bytes, offset: int, size: int) -> bytes | None:
    """``size`` bytes from ``offset`` if they are those that gave ``table``, else None."""
    checker = ChunkChecker(
        content, table, algorithm=PINNED_BY, chunk_size=tree.chunk_size_for(content.size)
    )
    try:
        return checker.read(offset, size)
    except ChecksumMismatchError:
        return None


def _chunk_ends(size: int) -> list[int]:
    chunk_size = tree.chunk_size_for(size)
    count = tree.chunk_count(size, chunk_size)
    return [min((index + 1) * chunk_size, size) for index in range(count)]


class _Splitter:
    """Digests of the pieces of a stream that is cut at given offsets."""

    def __init__(self, stops: Sequence[int], algorithm: str) -> None:
        self._stops = iter(stops)
        self._algorithm = algorithm
        self._at = 0
        self._done: list[bytes] = []
        self._begin()

    def _begin(self) -> None:
        self._stop = next(self._stops, None)
        self._digest: Any = tree.new_hash(self._algorithm)

    def update(self, data: memoryview) -> None:
        """Take the next bytes."""
        while data:
            self._close_full()
            if self._stop is None:
                raise ValueError("there are more bytes than the last piece takes")
            taken = data[: self._stop - self._at]
            self._digest.update(taken)
            self._at += len(taken)
            data = data[len(taken) :]

    def _close_full(self) -> None:
        while self._stop is not None and self._stop <= self._at:
            self._done.append(self._digest.digest())
            self._begin()

    def finish(self) -> Iterator[bytes]:
        """All digests, when the last byte was taken."""
        self._close_full()
        yield from self._done
