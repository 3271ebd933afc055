# SPDX-License-Identifier: Apache-2.0
"""A save that adds files to a model directory: what is kept of it has to match its seal.

A tokenizer saved into a preset whose weights somebody changed must not give those a fresh seal.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

from keras_integrity_hook import settings
from keras_integrity_hook.containers.kinds import Kind, Place
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.containers.opening import open_set
from keras_integrity_hook.files import exchange
from keras_integrity_hook.files.target import real_path, refuse_links_of_others
from keras_integrity_hook.policy import admission
from keras_integrity_hook.saving import autosign, in_progress, reserved_directory, seal_set
from keras_integrity_hook.saving import pipeline as save
from keras_integrity_hook.saving.reserved_directory import ReservedDirectory
from keras_integrity_hook.saving.steps import Outcome, Requested, Reserved
from keras_integrity_hook.verification import holding
from keras_integrity_hook.verification.verified_directory import VerifiedDirectory

_Result = TypeVar("_Result")
_UNSEALED = "it holds older files without a seal"


def save_into_sealed(path: str, kind: Kind, write: Callable[[str], _Result]) -> _Result:
    """Let ``write`` write files of a model, and add them to the model directory at ``path``.

    All of it is sealed, unless files that were there and stay there have no seal.

    Args:
        path: the user's directory, a local path; it may not exist yet.
        kind: what is written, a whole directory.
        write: writes into the directory it is given, which does not exist yet.

    Raises:
        IntegrityError: files that would stay do not match their seal.
        OSError, and whatever ``write`` raises. The directory is as it was.
    """
    if in_progress.covers(path) or not reserved_directory.may_become_directory(path):
        return write(path)
    requested = Requested(path, settings.for_save(path))
    return save.run(requested, _reservations(path, kind), write).result


class _AddedTo(ReservedDirectory):
    """A private directory that gets what the one at the destination has and it has not."""

    _is_vouched_for = False

    def seal(self, requested: Requested) -> Outcome:
        """Seal it all, if the rest of it was vouched for."""
        place = Place(self.kind, self.made.target.path, "")
        self._is_vouched_for = _is_rest_vouched_for(place, requested.path, Path(self.pinned))
        exchange.bring_along(self.made, self.is_replaced)
        if not self._is_vouched_for:
            return _UNSEALED
        return seal_set.sealed(Place(self.kind, self.pinned, ""), requested.path)

    def is_replaced(self, name: str) -> bool:
        """What a loader reads was taken along already, where it will be sealed."""
        return name == self.kind.seal or (self._is_vouched_for and self.kind.is_read(name))


class _OpenAddedTo(Reserved):
    """The destination itself, which cannot be replaced, only what is in it."""

    def __init__(self, target: str, kind: Kind, path: str) -> None:
        self.place = Place(kind, target, "")
        self.where = target
        self._is_vouched_for = _is_rest_vouched_for(self.place, path, None)
        if self._is_vouched_for:
            reserved_directory.warn_of_overwriting(target)
            # Never a new model with an old seal, however this ends.
            Path(target, kind.seal).unlink(missing_ok=True)

    def seal(self, requested: Requested) -> Outcome:
        """Seal it all, if the rest of it was vouched for."""
        return seal_set.sealed(self.place, requested.path) if self._is_vouched_for else _UNSEALED

    def put_in_place(self, requested: Requested) -> None:
        """It is there already."""


def _reservations(path: str, kind: Kind) -> Iterator[AbstractContextManager[Reserved]]:
    target = real_path(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if reserved_directory.is_replaceable(target):
        yield reserved_directory.beside(target, kind, _AddedTo)
    else:
        refuse_links_of_others(target)
        yield nullcontext(_OpenAddedTo(target, kind, path))


def _is_rest_vouched_for(place: Place, path: str, private: Path | None) -> bool:
    """Whether what is kept of the old directory is covered by its seal, and matches.

    Then it is copied, as it was checked, to what is to be sealed with it.

    Args:
        private: what was written; None for a directory whose files are kept until then.

    Raises:
        NotSignedError: it has a seal, and the save would be the first to sign it.
    """
    old = Path(place.directory)
    present = [file.relative_to(old) for file in old.rglob("*") if not file.is_dir()]
    rest = [name for name in present if place.kind.is_read(str(name))]
    rest = [name for name in rest if str(name) != place.seal]
    if private is not None:
        rest = [name for name in rest if not (private / name).exists()]
    if not rest:
        return True
    with open_set(path, place, hold=True) as older:
        if older.seal is None:
            return False
        # A save signs what it leaves there: nobody's work but what may be loaded.
        autosign.refuse_to_vouch(older.seal, path)
        admitted = admission.admit(older)
        if not isinstance(admitted.model, SealedModel):
            return False
        checked = VerifiedDirectory(holding.verify(admitted.model))
        try:
            if private is not None:
                _take_along(checked, private)
            checked.check_again()
        finally:
            checked.close()
        return True


def _take_along(checked: VerifiedDirectory, private: Path) -> None:
    for name in checked.names:
        if not os.path.lexists(private / name):
            (private / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(checked.path, name), private / name)
