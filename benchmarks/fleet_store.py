# SPDX-License-Identifier: Apache-2.0
"""A store of as many models as one likes, which answers each request after a while.

    sim://COUNT-MILLISECONDS/d00012/m0012345.keras

COUNT models, a thousand in each directory, with the bytes of the files that ``fleet_models`` makes;
nothing of them is held. Loaded into each worker by Dask (``distributed.worker.preload``), where it
registers itself, and counts the bytes that are read.
"""

from __future__ import annotations

import functools
import io
import mmap
import os
import struct
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
from fsspec.spec import AbstractFileSystem

from benchmarks import fleet_models
from keras_integrity_hook.fleet.findings import Finding
from keras_integrity_hook.fleet.options import Options
from keras_integrity_hook.fleet.targets import Target

MODELS_VARIABLE = "SIMULATED_MODELS"
"""Names the directory with the files of ``fleet_models``; each worker counts in it, too."""
UNREAD_VARIABLE = "SIMULATED_UNREAD"
"""Says that no model is read: each has the finding of the first of its kind."""
PER_DIRECTORY = 1_000


_COUNTED = "read-"
_count = struct.Struct("<Q")


def _folder() -> Path:
    return Path(os.environ[MODELS_VARIABLE])


@functools.cache
def _bytes(kind: str) -> bytes:
    return fleet_models.path_of(_folder(), kind).read_bytes()


def size_of(count: int) -> int:
    """Bytes that the first ``count`` models have."""
    each = [len(_bytes(fleet_models.kind_of(number))) for number in range(100)]
    return count // 100 * sum(each) + sum(each[: count % 100])


def bytes_read() -> int:
    """Bytes that workers have read so far, those included that were killed."""
    counted = _folder().glob(f"{_COUNTED}*")
    return sum(_count.unpack(path.read_bytes())[0] for path in counted)


@functools.cache
def _counter() -> mmap.mmap:
    """What outlives a process that is killed."""
    path = _folder() / f"{_COUNTED}{os.getpid()}-{time.time_ns()}"
    path.write_bytes(_count.pack(0))
    with open(path, "r+b") as file:
        return mmap.mmap(file.fileno(), _count.size)


class _Counted(io.RawIOBase):
    """Bytes whose reading is counted."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._data.seek(offset, whence)

    def readinto(self, buffer: Any, /) -> int:
        count = self._data.readinto(buffer)
        _add(count)
        return count


_lock = threading.Lock()


def _add(count: int) -> None:
    with _lock:
        counter = _counter()
        counter[:] = _count.pack(_count.unpack(counter[:])[0] + count)


class SimulatedStore(AbstractFileSystem):
    """See the module."""

    protocol = "sim"

    def info(self, path: str, **keywords: Any) -> dict[str, Any]:
        """What lies at ``path``."""
        path = self._strip_protocol(path)
        _wait(path)
        if path.endswith(".keras"):
            return _entry(path)
        return {"name": path, "size": 0, "type": "directory"}

    def ls(self, path: str, detail: bool = True, **keywords: Any) -> list[Any]:
        """The directories of a bucket, or the models of one."""
        path = self._strip_protocol(path)
        _wait(path)
        bucket, _, folder = path.partition("/")
        count = int(bucket.partition("-")[0])
        if not folder:
            names = [f"{path}/d{number:05}" for number in range(-(-count // PER_DIRECTORY))]
            return [{"name": name, "size": 0, "type": "directory"} for name in names]
        first = int(folder[1:]) * PER_DIRECTORY
        here = range(first, min(first + PER_DIRECTORY, count))
        return [_entry(f"{path}/m{number:07}.keras") for number in here]

    def _open(self, path: str, mode: str = "rb", **keywords: Any) -> Any:
        _wait(self._strip_protocol(path))
        return _Counted(_bytes(_kind(path)))


def _kind(path: str) -> str:
    return fleet_models.kind_of(int(path[-13:-6]))


def _entry(path: str) -> dict[str, Any]:
    size = len(_bytes(_kind(path)))
    return {"name": path, "size": size, "type": "file", "ETag": path[-13:-6]}


def _wait(path: str) -> None:
    milliseconds = float(path.partition("/")[0].partition("-")[2] or 0)
    if milliseconds:
        time.sleep(milliseconds / 1000)


def register() -> None:
    """Let fsspec know the scheme in this process."""
    fsspec.register_implementation("sim", SimulatedStore, clobber=True)


def dask_setup(worker: Any) -> None:
    """Called by Dask once in each worker."""
    register()
    if os.environ.get(UNREAD_VARIABLE):
        _read_one_only()


def _read_one_only() -> None:
    from keras_integrity_hook.fleet import examine

    look = examine.examine_one
    first: dict[str, Finding] = {}

    def examined(target: Target, options: Options) -> Finding:
        kind = _kind(target.location)
        if kind not in first:
            first[kind] = look(target, options)
        found = first[kind]
        return replace(found, location=target.location, version=target.version, seconds=0.0)

    examine.examine_one = examined


def url(count: int, milliseconds: float = 0) -> str:
    """The URL of ``count`` models."""
    return f"sim://{count}-{milliseconds:g}"
