# SPDX-License-Identifier: Apache-2.0
"""The save that is going on: what Keras writes meanwhile is sealed by it, and by nobody else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path

from keras_integrity_hook.files import atomic
from keras_integrity_hook.files.target import real_path

Create = Callable[[], RawIOBase | None]


@dataclass(frozen=True, slots=True)
class SaveInProgress:
    """What is being written.

    Attributes:
        path: where, as Keras was told: a file, a directory, or what the files of a set begin with.
        real: the same path without links.
        user_block: bytes to reserve in an HDF5 file created there; 0 for none.
        create: see :func:`created`.
    """

    path: str
    real: str
    user_block: int
    create: Create


_current: ContextVar[SaveInProgress | None] = ContextVar("save_in_progress", default=None)


@contextlib.contextmanager
def writing(path: str, user_block: int = 0, create: Create = lambda: None) -> Iterator[None]:
    """While Keras writes at ``path`` what it calls in turn leaves sealing to us."""
    folder, name = os.path.split(path)
    real = str(Path(real_path(folder), name))
    token = _current.set(SaveInProgress(path, real, user_block, create))
    try:
        yield
    finally:
        _current.reset(token)


def is_saving() -> bool:
    """Whether this thread is in the middle of a save that will seal what is written."""
    return _current.get() is not None


def user_block_for(path: str) -> int:
    """The user block (bytes) that an HDF5 file created at ``path`` needs now; 0 for none."""
    current = _current.get()
    return current.user_block if current and current.path == path else 0


def created(path: str) -> RawIOBase | None:
    """The file to write in place of one that is opened at ``path``, which has its content digested
    meanwhile; None where ``path`` is to be opened."""
    current = _current.get()
    return current.create() if current and current.path == path else None


def writes(path: str) -> bool:
    """Whether the file ``path`` is the one that an outer save has asked for, and will seal."""
    current = _current.get()
    return current is not None and current.path == path


def covers(path: str) -> bool:
    """Whether an outer save (tf_keras around TensorFlow's SavedModel around its checkpoint) will
    seal ``path`` or the directory that it lies in."""
    current = _current.get()
    if current is None:
        return False
    target = Path(real_path(path))
    return Path(current.real) in (target, *target.parents)


def covers_beside(path: str) -> bool:
    """Likewise, or one of the files beside it that belong to the same set."""
    folder = os.path.dirname(real_path(path))
    return is_saving() and (covers(path) or atomic.is_ours(folder))
