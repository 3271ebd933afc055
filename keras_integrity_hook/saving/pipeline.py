# SPDX-License-Identifier: Apache-2.0
"""A save: the old model or the new one, whole and sealed, never half of one.

1. **Requested.** The settings for the destination, and the key that they name.
2. **Reserved.** A private place beside the destination; what a plain ``open`` for writing would
   refuse is refused.
3. **Written.** Keras writes there.
4. **Sealed.** The bytes are digested and the seal is put in or beside them.
5. **Recorded.** The audit log tells of it; where it must and cannot, nothing is replaced.
6. **In place.** The new takes the place of the old in one step, or in place where it must be.
7. **Registered**, where the settings want that: later, in the background.

Single files, sets of files and directories differ in how they reserve, seal and put in place (see
``reserved_file``, ``reserved_files``, ``reserved_directory``), and nowhere else.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

from keras_integrity_hook import audit, settings
from keras_integrity_hook.containers.kinds import Kind, Place
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files import location
from keras_integrity_hook.history import moves
from keras_integrity_hook.saving import (
    autosign,
    in_progress,
    registering,
    reserved_directory,
    reserved_file,
    reserved_files,
    seal_set,
)
from keras_integrity_hook.saving.statement import NewSeal
from keras_integrity_hook.saving.steps import (
    InPlace,
    Outcome,
    Recorded,
    Requested,
    Reserved,
    Sealed,
    Written,
)

_Result = TypeVar("_Result")
_Write = Callable[[str], _Result]
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_EXHAUSTED = {errno.EMFILE, errno.ENFILE}


def save_sealed(
    path: str,
    write: _Write[_Result],
    *,
    user_block: int = 0,
    digested: bool = False,
    ignoring: int | None = None,
) -> _Result:
    """Let ``write`` write a model, seal it, and put it at ``path``.

    Args:
        path: the user's destination, a local path or a URL of another file system.
        write: writes a whole model file at the path it is given, of the same base name. Called
            again, with another path, where the first has no room.
        user_block: bytes to reserve in an HDF5 file; 0 for other formats.
        digested: whether ``write`` may be given a file that has its content digested meanwhile.
        ignoring: a descriptor of the file that is there, which nobody will read from any more.

    Returns:
        What ``write`` returned.

    Raises:
        PermissionError: whoever saves may not write the file that is there.
        SigningError: it has to be signed and could not be; the destination is as it was.
        RemoteError: it could not be put at the URL.
        OSError, and whatever ``write`` raises: the destination is as it was, or the message says
            where the new model lies.
    """
    if location.is_url(path):
        return _save_remote(path, write, user_block, digested=digested)
    if in_progress.writes(path):
        return write(path)
    if not reserved_file.is_ours_to_write(path):
        return write(path)
    requested = Requested(path, settings.for_save(path))
    if requested.demands.store is settings.Store.SIDECAR and in_progress.covers_beside(path):
        return write(path)  # the outer seal covers this file, which is to have none beside it
    places = reserved_file.reservations(requested, user_block, ignoring, digested=digested)
    return run(requested, places, write).result


def _save_remote(url: str, write: _Write[_Result], user_block: int, *, digested: bool) -> _Result:
    from keras_integrity_hook.remote import urls
    from keras_integrity_hook.saving import reserved_remote

    name = urls.shown(url)
    requested = Requested(name, settings.for_save(name))
    places = reserved_remote.reservations(url, requested, user_block, digested=digested)
    return run(requested, places, write).result


def save_directory_sealed(path: str, kind: Kind, write: _Write[_Result]) -> _Result:
    """Let ``write`` write a model directory, seal it, and put it at ``path``.

    Files at ``path`` that are no part of the model before (a README) stay.

    Args:
        path: the user's destination, a path or a URL; what its seal lists of an older model goes.
        kind: what is written, a whole directory.
        write: writes the model into the directory it is given, which does not exist yet.

    Raises:
        As :func:`save_sealed`.
    """
    if location.is_url(path):
        return _save_to_url(path, Place(kind, path, ""), write)
    if in_progress.covers(path) or not reserved_directory.may_become_directory(path):
        return write(path)
    requested = Requested(path, settings.for_save(path))
    return run(requested, reserved_directory.reservations(path, kind), write).result


def save_files_sealed(path: str, kind: Kind, write: _Write[_Result]) -> _Result:
    """Let ``write`` write a model of several files of one stem, seal it, and put it at ``path``.

    The files are renamed into place one by one; a crash in between is made good by the next load.

    Args:
        path: the user's destination, a path or a URL: an index of shards, or a checkpoint's prefix.
        kind: what is written, not a whole directory.
        write: writes the files at the path it is given, of the same base name.

    Raises:
        As :func:`save_sealed`.
    """
    if location.is_url(path):
        folder, _, stem = path.rpartition("/")
        return _save_to_url(path, Place(kind, folder, stem), write)
    if in_progress.covers(path) or not os.path.isdir(os.path.dirname(path) or "."):
        return write(path)
    requested = Requested(path, settings.for_save(path))
    return run(requested, reserved_files.reservations(path, kind), write).result


def _save_to_url(path: str, place: Place, write: _Write[_Result]) -> _Result:
    from keras_integrity_hook.remote import urls
    from keras_integrity_hook.saving import reserved_remote_set

    shown = urls.shown(path)
    requested = Requested(shown, settings.for_save(shown))
    return run(requested, reserved_remote_set.reservations(place), write).result


def run(
    requested: Requested,
    places: Iterable[AbstractContextManager[Reserved]],
    write: _Write[_Result],
) -> InPlace[_Result]:
    """The one body of all saves.

    Args:
        places: where to write; the next one where the one before turns out to have no room.
    """
    with failure_recorded(requested.path):
        autosign.check_key(requested.path, requested.demands)  # (1)
        full: list[OSError] = []
        for place in places:
            with place as reserved:  # (2)
                try:
                    written = _written(reserved, write)  # (3)
                    sealed = _sealed(requested, written)  # (4)
                except Exception as error:
                    no_room = _no_room(error)
                    if no_room is None:
                        raise
                    full.append(no_room)
                    continue
                recorded = _recorded(requested, sealed)  # (5)
                return _in_place(requested, recorded)  # (6)
        raise _full(requested, full)


def _written(reserved: Reserved, write: _Write[_Result]) -> Written[_Result]:
    with in_progress.writing(reserved.where, reserved.user_block, reserved.create):
        return Written(reserved, write(reserved.where))


def _sealed(requested: Requested, written: Written[_Result]) -> Sealed[_Result]:
    with settings.snapshot():
        return Sealed(written, written.reserved.seal(requested))


def _recorded(requested: Requested, sealed: Sealed[_Result]) -> Recorded[_Result]:
    record(requested.path, sealed.outcome)
    return Recorded(sealed)


def _in_place(requested: Requested, recorded: Recorded[_Result]) -> InPlace[_Result]:
    written, outcome = recorded.sealed.written, recorded.sealed.outcome
    put, private = _put(outcome), written.reserved.private
    with moves.moved_along(requested.path, put, requested.demands, private=private) as move:
        written.reserved.put_in_place(requested)
        move.is_sealed = not written.reserved.is_seal_lost
    if move.is_sealed:
        registering.after_save(requested.path, outcome, requested.demands)  # (7)
    return InPlace(written.result)


def _put(outcome: Outcome) -> moves.Put | None:
    """What the history is to remember."""
    if not isinstance(outcome, NewSeal):
        return None
    return moves.made(outcome.statement, outcome.signed)


def record(path: str, outcome: Outcome) -> None:
    """Tell the audit log of a save to ``path``.

    Raises:
        AuditError: it must be told and cannot be.
        OSError: there is no seal only because this process has no descriptor left (``EMFILE``).
    """
    if isinstance(outcome, NewSeal):
        audit.record("save", path, outcome="ok", **audit.seal_facts(outcome.statement))
    elif isinstance(outcome, IntegrityError):
        cause = outcome.__cause__
        if isinstance(cause, OSError) and cause.errno in _EXHAUSTED:
            raise cause
        audit.record("save", path, outcome="unsealed", error=outcome)
    else:
        audit.record("save", path, outcome="unsealed", why=outcome)


@contextlib.contextmanager
def failure_recorded(path: str) -> Iterator[None]:
    """Tell of a save to ``path`` that fails."""
    try:
        yield
    except BaseException as error:
        audit.record("save", path, outcome="failed", error=error)
        raise


def _full(requested: Requested, errors: list[OSError]) -> OSError:
    """The error to raise where no place had room."""
    if len(errors) == 1:
        return errors[0]
    text = (
        f"{os.strerror(errno.ENOSPC)} for a second copy, neither beside the model nor where "
        "temporary files go; free some, or set TMPDIR to a directory that has room"
    )
    return OSError(errno.ENOSPC, text, requested.path)


def _no_room(error: BaseException) -> OSError | None:
    """The error of a full disk that ``error`` is or comes from; None where it is another.

    HDF5 and zipfile fail again while they close the file, and hide what was first.
    """
    seen: BaseException | None = error
    for _ in range(20):
        if isinstance(seen, OSError) and seen.errno in _NO_ROOM:
            return seen
        if isinstance(seen, OSError | RuntimeError) and "No space left on device" in str(seen):
            return OSError(errno.ENOSPC, str(seen))
        if seen is None:
            return None
        seen = seen.__cause__ or seen.__context__
    return None


@settings.snapshot()
def seal_written(place: Place, path: str) -> None:
    """Seal a set that somebody else wrote where it is, and record the save.

    Args:
        path: what the user calls it.

    Raises:
        SigningError: it has to be signed and could not be.
        OSError: the disk is full, ... AuditError: see :func:`audit.record`.
    """
    outcome = seal_set.sealed(place, path)
    record(path, outcome)
    demands = settings.for_save(path)
    with moves.moved_along(place.path, _put(outcome), demands):
        pass
    registering.after_save(path, outcome, demands)
