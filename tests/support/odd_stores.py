# SPDX-License-Identifier: Apache-2.0
"""A store of fsspec's that does what a test wants: it counts, lies, and has no end."""

from __future__ import annotations

import errno
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import fsspec
from fsspec.spec import AbstractFileSystem


class OddStore(AbstractFileSystem):
    """What lies below ``odd://``: one for the process, emptied by :func:`odd_store`.

    Attributes:
        objects: the bytes of each object, by its path without the scheme.
        listings: what a directory says that it holds, where it lies; by its path.
        streams: objects whose bytes are made as they are read, by their paths.
        read: bytes that were read of each object.
        listed: how often each directory was listed.
    """

    protocol = "odd"
    cachable = False
    objects: ClassVar[dict[str, bytes]] = {}
    listings: ClassVar[dict[str, Callable[[], list[dict[str, Any]]]]] = {}
    streams: ClassVar[dict[str, tuple[int, Callable[[], bytes]]]] = {}
    read: ClassVar[Counter[str]] = Counter()
    listed: ClassVar[Counter[str]] = Counter()

    def info(self, path: str, **keywords: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        if path in self.streams:
            return {"name": path, "size": self.streams[path][0], "type": "file", "ETag": "endless"}
        if path in self.objects:
            data = self.objects[path]
            tag = f"{hash(data):x}"
            return {"name": path, "size": len(data), "type": "file", "ETag": tag}
        if path in self.listings or any(one.startswith(f"{path}/") for one in self.objects):
            return {"name": path, "size": 0, "type": "directory"}
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def ls(self, path: str, detail: bool = True, **keywords: Any) -> list[Any]:
        path = self._strip_protocol(path)
        self.listed[path] += 1
        if path in self.listings:
            return self.listings[path]()
        start = f"{path}/"
        inside = [one for one in {**self.objects, **self.streams} if one.startswith(start)]
        names = dict.fromkeys(one[len(start) :].partition("/")[0] for one in inside)
        if not names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return [self.info(start + name) for name in names]

    def _open(self, path: str, mode: str = "rb", **keywords: Any) -> Any:
        path = self._strip_protocol(path)
        if mode != "rb":
            return _Written(self.objects, path)
        if path in self.streams:
            return _Endless(self.streams[path][1])
        if path not in self.objects:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return _Counted(self.objects[path], self.read, path)

    def put_file(self, lpath: str, rpath: str, **keywords: Any) -> None:
        with open(lpath, "rb") as file:
            self.objects[self._strip_protocol(rpath)] = file.read()

    def mv(self, path1: str, path2: str, **keywords: Any) -> None:
        source, destination = self._strip_protocol(path1), self._strip_protocol(path2)
        self.objects[destination] = self.objects.pop(source)

    def rm_file(self, path: str) -> None:
        del self.objects[self._strip_protocol(path)]

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Directories are names."""


class _Counted(io.RawIOBase):
    def __init__(self, data: bytes, read: Counter[str], path: str) -> None:
        self._data, self._read, self._path, self._at = data, read, path, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        stop = len(self._data) if size < 0 else self._at + size
        data = self._data[self._at : stop]
        self._at += len(data)
        self._read[self._path] += len(data)
        return data


class _Endless(io.RawIOBase):
    def __init__(self, piece: Callable[[], bytes]) -> None:
        self._piece = piece

    def seek(self, offset: int, whence: int = 0) -> int:
        return offset

    def read(self, size: int = -1) -> bytes:
        return self._piece()


class _Written(io.BytesIO):
    def __init__(self, objects: dict[str, bytes], path: str) -> None:
        super().__init__()
        self._objects, self._path = objects, path

    def close(self) -> None:
        if not self.closed:
            self._objects[self._path] = self.getvalue()
        super().close()


@contextmanager
def odd_store() -> Iterator[type[OddStore]]:
    """The store, empty."""
    fsspec.register_implementation("odd", OddStore, clobber=True)
    everything = (OddStore.objects, OddStore.listings, OddStore.streams, OddStore.read)
    for one in (*everything, OddStore.listed):
        one.clear()
    try:
        yield OddStore
    finally:
        for one in (*everything, OddStore.listed):
            one.clear()
