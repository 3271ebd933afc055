# SPDX-License-Identifier: Apache-2.0
"""A refusal in the middle of a load comes to light, whatever Keras makes of the exception."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.loading import in_progress
from keras_integrity_hook.loading.in_progress import LoadInProgress
from keras_integrity_hook.policy import refusal
from keras_integrity_hook.verification.verified_file import VerifiedFile


def _nothing() -> None:
    """Nobody keeps anything to go back to."""


@contextlib.contextmanager
def surfacing_failures(
    before_unleased: Callable[[], None] = _nothing,
) -> Iterator[list[VerifiedFile]]:
    """Raise what was refused meanwhile, even where Keras swallowed or re-wrapped the exception.

    Args:
        before_unleased: called when a file is handed out that a writer may still change.

    Raises:
        IntegrityError: the first refusal of the block.
    """
    handled = sys.exception()
    with in_progress.watched(before_unleased) as load:
        try:
            yield load.files
        except Exception as error:
            load.finish()
            failure = load.failure or refusal.refusal_behind(error, handled)
            if failure is None:
                raise
            _record(failure, load)
            if failure is error:
                raise
            raise failure from None
        load.finish()
        if load.failure is not None:
            _record(load.failure, load)
            raise load.failure


def require_verdict() -> None:
    """Wait for the verdict over what was handed out so far in this load.

    Raises:
        IntegrityError: the first refusal.
    """
    load = in_progress.current()
    load.finish()
    if load.failure is not None:
        raise load.failure


def speaking_of(error: Exception, private: str, path: str, *, below: str = "") -> None:
    """Let ``error``, of a host, name the user's ``path`` where it names the ``private`` one.

    Only its texts are changed: those it was made with, and TensorFlow's message beside them.

    Args:
        below: the last part of ``private``, where the loader was given the directory above it.
    """
    pairs = [(private, path)]
    if below:
        pairs.append((os.path.dirname(private), os.path.dirname(path) or os.curdir))

    def renamed(value: object) -> object:
        for one, other in pairs if isinstance(value, str) else ():
            value = str(value).replace(one, other)
        return value

    error.args = tuple(map(renamed, error.args))
    for name in ("filename", "filename2", "_message"):
        value = getattr(error, name, None)
        if isinstance(value, str):
            setattr(error, name, renamed(value))


def _record(failure: IntegrityError, load: LoadInProgress) -> None:
    """For the record, which has it by now that the load is good."""
    if failure.path is None and load.files:
        failure.path = load.files[-1].path
    refusal.tell(failure)
