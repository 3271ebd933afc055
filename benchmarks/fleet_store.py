# SPDX-License-Identifier: Apache-2.0
"""A store of as many models as one likes, which answers each request after a while.

    sim://COUNT-MILLISECONDS/d00012/m00345.keras

COUNT models, a thousand in each directory, all with the bytes of one file; nothing of them is held.
Loaded into each worker by Dask (``distributed.worker.preload``), where it registers itself.
"""

from __future__ import annotations

import functools
import io
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
from fsspec.spec import AbstractFileSystem

from keras_integrity_hook.fleet.findings import Finding
from keras_integrity_hook.fleet.options import Options
from keras_integrity_hook.fleet.targets import Target

MODEL_VARIABLE = "SIMULATED_MODEL"
"""Names the file whose bytes each model has."""
UNREAD_VARIABLE = "SIMULATED_UNREAD"
"""Says that no model is read: each has the finding of the first."""
PER_DIRECTORY = 1_000


@functools.cache
def _bytes() -> bytes:
    return Path(os.environ[MODEL_VARIABLE]).read_bytes()


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
        return io.BufferedReader(io.BytesIO(_bytes()))


def _entry(path: str) -> dict[str, Any]:
    return {"name": path, "size": len(_bytes()), "type": "file", "ETag": path[-13:-6]}


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

    look = examine.examine_target
    first: list[Finding] = []

    def examined(target: Target, options: Options) -> Finding:
        if not first:
            first.append(look(target, options))
        return replace(first[0], location=target.location, version=target.version, seconds=0.0)

    examine.examine_target = examined


def url(count: int, milliseconds: float = 0) -> str:
    """The URL of ``count`` models."""
    return f"sim://{count}-{milliseconds:g}"
