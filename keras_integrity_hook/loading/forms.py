# SPDX-License-Identifier: Apache-2.0
"""How single files and sets are opened for a load, and how they are handed over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.model_file import ModelFile, single_file
from keras_integrity_hook.containers.opening import open_set
from keras_integrity_hook.errors import UnreadableFileError
from keras_integrity_hook.files import local_copies
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.reading import duplicated, open_regular
from keras_integrity_hook.saving import settled
from keras_integrity_hook.sealing.content import FileContent
from keras_integrity_hook.verification.holding import Unsealed, Verified
from keras_integrity_hook.verification.verified_directory import VerifiedDirectory
from keras_integrity_hook.verification.verified_file import VerifiedFile


@dataclass(frozen=True, slots=True)
class Located:
    """Where a model is.

    Attributes:
        path: what it is called, in errors and by the policy.
        place: where the set lies; None for a single file.
        fd: the single file, where the caller has opened it.
        named: what the user named, where that leads to ``path`` and is not the same.
    """

    path: str
    place: Place | None = None
    fd: int | None = None
    named: tuple[str, ...] = ()


class Closable(Protocol):
    """What can be taken back."""

    def close(self) -> None:
        """Give back what it holds; calling it again does nothing."""


Checked = TypeVar("Checked", bound=Closable)
Unchecked_co = TypeVar("Unchecked_co", covariant=True)


class Form(Protocol[Checked, Unchecked_co]):
    """What is different about single files and sets."""

    def open(self, located: Located) -> ModelFile:
        """Steps 2 and 3. Raises IntegrityError."""

    def hand_over(self, verified: Verified) -> Checked:
        """Step 6; takes ``verified`` over. Raises IntegrityError."""

    def when_whole(self, handed: Checked, action: Callable[[], None]) -> None:
        """Do ``action`` when all of what was handed over was verified."""

    def hand_over_unsealed(self, model: ModelFile) -> Unchecked_co:
        """Step 6, of what has no seal and needs none; takes ``model`` over."""

    def hand_over_damaged(self, located: Located) -> Unchecked_co:
        """What mode ``warn`` lets through. Raises UnreadableFileError."""


class SingleFile:
    """One file, handed over as a file object."""

    def open(self, located: Located) -> ModelFile:
        """Steps 2 and 3. Raises IntegrityError."""
        model = settled.open_settled(located.path, fd=located.fd)
        if model.files is not None:
            model.close()
            raise UnreadableFileError("is a directory or a set, not one file", path=model.path)
        return model

    def hand_over(self, verified: Verified) -> VerifiedFile:
        """The bytes under their seal."""
        return VerifiedFile.of(verified)

    def when_whole(self, handed: VerifiedFile, action: Callable[[], None]) -> None:
        """Now, or at the verdict over what is verified while it is read."""
        handed.when_whole(action)

    def hand_over_unsealed(self, model: ModelFile) -> VerifiedFile:
        """The bytes as they are, or were when they were inspected."""
        return VerifiedFile.unchecked(model)

    def hand_over_damaged(self, located: Located) -> VerifiedFile:
        """The bytes as they are, whole. Its readers know where HDF5 and ZIP begin."""
        path, given = located.path, located.fd
        fd = open_regular(path) if given is None else duplicated(path, given)
        content = FileContent(fd, 0, system.fstat(fd).st_size)
        return VerifiedFile.unchecked(single_file(path, fd, "unknown", content))


class FileSet(NamedTuple):
    """A model of several files, handed over as a private directory; None for the user's own.

    Attributes:
        place: where it lies.
        below: a name for its directory, where the loader is given the one above it.
    """

    place: Place
    below: str

    def open(self, located: Located) -> ModelFile:
        """Steps 2 and 3. Raises IntegrityError."""
        return open_set(located.path, self.place, hold=True)

    def hand_over(self, verified: Verified) -> VerifiedDirectory:
        """The files, and nothing else."""
        return VerifiedDirectory(verified, self.below)

    def when_whole(self, handed: VerifiedDirectory, action: Callable[[], None]) -> None:
        """Now, or at the verdict over what is verified while it is read."""
        handed.when_whole(action)

    def hand_over_unsealed(self, model: ModelFile) -> VerifiedDirectory | None:
        """The files as they were inspected; else the loader reads where the user's files lie."""
        try:
            if model.files is not None and local_copies.is_copy(self.place.directory):
                file_set.take_hold(model.files)  # the user's own are not where a loader could read
            if model.files is None or not model.files.is_held:
                model.close()
                return None
            return VerifiedDirectory(Unsealed(model), self.below)
        except BaseException:
            model.close()
            raise

    def hand_over_damaged(self, located: Located) -> None:
        """The loader reads where the user's files lie."""
