# SPDX-License-Identifier: Apache-2.0
"""The load in progress: what the functions of Keras that call each other in it have to know."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.verification.verified_file import VerifiedFile


@dataclass(frozen=True, slots=True)
class LoadInProgress:
    """One call of Keras that loads, or several of which one calls the other.

    Attributes:
        files: handed to it; whoever watches it asks them afterwards whether a read was refused.
        before_unleased: what to do before a file is handed out that may change under its reader.
        admitted: sets without a seal that were let through, and are not to be asked about again.
        is_watched: somebody closes the ``files``.
    """

    files: list[VerifiedFile] = field(default_factory=list)
    before_unleased: Callable[[], None] = lambda: None
    admitted: frozenset[Place] = frozenset()
    is_watched: bool = False

    def sets_of(self, path: str) -> tuple[str, ...]:
        """The paths of the admitted sets that ``path`` is a file of: rules for those are for it."""
        if "/../" in path:
            return ()  # its text does not tell where it leads
        folder, name = os.path.split(path)
        return tuple(
            place.path
            for place in self.admitted
            if (
                path.startswith(place.directory + os.sep)
                if place.kind.whole_directory
                else folder == place.directory and place.owns(name)
            )
        )

    def hand_out(self, file: VerifiedFile) -> VerifiedFile:
        """Note ``file``, which is about to be handed to Keras."""
        if self.is_watched:
            self.files.append(file)
            if file.may_change:
                self.before_unleased()
        return file

    def finish(self) -> None:
        """Wait for the verdict over each of the ``files``; a refusal is their failure."""
        for file in self.files:
            file.finish()

    @property
    def failure(self) -> IntegrityError | None:
        """The error of the first read that was refused, even where Keras swallowed it."""
        return next((file.failure for file in self.files if file.failure is not None), None)


_NONE = LoadInProgress()
_current: ContextVar[LoadInProgress] = ContextVar("_current", default=_NONE)


def current() -> LoadInProgress:
    """The innermost; one of no consequence where none is."""
    return _current.get()


@contextlib.contextmanager
def watched(before_unleased: Callable[[], None]) -> Iterator[LoadInProgress]:
    """A call of its own, whose files are closed at the end."""
    load = LoadInProgress([], before_unleased, current().admitted, is_watched=True)
    token = _current.set(load)
    try:
        yield load
    finally:
        _current.reset(token)
        _close_all(load.files)


@contextlib.contextmanager
def admitted(place: Place) -> Iterator[None]:
    """Let the set at ``place``, which has no seal, through in this block."""
    load = current()
    token = _current.set(replace(load, admitted=load.admitted | {place}))
    try:
        yield
    finally:
        _current.reset(token)


def _close_all(files: list[VerifiedFile]) -> None:
    """Close every one, whatever the others do."""
    with contextlib.ExitStack() as stack:
        for file in files:
            stack.callback(file.close)
