# SPDX-License-Identifier: Apache-2.0
"""Verified files for loaders that insist on paths: a private directory with nothing else in it.

TensorFlow and Keras's directory loader open paths, some of them twice. So they get a directory of
ours that holds the listed files alone: small ones as copies of the checked bytes, large ones as
links to descriptors that are pinned, by a read lease on the file or as an unlinked copy. Whatever
happens to the user's path meanwhile, nothing else is read (CWE-367).
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

from keras_integrity_hook.containers.file_set import Part
from keras_integrity_hook.containers.model_file import Seal
from keras_integrity_hook.errors import ChecksumMismatchError
from keras_integrity_hook.sealing.content import FileContent
from keras_integrity_hook.verification import handed_out, holding
from keras_integrity_hook.verification.handed_out import HandedFile, is_verified
from keras_integrity_hook.verification.holding import LINKS, Unsealed, Verified
from keras_integrity_hook.verification.load_directory import LoadDirectory

__all__ = ["VerifiedDirectory", "is_verified"]


class VerifiedDirectory:
    """The files of a verified set, below a private directory.

    Attributes:
        path: where the files are: that directory, or the one in it that was asked for.
        original: the path the user named.
    """

    def __init__(self, verified: Verified | Unsealed, below: str = "") -> None:
        """Take over ``verified``, a set; one without a seal is only held as it was inspected.

        Args:
            below: a directory of this name in the private one takes the files.

        Raises:
            UnreadableFileError: no room for the copies.
            InsecurePermissionsError: others could get at the directory.
        """
        self.original = verified.model.path
        self._verified = verified
        self._files = verified.files
        self._below = below
        self._when_whole: list[Callable[[], None]] = []
        self._owner: weakref.finalize[[LoadDirectory], Any] | None = None
        try:
            self._private = LoadDirectory()
        except OSError as error:
            raise holding.no_room(verified.model, error) from error
        self.path = os.path.join(self._private.path, below).rstrip(os.sep)
        self._remove = weakref.finalize(self, _remove, self._private)
        try:
            self._lay_out()
        except OSError as error:
            self._remove()
            raise holding.no_room(verified.model, error) from error
        except BaseException:
            self._remove()
            raise

    @property
    def seal(self) -> Seal | None:
        """What its content was checked against; None if it has none."""
        return self._verified.model.seal

    @property
    def names(self) -> list[str]:
        """The files, relative to :attr:`path`."""
        return [part.name for part in self._files.parts]

    def when_whole(self, action: Callable[[], None]) -> None:
        """Do ``action`` when all of the files were verified; now if they were."""
        if isinstance(self._verified, Verified) and self._verified.ahead is not None:
            self._when_whole.append(action)
        else:
            action()

    def check_again(self) -> None:
        """Check what was handed out again, as far as somebody may have changed it meanwhile.

        Raises:
            ChecksumMismatchError: a file was changed while it was being loaded.
        """
        if self._owner is None:
            self._verified.check_again()
            while self._when_whole:
                self._when_whole.pop(0)()
        try:
            self._private.check_entries()
        except ChecksumMismatchError as error:
            error.path = self.original
            error.container = self._verified.model.container
            raise

    def outlive(self, owner: Any, *below: str) -> None:
        """Keep the files below the names ``below`` (all if none) as long as ``owner`` lives.

        Their bytes become copies, so that no lease keeps writers waiting; the rest goes now.

        Raises:
            UnreadableFileError: no room for the copies.
            ChecksumMismatchError: a file was changed while it was being loaded.
        """
        self.check_again()
        try:
            self._keep_copies(below)
        except OSError as error:
            raise holding.no_room(self._verified.model, error) from error
        self._verified.check_again()  # the copies were made of it
        self._private.note_entries()
        self._remove.detach()
        self._owner = weakref.finalize(owner, _remove, self._private)
        self._verified.close()

    def close(self) -> None:
        """Remove the directory and let writers go on; calling it again does nothing."""
        self._remove()
        self._verified.close()

    def _lay_out(self) -> None:
        placed: dict[str, HandedFile] = {}
        user_directory = self._files.place.directory
        if self._below:
            self._private.add_folder(self._below)
        for part in self._files.parts:
            if hasattr(part.content, "whole"):
                # Read through its content alone: whoever opens the path finds nothing.
                self._private.add_copy(self._inner(part), FileContent(-1, 0, 0))
            elif part.fd >= 0 and os.path.isdir(LINKS):
                self._private.add_link(self._inner(part), f"{LINKS}/{part.fd}")
            else:
                self._private.add_copy(self._inner(part), part.content)
            shown = os.path.join(user_directory, part.name)
            placed[os.path.join(self.path, part.name)] = HandedFile(shown, part.content)
        self._private.note_entries()
        handed_out.register(placed, [self._private.path, *_folders(self.path, self.names)])

    def _keep_copies(self, below: tuple[str, ...]) -> None:
        kept = [part for part in self._files.parts if not below or part.name.startswith(below)]
        for part in self._files.parts:
            handed_out.forget_file(os.path.join(self.path, part.name))
            if part not in kept:
                self._private.remove(self._inner(part))
            elif part.fd >= 0:
                self._private.add_copy(self._inner(part), part.content)

    def _inner(self, part: Part) -> str:
        return os.path.join(self._below, part.name)


def _folders(top: str, names: list[str]) -> set[str]:
    """``top`` and every directory below it that holds one of the files ``names``."""
    folders = {top}
    for name in names:
        folder = os.path.dirname(name)
        while folder:
            folders.add(os.path.join(top, folder))
            folder = os.path.dirname(folder)
    return folders


def _remove(private: LoadDirectory) -> None:
    handed_out.forget(private.path)
    private.close()
