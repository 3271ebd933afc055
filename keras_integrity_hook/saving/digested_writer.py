# SPDX-License-Identifier: Apache-2.0
"""A new file whose chunks are digested by other threads while it is being written.

A save is mostly the work of one thread, so that what is written can be digested beside it at next
to no cost in time. Every write goes through here: a chunk that is written to again after it was
digested counts as not digested, whoever wrote the file and in whatever order. What is left at the
end (where two writes met, the last piece) is for :func:`sealing.tree.table`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from typing import Any

from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.content import Content, FileContent
from keras_integrity_hook.sealing.digesting import Digesting

_PIECE = 4 * MIB  # of a long write, after which what is written so far may be digested


class ChunkDigests:
    """The digests of those chunks of a file that have been written once and not touched since.

    Args:
        fd: descriptor of the file, open for reading until :meth:`stop` has returned.
        start: where the content begins (bytes).
        algorithm: a name of :data:`sealing.tree.ALGORITHMS`.
    """

    def __init__(self, fd: int, *, start: int, algorithm: str) -> None:
        self._fd, self._start, self._algorithm = fd, start, algorithm
        self._size = LIMITS.min_chunk  # that of a content of up to 4 GiB; see tree.chunk_size_for
        self._filled: dict[int, int] = {}  # how much of a chunk, from its first byte on
        self._asked: set[int] = set()
        self._stale: set[int] = set()
        self._digests: dict[int, bytes] = {}
        self._work: Digesting[int] = Digesting(self._prepared)

    def written(self, start: int, stop: int) -> None:
        """The bytes of the file from ``start`` to before ``stop`` have just been written."""
        start, stop = max(start - self._start, 0), stop - self._start
        for index in range(start // self._size, tree.chunk_count(stop, self._size)):
            first = index * self._size
            self._touched(index, max(start - first, 0), min(stop - first, self._size))

    def cut(self, size: int) -> None:
        """The file has been made ``size`` bytes long, perhaps longer than it was."""
        first = max(size - self._start, 0) // self._size
        self._stale.update(index for index in self._asked if index >= first)
        self._filled = {index: end for index, end in self._filled.items() if index < first}

    def known(self, content: Content, chunk_size: int, algorithm: str) -> Mapping[int, bytes]:
        """The digests that are good for ``content``, by chunk; no more bytes may be written.

        Empty where the file is another one or is to be digested otherwise.
        """
        self.stop()
        if not isinstance(content, FileContent) or not self._is_of(content):
            return {}
        if (chunk_size, algorithm) != (self._size, self._algorithm):
            return {}
        whole = content.length // chunk_size  # what follows in the file need not be of the content
        good = {*self._digests} - self._stale
        return {index: self._digests[index] for index in good if index < whole}

    def _is_of(self, content: FileContent) -> bool:
        same_file = os.path.samestat(system.fstat(content.fd), system.fstat(self._fd))
        return same_file and content.start == self._start

    def stop(self) -> None:
        """Digest no more, and wait for the threads; may be called again."""
        self._work.stop()

    def _touched(self, index: int, begin: int, end: int) -> None:
        if index in self._asked:
            self._stale.add(index)
            return
        filled = self._filled.get(index, 0)
        if begin > filled or index >= LIMITS.chunks:
            return
        self._filled[index] = max(filled, end)
        if self._filled[index] == self._size and not self._work.is_over:
            self._asked.add(index)
            self._work.put(index)

    def _prepared(self) -> Callable[[int], None]:
        buffer = memoryview(bytearray(self._size))

        def digest(index: int) -> None:
            self._digests[index] = self._digest(index, buffer)

        return digest

    def _digest(self, index: int, buffer: memoryview) -> bytes:
        begin = self._start + index * self._size
        FileContent(self._fd, begin, self._size).read_into(0, buffer)
        digest = tree.new_hash(self._algorithm)
        digest.update(buffer)
        return bytes(digest.digest())


class DigestedWriter(io.RawIOBase):
    """The file object that a model is written to.

    Args:
        fd: descriptor of an empty file, open for reading and writing; :meth:`abandon` closes it.
        name: the file's path, for programs that ask a file object for it.
        start: where the content will begin (bytes).
        algorithm: a name of :data:`sealing.tree.ALGORITHMS`.

    Attributes:
        digests: what is known of the content so far.
        is_possible: whether this system can write at an offset, without which there is none.
    """

    is_possible = hasattr(os, "pwrite")

    def __init__(self, fd: int, *, name: str, start: int, algorithm: str) -> None:
        self.digests = ChunkDigests(fd, start=start, algorithm=algorithm)
        self.name = name
        self.mode = "rb+"
        self._fd = fd
        self._position = 0
        self._is_abandoned = False

    def abandon(self) -> None:
        """Close the descriptor, and take whatever else is written for nothing.

        A program whose save has failed may leave its file object open (Keras an HDF5 file, when a
        layer raises), and the HDF5 library writes what it has left whenever that is collected. It
        must not fail then, nor write into whatever has got the number of the descriptor since.
        """
        if not self._is_abandoned:
            self._is_abandoned = True
            self.digests.stop()
            os.close(self._fd)

    def readable(self) -> bool:
        """It is."""
        return True

    def writable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The position (bytes)."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; as :meth:`io.IOBase.seek`."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        if base is None:
            base = 0 if self._is_abandoned else system.fstat(self._fd).st_size
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` as far as the file goes; as :meth:`io.RawIOBase.readinto`."""
        view = memoryview(buffer).cast("B")
        data = b"" if self._is_abandoned else system.pread(self._fd, len(view), self._position)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def write(self, data: Any) -> int:
        """Write all of ``data`` at the position.

        Raises:
            OSError: the disk is full, ...
        """
        view = memoryview(data).cast("B")
        written = 0
        while written < len(view) and not self._is_abandoned:
            # Long writes are cut where chunks may end, so that none is found in two pieces.
            at = self._position + written
            piece = view[written : written + _PIECE]
            done = system.pwrite(self._fd, piece, at)
            self.digests.written(at, at + done)
            written += done
        self._position += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Cut or extend the file to ``size`` bytes, by default to the position."""
        size = self._position if size is None else size
        if not self._is_abandoned:
            os.ftruncate(self._fd, size)
            self.digests.cut(size)
        return size
