# SPDX-License-Identifier: Apache-2.0
"""A save that adds files to a model directory: what is kept of it has to match its seal.

A tokenizer saved into a preset whose weights somebody changed must not give those a fresh seal.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from keras_integrity_hook import audit
from keras_integrity_hook.containers.kinds import Kind, Place
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.containers.opening import open_set
from keras_integrity_hook.files import atomic, exchange
from keras_integrity_hook.policy import admission
from keras_integrity_hook.saving import autosign
from keras_integrity_hook.saving import pipeline as save
from keras_integrity_hook.verification import holding
from keras_integrity_hook.verification.verified_directory import VerifiedDirectory

_Result = TypeVar("_Result")


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
    target = Path(os.path.realpath(path))
    if save.is_being_sealed(target) or not save.may_become_directory(target):
        return write(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with save.failure_recorded(path):
        return _save(target, kind, write, path)


def _save(target: Path, kind: Kind, write: Callable[[str], _Result], path: str) -> _Result:
    place = Place(kind, str(target), "")
    if not save.is_replaceable(target):
        if _is_rest_vouched_for(place, path, None):
            return save.save_into_directory(target, kind, write, path)
        result = write(path)
        _record_unsealed(path)
        return result
    with atomic.private_sibling(target) as private:
        result = save.write_privately(private, write)
        fixed = atomic.pinned(private)
        vouched = _is_rest_vouched_for(place, path, fixed)

        def finish() -> None:
            if vouched:
                save.seal_written(Place(kind, str(fixed), ""), path)
            else:
                _record_unsealed(path)

        def is_replaced(name: str) -> bool:
            # What a loader reads was taken along already, where it will be sealed.
            return name == kind.seal or (vouched and kind.is_read(name))

        exchange.put_directory_in_place(private, target, is_replaced, finish=finish)
        return result


def _record_unsealed(path: str) -> None:
    why = "it holds older files without a seal"
    audit.record("save", path, outcome="unsealed", why=why)


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
    with open_set(path, place, hold=True) as found:
        if found.seal is None:
            return False
        # A save signs what it leaves there: nobody's work but what may be loaded.
        autosign.refuse_to_vouch(found.seal, path)
        admitted = admission.admit(found)
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
