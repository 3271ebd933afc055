# SPDX-License-Identifier: Apache-2.0
"""A set of files that is saved to a URL: written and sealed here, and put there as a whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager

from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.files import temporary
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.remote import urls
from keras_integrity_hook.remote.set_putting import Upload
from keras_integrity_hook.saving import reserved_files, seal_set
from keras_integrity_hook.saving.steps import Outcome, Requested, Reserved

GOES_AHEAD = 16 * MIB
"""How large a set is (bytes) that is uploaded while it is digested; of others nothing is gained."""


class ReservedRemoteSet(Reserved):
    """A private local place for it.

    Attributes:
        place: where it goes; its directory is a URL.
    """

    def __init__(self, folder: str, place: Place) -> None:
        self.place = place
        self._local = Place(place.kind, folder, place.stem)
        self.where = self._local.path
        self._upload: Upload | None = None

    def seal(self, requested: Requested) -> Outcome:
        """Seal all that was written; meanwhile the large files of it are being uploaded."""
        if self.place.stem:
            reason = reserved_files.of_no_known_kind(self._local)
            if reason is not None:
                return reason
        names = self._names()
        sizes = (os.path.getsize(os.path.join(self._local.directory, name)) for name in names)
        if sum(sizes) >= GOES_AHEAD:
            self._begun().go_ahead(names)
        return seal_set.sealed(self._local, requested.path)

    def put_in_place(self, requested: Requested) -> None:
        """Upload it; the seal before the file that says that all of it is there."""
        self._begun().finish(self._names())

    def let_go(self) -> None:
        """Take back what was uploaded of a model that was not put in place."""
        if self._upload is not None:
            self._upload.abandon()

    def _begun(self) -> Upload:
        if self._upload is None:
            self._upload = Upload(self._local.directory, self.place)
        return self._upload

    def _names(self) -> list[str]:
        folder = self._local.directory
        return [
            os.path.relpath(os.path.join(at, name), folder)
            for at, _, files in os.walk(folder)
            for name in files
        ]


def reservations(place: Place) -> Iterator[AbstractContextManager[Reserved]]:
    """Where the set is written that goes to ``place``: among the temporary files."""
    yield _private(place)


@contextlib.contextmanager
def _private(place: Place) -> Iterator[Reserved]:
    with temporary.private_folder() as above:
        folder = os.path.join(above, urls.split(place.directory.rstrip("/")).name)
        if place.stem:
            os.mkdir(folder, 0o700)
        reserved = ReservedRemoteSet(folder, place)
        try:
            yield reserved
        finally:
            reserved.let_go()
