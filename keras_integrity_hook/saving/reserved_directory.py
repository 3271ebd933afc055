# SPDX-License-Identifier: Apache-2.0
"""A model directory: where it is written privately, and how it gets to its place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from keras_integrity_hook import notices
from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.kinds import Kind, Place
from keras_integrity_hook.containers.opening import open_set
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files import atomic, exchange
from keras_integrity_hook.files.atomic import PrivateFile
from keras_integrity_hook.files.target import real_path, refuse_links_of_others
from keras_integrity_hook.saving import authorship, autosign, seal_set
from keras_integrity_hook.saving.steps import Outcome, Requested, Reserved


class ReservedDirectory(Reserved):
    """A private directory that will take the place of the one at the destination."""

    def __init__(self, made: PrivateFile, kind: Kind) -> None:
        self.made = made
        self.kind = kind
        self.where = str(made.path)
        self.pinned = os.path.join(made.pinned_folder, made.name)
        self._is_old = replaced_in(Place(kind, made.target.path, ""))

    @property
    def private(self) -> str:
        """Where the seal lies before it is put in place."""
        return os.path.join(self.pinned, self.kind.seal)

    def is_replaced(self, name: str) -> bool:
        """Whether a file of the old directory belongs to the model that goes."""
        return self._is_old(name)

    def seal(self, requested: Requested) -> Outcome:
        """Seal it with what it keeps of the directory that it replaces."""
        written = authorship.names_below(self.pinned)
        exchange.bring_along(self.made, self.is_replaced)

        def is_kept(name: str) -> bool:
            is_old = name in written or self.is_replaced(name)
            return not is_old and self.kind.is_read(name)

        old = self.made.target.path
        with autosign.only_own_work(lambda: authorship.others_could_write_kept(old, is_kept)):
            return seal_set.sealed(Place(self.kind, self.pinned, ""), requested.path)

    def put_in_place(self, requested: Requested) -> None:
        """Exchange the two."""
        exchange.put_in_place(self.made, self.is_replaced)


class OpenDirectory(Reserved):
    """The destination itself, which cannot be replaced, only what is in it: no atomic way exists.

    What is left there of the model before is removed: nobody wrote it now, and the seal would vouch
    for it.
    """

    def __init__(self, target: str, kind: Kind) -> None:
        self.place = Place(kind, target, "")
        self.where = target
        self._older = _files_of_model(self.place)
        # Never a new model with an old seal, however this ends.
        Path(target, kind.seal).unlink(missing_ok=True)

    def seal(self, requested: Requested) -> Outcome:
        """Seal what Keras wrote and nothing older."""
        for file, identity in self._older.items():
            if _identity(file) == identity:
                file.unlink(missing_ok=True)
        return seal_set.sealed(self.place, requested.path)

    def put_in_place(self, requested: Requested) -> None:
        """It is there already."""


def reservations(path: str, kind: Kind) -> Iterator[AbstractContextManager[Reserved]]:
    """Where the directory may be written: beside the destination, or at it where it must be."""
    target = real_path(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)  # as the writers of directories do
    if is_replaceable(target):
        yield beside(target, kind)
    else:
        refuse_links_of_others(target)
        warn_of_overwriting(target)
        yield contextlib.nullcontext(OpenDirectory(target, kind))


@contextlib.contextmanager
def beside(
    target: str, kind: Kind, form: type[ReservedDirectory] = ReservedDirectory
) -> Iterator[Reserved]:
    """A place beside ``target``, for a directory that takes its place."""
    with atomic.open_target(target) as opened, atomic.private_file(opened) as made:
        yield form(made, kind)


def may_become_directory(path: str) -> bool:
    """Whether ``path`` leads to a directory or to nothing yet."""
    target = real_path(path)
    return os.path.isdir(target) or not os.path.lexists(target)


def is_replaceable(target: str) -> bool:
    """Whether another directory can be put in the place of ``target``."""
    if _holds_working_directory(target) or not os.access(os.path.dirname(target), os.W_OK):
        return False
    return not os.path.lexists(target) or not exchange.holds_foreign_ground(target)


def warn_of_overwriting(target: str) -> None:
    """Say what it means that files are overwritten in place, where any are there."""
    if not _holds_anything(target):
        return
    notices.overwritten(target, "the directory cannot be replaced", place=target)


def replaced_in(place: Place) -> Callable[[str], bool]:
    """Which files of the directory at ``place`` are of the model before: those its seal lists, and
    whatever has the name of a loader's file. The rest may be anything of the user's."""
    names = {place.seal}
    with contextlib.suppress(IntegrityError), open_set(place.directory, place, hold=False) as old:
        if old.seal is not None:
            listed = old.seal.statement.files
            names |= {file_set.name_of(place, member.name) for member in listed}
    return lambda name: name in names or ("/" not in name and place.kind.is_read(name))


def _holds_anything(directory: str) -> bool:
    try:
        return bool(os.listdir(directory))
    except FileNotFoundError:
        return False
    except OSError:
        return True  # who may not look into it may still be able to write its files


def _holds_working_directory(target: str) -> bool:
    # A process whose working directory was replaced would find itself in a deleted one.
    try:
        return os.path.lexists(target) and Path(os.getcwd()).is_relative_to(target)
    except FileNotFoundError:
        return False  # it is deleted already


def _files_of_model(place: Place) -> dict[Path, tuple[int, ...]]:
    is_replaced, top = replaced_in(place), Path(place.directory)
    return {
        file: _identity(file)
        for file in top.rglob("*")
        if not file.is_dir() and is_replaced(str(file.relative_to(top)))
    }


def _identity(file: Path) -> tuple[int, ...]:
    try:
        found = file.lstat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns
