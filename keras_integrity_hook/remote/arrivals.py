# SPDX-License-Identifier: Apache-2.0
"""Digests of files from other file systems, computed while they arrive.

What is fetched is written to a private file; other threads digest the same bytes meanwhile, chunk
by chunk as a seal would. A load then need not read the file to digest it, as long as nobody but us
has written to it since (:mod:`files.sole_writer`).

    with arrivals.noted() as noted:
        ... noted.keep(fd, arriving) ...
        arrivals.known(content, chunk_size, algorithm)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import NamedTuple

from keras_integrity_hook.files.sole_writer import Untouched
from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.content import Content, FileContent, JoinedContent
from keras_integrity_hook.sealing.digesting import Digesting

_WAITING = 4 * MIB  # bytes of one file that have arrived and are to be digested
_CHUNK = 8 * MIB  # that of a content of 32 GiB; larger ones would be much to hold
_NOTHING: Mapping[int, bytes] = MappingProxyType({})


class Cut(NamedTuple):
    """How a file is cut into chunks.

    Attributes:
        algorithm: a name of :data:`sealing.tree.ALGORITHMS`.
        size: of each chunk (bytes).
        first: where in the file the first one begins (bytes).
    """

    algorithm: str
    size: int
    first: int = 0

    @property
    def is_feasible(self) -> bool:
        """Whether one of its chunks may be held in memory, and its algorithm can be computed."""
        return self.size <= _CHUNK and tree.is_available(self.algorithm)


class Arriving:
    """The digests of the whole chunks of one file, whose bytes are given in their order."""

    def __init__(self, cut: Cut) -> None:
        self.cut = cut
        self.digests: dict[int, bytes] = {}
        self._skip = cut.first
        self._at = cut.first  # where in the file the chunk begins that is being put together
        self._pieces: list[memoryview] = []
        self._left = cut.size
        self._work: Digesting[_Job] = Digesting(lambda: self._digested)

    def update(self, data: bytes) -> None:
        """Take the next bytes of the file."""
        view = memoryview(data)
        skipped = min(self._skip, len(view))
        self._skip -= skipped
        view = view[skipped:]
        while view:
            piece, view = view[: self._left], view[self._left :]
            self._pieces.append(piece)
            self._left -= len(piece)
            if not self._left:
                self._digest(_Job(self._at, self._pieces))
                self._at += self.cut.size
                self._pieces, self._left = [], self.cut.size

    def finish(self) -> Mapping[int, bytes]:
        """The digests by where in the file their chunks begin; no more bytes may be given."""
        self._work.finish()
        return self.digests

    def close(self) -> None:
        """Digest no more; calling it again, or after the end, does nothing."""
        self._work.stop()

    def _digest(self, job: _Job) -> None:
        if len(self.digests) >= LIMITS.chunks:
            return
        self._work.put(job)
        # Who fetches digests, too, before too much waits: there may be no other thread.
        while self._work.waiting * self.cut.size > _WAITING or (
            not self._work.threads and self._work.waiting
        ):
            self._work.help()

    def _digested(self, job: _Job) -> None:
        digest = tree.new_hash(self.cut.algorithm)
        for piece in job.pieces:
            digest.update(piece)
        self.digests[job.start] = digest.digest()


class _Job(NamedTuple):
    """A chunk to digest: where it begins in the file, and its bytes."""

    start: int
    pieces: list[memoryview]


class _Arrived(NamedTuple):
    cut: Cut
    digests: Mapping[int, bytes]


class Noted:
    """What is known of the files that have arrived; to be used from several threads."""

    def __init__(self) -> None:
        self._arrived: dict[Untouched, _Arrived] = {}

    def keep(self, file: Untouched, cut: Cut, digests: Mapping[int, bytes]) -> None:
        """Note the digests of ``file``, by where in it their chunks begin."""
        self._arrived[file] = _Arrived(cut, digests)

    def known(self, content: Content, chunk_size: int, algorithm: str) -> Mapping[int, bytes]:
        """See :func:`known`."""
        found: dict[int, bytes] = {}
        for start, part in _files_in(content):
            arrived = self._arrived.get(Untouched.of(part.fd))
            if arrived is None or arrived.cut[:2] != (algorithm, chunk_size):
                continue
            for offset, digest in arrived.digests.items():
                index, within = divmod(start + offset - part.start, chunk_size)
                is_inside = part.start <= offset <= part.start + part.length - chunk_size
                if is_inside and not within:
                    found[index] = digest
        return found


_noted: ContextVar[Noted | None] = ContextVar("_noted", default=None)


@contextlib.contextmanager
def noted() -> Iterator[Noted]:
    """Where what arrives in this block is noted."""
    found = Noted()
    token = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(token)


def known(content: Content, chunk_size: int, algorithm: str) -> Mapping[int, bytes]:
    """The digests of those chunks of ``content`` that nobody has touched since they arrived.

    By index; empty where nothing of it came from elsewhere. As they are now: whoever wants them to
    stay so takes a lease on the files first.
    """
    found = _noted.get()
    return _NOTHING if found is None else found.known(content, chunk_size, algorithm)


def _files_in(content: Content) -> Iterator[tuple[int, FileContent]]:
    """The open files that ``content`` is made of, and where in it each begins."""
    parts = content.placed if isinstance(content, JoinedContent) else [(0, content)]
    for start, part in parts:
        if isinstance(part, FileContent) and part.fd >= 0:
            yield start, part
