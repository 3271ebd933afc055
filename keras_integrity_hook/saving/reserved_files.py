# SPDX-License-Identifier: Apache-2.0
"""The files of a set: where they are written privately, and how they get to their places."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager

from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.kinds import Kind, Place
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files import atomic, private_directory
from keras_integrity_hook.files.atomic import PrivateFile
from keras_integrity_hook.saving import commit, seal_set
from keras_integrity_hook.saving.steps import Outcome, Requested, Reserved


class ReservedFiles(Reserved):
    """A private directory for the files, named by what their names begin with."""

    def __init__(self, made: PrivateFile, kind: Kind) -> None:
        self.made = made
        self.kind = kind
        self.where = str(made.path)

    @property
    def private(self) -> str:
        """Where the seal lies before it is put in place."""
        place = self._written
        return os.path.join(place.directory, place.seal)

    @property
    def _written(self) -> Place:
        return Place(self.kind, self.made.pinned_folder, self.made.name)

    def seal(self, requested: Requested) -> Outcome:
        """Seal all files that are there."""
        place = self._written
        return of_no_known_kind(place) or seal_set.sealed(place, requested.path)

    def put_in_place(self, requested: Requested) -> None:
        """Move all of them, or none."""
        target = self.made.target
        commit.put_files_in_place(self.made, Place(self.kind, target.folder, target.name))


def reservations(path: str, kind: Kind) -> Iterator[AbstractContextManager[ReservedFiles]]:
    """Where the files may be written: beside the destination."""
    yield _beside(path, kind)


@contextlib.contextmanager
def _beside(path: str, kind: Kind) -> Iterator[ReservedFiles]:
    # A prefix may have the name of anything, a link too: nothing is written at it.
    with (
        atomic.open_target(path, follow=False) as target,
        atomic.private_file(target) as made,
    ):
        yield ReservedFiles(made, kind)


def of_no_known_kind(place: Place) -> str | None:
    """A loader is given what the seal lists and nothing else: it has to be all there is.

    TensorFlow lets objects bring savers of their own that write files we know nothing of.
    """
    # What cannot be opened cannot be sealed either, and sealing says why.
    with contextlib.suppress(IntegrityError), file_set.open_directory(place) as found:
        file_set.open_present(found)
        others = [name for name in found.others if not private_directory.is_marker(name)]
        if others:
            return f"'{file_set.shown(others[0])}' is of no known kind"
    return None
