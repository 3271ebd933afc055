# SPDX-License-Identifier: Apache-2.0
"""What lies behind a URL: one file, read in ranges or as a stream, or a directory.

    with open_source("s3://models/a.keras") as source:
        head = source.read(0, 512)
        for data in source.stream():
            ...

A store is asked anew each time; nothing of an answer is kept.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from keras_integrity_hook.errors import (
    LimitExceededError,
    RemoteChangedError,
    RemoteUnavailableError,
)
from keras_integrity_hook.files.closing import Closing
from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.remote import urls
from keras_integrity_hook.remote.failures import speaking_of
from keras_integrity_hook.remote.store import Entry, Parts, Reader, Store
from keras_integrity_hook.remote.stores import store_of

__all__ = [
    "Entry",
    "Source",
    "exists",
    "is_directory",
    "listing",
    "open_companion",
    "open_source",
    "walk",
]

PIECE = 8 * MIB


class Source(Closing):
    """A file behind a URL.

    Attributes:
        url: as it was given.
        size: in bytes, as the store says.
        version: of the content, see :class:`Entry`; empty where the store has none.
    """

    def __init__(self, url: str, store: Store, entry: Entry) -> None:
        self.url = url
        self.size = entry.size
        self.version = entry.version
        self._entry = entry
        self._store = store
        self._reader: Reader | None = None

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes (at most) from ``offset`` on, fewer at the end of the file alone.

        Raises:
            FileNotFoundError: it is gone. RemoteUnavailableError: it cannot be read.
        """
        length = max(0, min(length, self.size - offset))
        with speaking_of(self.url):
            if self._reader is None:
                self._reader = self._store.open(self.url)
            data = b""
            while len(data) < length:
                more = self._reader.read(offset + len(data), length - len(data))
                if not more:
                    raise self._changed()
                data += more
            return data

    @property
    def parts(self) -> Parts | None:
        """How parts of it are read best, by several readers; None for not at all."""
        return self._store.parts(self.url)

    def again(self) -> Source:
        """The same file, for a reader of its own: one thread reads at a time."""
        return Source(self.url, self._store, self._entry)

    def stream(self, piece: int = PIECE) -> Iterator[bytes]:
        """The whole file, once, in pieces of about ``piece`` bytes.

        Raises:
            FileNotFoundError: it is gone. RemoteUnavailableError: it cannot be read.
            RemoteChangedError: it is longer or shorter than the store said, or was replaced
                meanwhile.
        """
        left = self.size
        try:
            with speaking_of(self.url):
                for data in self._pieces(piece):
                    left -= len(data)
                    if left < 0:
                        break
                    yield data
        except (FileNotFoundError, RemoteUnavailableError):
            self.check_again()  # some stores tell of a new one by an error of theirs
            raise
        if left:
            raise self._changed()
        self.check_again()

    def _pieces(self, piece: int) -> Iterator[bytes]:
        parts = self.parts
        if parts is None:
            yield from self._store.stream(self.url, piece)
            return
        step = min(piece, parts.piece)
        for offset in range(0, self.size, step):
            yield self.read(offset, step)

    def check_again(self) -> None:
        """Whether the same file lies there still.

        Raises:
            RemoteChangedError: another one, or none.
        """
        try:
            with speaking_of(self.url):
                now = self._store.stat(self.url)
        except FileNotFoundError:
            raise self._changed() from None
        if (now.size, now.version) != (self.size, self.version):
            raise self._changed()

    def close(self) -> None:
        """Give back what it holds; calling it again does nothing."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _changed(self) -> RemoteChangedError:
        return RemoteChangedError(
            "it was replaced while it was fetched, or is shorter than the store says",
            path=urls.shown(self.url),
        )


def open_source(url: str) -> Source:
    """The file at ``url``.

    Raises:
        FileNotFoundError: nothing is there.
        IsADirectoryError: a directory is.
        UnknownSchemeError: nothing that is installed reads such URLs.
        RemoteError: the store cannot be asked.
    """
    store = store_of(url)
    with speaking_of(url):
        entry = store.stat(url)
    if entry.is_directory:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), urls.shown(url))
    if entry.size > LIMITS.content:
        raise LimitExceededError(
            f"a file of {entry.size} bytes is over {LIMITS.content}", path=urls.shown(url)
        )
    return Source(url, store, entry)


def open_companion(url: str) -> Source | None:
    """The file at ``url``, which says something of a model beside it; None where there is none.

    What S3 says of what is not there to who may not list it is that he may not read it.

    Raises:
        RemoteError: as :func:`open_source`.
    """
    try:
        return open_source(url)
    except (FileNotFoundError, IsADirectoryError):
        return None
    except RemoteUnavailableError as error:
        if isinstance(error.__cause__, PermissionError):
            return None
        raise


def is_directory(url: str) -> bool:
    """Whether a directory lies there; raises as :func:`open_source` but for what is absent."""
    try:
        with speaking_of(url):
            return store_of(url).stat(url).is_directory
    except FileNotFoundError:
        return False


def exists(url: str) -> bool:
    """Whether anything lies there; raises as :func:`open_source` but for what is absent."""
    try:
        with speaking_of(url):
            store_of(url).stat(url)
    except FileNotFoundError:
        return False
    return True


def listing(url: str) -> Iterator[Entry]:
    """What lies in the directory ``url``, in no order.

    Raises:
        FileNotFoundError: nothing is there. RemoteError: the store cannot be asked.
    """
    store = store_of(url)
    with speaking_of(url):
        yield from store.listing(url)


def walk(url: str) -> Iterator[Entry]:
    """The files below the directory ``url``, at any depth.

    Raises:
        LimitExceededError: it is deeper than ``LIMITS.tree_depth``, or has too many entries.
        FileNotFoundError, RemoteError: as :func:`listing`.
    """
    pending, count = [(url, 0)], 0
    while pending:
        at, depth = pending.pop()
        for entry in listing(at):
            count += 1
            if depth >= LIMITS.tree_depth or count > LIMITS.tree_entries:
                raise LimitExceededError(
                    f"there are over {LIMITS.tree_entries} entries, or directories over "
                    f"{LIMITS.tree_depth} deep",
                    path=urls.shown(url),
                )
            if entry.is_directory:
                pending.append((entry.url, depth + 1))
            else:
                yield entry
