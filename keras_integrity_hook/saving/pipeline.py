# SPDX-License-Identifier: Apache-2.0
"""A save, in numbered steps: the old file or the new one, whole and sealed, never half of one."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple, TypeVar

from keras_integrity_hook import audit, settings
from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.kinds import Kind, Place
from keras_integrity_hook.containers.opening import open_set
from keras_integrity_hook.errors import (
    AuditError,
    IntegrityError,
    SigningError,
    printable,
)
from keras_integrity_hook.files import atomic, exchange, private_directory
from keras_integrity_hook.saving import autosign, commit, seal_writer, sidecars

_log = logging.getLogger("keras_integrity_hook")
_Result = TypeVar("_Result")


class Reservation(NamedTuple):
    """The private file being written and the user block (bytes) to create it with."""

    path: str
    user_block: int


_reservation: ContextVar[Reservation | None] = ContextVar("_reservation", default=None)


def user_block_for(path: str) -> int:
    """The user block (bytes) that an HDF5 file created at ``path`` needs now; 0 for none."""
    reservation = _reservation.get()
    return reservation.user_block if reservation and reservation.path == path else 0


def is_in_progress() -> bool:
    """Whether this thread is in the middle of a save that will seal what is written."""
    return _reservation.get() is not None


def save_sealed(path: str, write: Callable[[str], _Result], *, user_block: int = 0) -> _Result:
    """Let ``write`` write a model, seal it, and put it at ``path``.

    Args:
        path: the user's destination, a local path.
        write: writes a whole model file at the path it is given, of the same base name.
        user_block: bytes to reserve in an HDF5 file; 0 for other formats.

    Returns:
        What ``write`` returned.

    Raises:
        SigningError: it has to be signed and could not be; the destination is as it was.
        OSError, and whatever ``write`` raises: the destination is as it was.
    """
    # (1) Where would a plain open() write? Through symbolic links; a special file is not ours.
    target = Path(os.path.realpath(path))
    if _is_special(target) or not target.parent.is_dir():
        return write(path)
    demands = settings.for_save(path)
    beside = target if demands.store is settings.Store.SIDECAR else None
    if beside and _is_inside_other_save(target):
        return write(path)  # its seal covers this file, which is to have no stray one beside it
    room = 0 if beside else user_block
    with failure_recorded(path):
        autosign.check_key(path, demands)
        with atomic.open_target(path) as opened:
            try:
                with atomic.private_file(opened) as made:
                    # (2) write beside it, (3) seal and record that, (4) replace.
                    result = _write_and_seal(made, write, room, path, beside)
                    sidecars.put_in_place(made)
                    return result
            except PermissionError as error:
                if os.access(target.parent, os.W_OK):
                    raise
                _refuse_unwritable(target, error)
            with tempfile.TemporaryDirectory() as directory:
                near = Path(directory) / target.name
                with (
                    atomic.open_target(near) as beside_it,
                    atomic.private_file(opened, near=beside_it) as made,
                ):
                    result = _write_and_seal(made, write, room, path, beside)
                    sidecars.overwrite(made, path, reason="")
                    return result


@contextlib.contextmanager
def failure_recorded(path: str) -> Iterator[None]:
    """Tell of a save to ``path`` that fails."""
    try:
        yield
    except BaseException as error:
        audit.record("save", path, outcome="failed", error=error)
        raise


def save_directory_sealed(path: str, kind: Kind, write: Callable[[str], _Result]) -> _Result:
    """Let ``write`` write a model directory, seal it, and put it at ``path``.

    Files at ``path`` that are no part of the model before (a README) stay.

    Args:
        path: the user's destination, a local path; what its seal lists of an older model goes.
        kind: what is written, a whole directory.
        write: writes the model into the directory it is given, which does not exist yet.

    Raises:
        SigningError: it has to be signed and could not be; the destination is as it was.
        OSError, and whatever ``write`` raises: the destination is as it was.
    """
    target = Path(os.path.realpath(path))
    if is_being_sealed(target) or not may_become_directory(target):
        return write(path)
    with failure_recorded(path):
        autosign.check_key(path)
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)  # as the writers of directories do
        if not is_replaceable(target):
            written = _with_nothing_older(Place(kind, str(target), ""), write)
            return save_into_directory(target, kind, written, path)
        with atomic.private_sibling(target) as private:
            result = write_privately(private, write)
            exchange.put_directory_in_place(
                private,
                target,
                _replaced_in(Place(kind, str(target), "")),
                finish=lambda: seal_written(Place(kind, str(atomic.pinned(private)), ""), path),
            )
            return result


def _replaced_in(place: Place) -> Callable[[str], bool]:
    """Which files of the directory at ``place`` are of the model before: those its seal lists, and
    whatever has the name of a loader's file. The rest may be anything of the user's."""
    names = {place.seal}
    with contextlib.suppress(IntegrityError), open_set(place.directory, place, hold=False) as old:
        if old.seal is not None:
            listed = old.seal.statement.files
            names |= {file_set.name_of(place, member.name) for member in listed}
    return lambda name: name in names or ("/" not in name and place.kind.is_read(name))


def _with_nothing_older(place: Place, write: Callable[[str], _Result]) -> Callable[[str], _Result]:
    """``write``, and then what it left there of the model before: nobody wrote that now, and the
    seal would vouch for it."""
    replaced, top = _replaced_in(place), Path(place.directory)
    older = {
        file: _identity(file)
        for file in top.rglob("*")
        if not file.is_dir() and replaced(str(file.relative_to(top)))
    }

    def writing(where: str) -> _Result:
        result = write(where)
        for file, identity in older.items():
            if _identity(file) == identity:
                file.unlink(missing_ok=True)
        return result

    return writing


def _identity(file: Path) -> tuple[int, ...]:
    try:
        found = file.lstat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns


def save_files_sealed(path: str, kind: Kind, write: Callable[[str], _Result]) -> _Result:
    """Let ``write`` write a model of several files of one stem, seal it, and put it at ``path``.

    The files are renamed into place one by one; a crash in between is made good by the next load.

    Args:
        path: the user's destination: an index of shards, or a checkpoint's prefix.
        kind: what is written, not a whole directory.
        write: writes the files at the path it is given, of the same base name.

    Raises:
        SigningError: it has to be signed and could not be; the destination is as it was.
        OSError, and whatever ``write`` raises: the destination is as it was.
    """
    target = Path(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
    if is_being_sealed(target) or not target.parent.is_dir():
        return write(path)
    with failure_recorded(path):
        autosign.check_key(path)
        with (
            atomic.open_target(target, follow=False) as opened,
            atomic.private_file(opened) as made,
        ):
            result = write_privately(made.path, write)
            _seal_if_complete(Place(kind, made.pinned_folder, made.name), path)
            commit.put_files_in_place(made, Place(kind, opened.folder, opened.name))
            return result


def save_into_directory(
    target: Path, kind: Kind, write: Callable[[str], _Result], path: str
) -> _Result:
    """For a directory that cannot be replaced, only what is in it: no atomic way exists there.

    Args:
        path: what the user calls ``target``.
    """
    _log.warning(
        "save %s: the directory cannot be replaced, so its files are overwritten in place; "
        "a crash now would leave them damaged",
        printable(str(target)),
    )
    # Never a new model with an old seal, however this ends.
    (target / kind.seal).unlink(missing_ok=True)
    result = write_privately(target, write)
    seal_written(Place(kind, str(target), ""), path)
    return result


@settings.snapshot()
def seal_written(place: Place, path: str) -> None:
    """Seal a set that was written where it is, and record the save.

    The user's model matters more than its seal: where none can be made the record says so, and
    loads will say that the model has none.

    Args:
        path: what the user calls it, or will.

    Raises:
        SigningError: it has to be signed and could not be.
        OSError: the disk is full, ... AuditError: see :func:`audit.record`.
    """
    name = place.stem or os.path.basename(os.path.abspath(place.directory))
    try:
        with file_set.open_directory(place) as files:
            said = seal_writer.seal_set(files, subject=name, path=path)
        audit.record("save", path, outcome="ok", **audit.seal_facts(said))
    except (AuditError, SigningError):
        raise
    except IntegrityError as error:
        audit.record("save", path, outcome="unsealed", error=error)


def _seal_if_complete(place: Place, path: str) -> None:
    """A loader is given what the seal lists and nothing else: it has to be all there is.

    TensorFlow lets objects bring savers of their own that write files we know nothing of.
    """
    # What cannot be opened cannot be sealed either, and sealing says why.
    with contextlib.suppress(IntegrityError), file_set.open_directory(place) as found:
        file_set.open_present(found)
        others = [name for name in found.others if not private_directory.is_marker(name)]
        if others:
            why = f"'{file_set.shown(others[0])}' is of no known kind"
            audit.record("save", path, outcome="unsealed", why=why)
            return
    seal_written(place, path)


def write_privately(private: Path, write: Callable[[str], _Result], user_block: int = 0) -> _Result:
    """Let ``write`` write at ``private``; what it calls in turn leaves sealing that to us."""
    token = _reservation.set(Reservation(str(private), user_block))
    try:
        return write(str(private))
    finally:
        _reservation.reset(token)


def is_being_sealed(target: Path) -> bool:
    """Whether an outer save (tf_keras around TensorFlow's SavedModel around its checkpoint) has
    begun and will seal ``target``, or the directory that it lies in."""
    reservation = _reservation.get()
    return reservation is not None and Path(reservation.path) in (target, *target.parents)


def _is_inside_other_save(target: Path) -> bool:
    """Whether ``target`` is one of the files that an outer save will seal together."""
    return is_in_progress() and (is_being_sealed(target) or atomic.is_ours(target.parent))


def is_replaceable(target: Path) -> bool:
    """Whether another directory can be put in the place of ``target``."""
    if _holds_working_directory(target) or not os.access(target.parent, os.W_OK):
        return False
    return not target.exists() or not exchange.holds_foreign_ground(target)


def _holds_working_directory(target: Path) -> bool:
    # A process whose working directory was replaced would find itself in a deleted one.
    try:
        return target.exists() and Path(os.getcwd()).is_relative_to(target)
    except FileNotFoundError:
        return False  # it is deleted already


def may_become_directory(target: Path) -> bool:
    """Whether ``target`` is a directory or nothing yet."""
    return target.is_dir() or not os.path.lexists(target)


def _write_and_seal(
    made: atomic.PrivateFile,
    write: Callable[[str], _Result],
    user_block: int,
    path: str,
    beside: Path | None,
) -> _Result:
    """Write and seal; beside the file if it is to go, with its seal, where ``beside`` says."""
    result = write_privately(made.path, write, user_block)
    with settings.snapshot():
        if beside is not None:
            sidecars.write_beside(made, path)
        else:
            _seal(made, path)
    return result


def _seal(made: atomic.PrivateFile, path: str) -> None:
    """Seal the file ``made``, and record the save to ``path``."""
    fd = made.open_written()
    try:
        said = seal_writer.seal_in_place(fd, subject=made.target.name, path=path)
    except (AuditError, SigningError):
        raise
    except IntegrityError as error:
        # The user's model matters more than its seal; loads will say that it has none.
        seal_writer.give_back_room(fd)
        audit.record("save", path, outcome="unsealed", error=error)
    else:
        audit.record("save", path, outcome="ok", **audit.seal_facts(said))
    finally:
        os.close(fd)


def _refuse_unwritable(target: Path, why: OSError) -> None:
    """The directory cannot be written but perhaps the file can: no atomic way exists there."""
    if not os.access(target, os.W_OK):
        raise why
    _log.warning(
        "save %s: its directory cannot be written, so the file is overwritten in place; "
        "a crash now would leave it damaged",
        printable(str(target)),
    )


def _is_special(target: Path) -> bool:
    try:
        return not stat.S_ISREG(os.stat(target).st_mode)
    except FileNotFoundError:
        return False
    except OSError:
        return True
