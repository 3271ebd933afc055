# SPDX-License-Identifier: Apache-2.0
"""What a store of files is asked for, whoever reads and writes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

OBJECT_STORES = {
    *("s3", "s3a", "s3n", "gs", "gcs", "az", "abfs", "abfss", "adl", "wasb", "wasbs"),
    *("oss", "oci", "ocilake", "tos", "tosfs", "cos", "obs"),
}
"""Object stores: a new object is there when it is whole, and to move one is to copy it."""


class Entry(NamedTuple):
    """What lies in a directory of a store.

    Attributes:
        size: in bytes; 0 for directories.
        version: a text that is another one when the content is: an ETag, a generation, or size and
            time of change; empty where the store has none.
        modified: when it was written, in seconds since 1970 by the store's clock; 0 for unknown.
    """

    url: str
    size: int
    version: str
    is_directory: bool
    modified: float = 0.0


class Reader(Protocol):
    """An open file of a store."""

    def read(self, offset: int, length: int) -> bytes:
        """At most ``length`` bytes from ``offset`` on; fewer at the end of the file alone."""

    def close(self) -> None:
        """Give back what it holds."""


class Parts(NamedTuple):
    """How parts of one large file are read best, by several readers.

    Attributes:
        piece: bytes of a read.
        at_once: how many readers.
    """

    piece: int
    at_once: int


class Store(Protocol):
    """One file system, whatever it is read through. Its methods raise what that raises."""

    def stat(self, url: str) -> Entry:
        """What lies at ``url``; raises FileNotFoundError."""

    def open(self, url: str) -> Reader:
        """Open the file ``url`` for reads at any place."""

    def stream(self, url: str, piece: int) -> Iterator[bytes]:
        """The whole file, in pieces of about ``piece`` bytes."""

    def parts(self, url: str) -> Parts | None:
        """How parts of ``url`` are read best; None where it is to be read as a stream."""

    def listing(self, url: str) -> Iterator[Entry]:
        """What lies in the directory ``url``, in no order."""

    def put(self, local: str, url: str, *, at_once: bool = False) -> None:
        """Copy the local file to ``url``; ``at_once`` where all of it may be held in memory."""

    def move(self, source: str, destination: str) -> None:
        """Let the file ``source`` take the place of ``destination``."""

    def remove(self, url: str) -> None:
        """Remove a file; raises FileNotFoundError."""

    def make_directory(self, url: str) -> None:
        """Make a directory and those above it, where the store has such a thing."""
