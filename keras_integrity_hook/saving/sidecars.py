# SPDX-License-Identifier: Apache-2.0
"""Single files whose seal lies beside them: written as one with it, and replaced as one.

Two files cannot be renamed in one step. A save commits both in one (see :mod:`saving.commit`), and
whoever opens the model next finishes what was left; a new model with an old seal is a mismatch
meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable

from keras_integrity_hook import audit
from keras_integrity_hook.containers import sidecar
from keras_integrity_hook.containers.copying import write_all
from keras_integrity_hook.containers.kinds import SEAL_SUFFIX, SIDECAR, Place
from keras_integrity_hook.containers.model_file import ModelFile, Seal
from keras_integrity_hook.containers.opening import is_of_checkpoint, read_sidecar
from keras_integrity_hook.containers.sidecar import Sidecar
from keras_integrity_hook.errors import AuditError, IntegrityError, SealWriteError, SigningError
from keras_integrity_hook.files import atomic, portable
from keras_integrity_hook.files.atomic import PrivateFile, Target
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.target import entry
from keras_integrity_hook.saving import commit, settled
from keras_integrity_hook.saving.statement import Known, NewSeal
from keras_integrity_hook.saving.steps import Outcome

# --- Saves ---------------------------------------------------------------------------------------


def seal_beside(made: PrivateFile, path: str, known: Known | None = None) -> Outcome:
    """Write the seal of the model ``made`` beside it, to be put in place with it.

    Args:
        path: what the user calls the target; settings may differ from path to path.
        known: asked for the digests that need not be computed.

    Returns:
        The seal, or the error for which there is none.

    Raises:
        SigningError: it has to be signed and could not be.
        OSError: the disk is full, ...
    """
    from keras_integrity_hook.saving import seal_writer

    fd = made.open_written()
    try:
        _refuse_taken(made.target)
        seal = seal_writer.sidecar_for(fd, subject=made.target.name, path=path, known=known)
        _write_seal(_seal_of(made), seal.block, like=made.target.old or system.fstat(fd))
        return seal
    except (AuditError, SigningError):
        raise
    except IntegrityError as error:
        return error
    finally:
        os.close(fd)


def put_in_place(
    made: PrivateFile, *, expected: os.stat_result | None = None, ignoring: int | None = None
) -> None:
    """Put the model ``made`` at its target, with the seal beside it or with none there.

    Args:
        made: alone in its private directory, with its seal at most.
        expected: the file that is replaced, as it was when it was opened; None for any.
        ignoring: a descriptor of it that nobody reads the new model from.

    Raises:
        OSError, SealWriteError: the target is as it was.
    """
    target = made.target
    made.take_final_name()
    place = Place(SIDECAR, target.folder, target.name)
    commit.finish_interrupted(place)
    old = target.sibling(target.name + SEAL_SUFFIX)
    has_seal = _is_written(_seal_of(made))
    if has_seal and old.old is not None and stat.S_ISDIR(old.old.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), old.path)
    if has_seal or _is_sidecar(old):
        if expected is not None:
            target.refuse_other_than(expected)
        commit.put_files_in_place(made, place)
    else:
        made.put_in_place(
            in_place=atomic.why_in_place(target, ignoring=ignoring), expected=expected
        )


def overwrite(made: PrivateFile, path: str, *, reason: str) -> bool:
    """Write model and seal over those at the target, whose directory cannot be written.

    Args:
        path: what the user calls the target.
        reason: why they are not replaced, for the warning; "" for none.

    Returns:
        False where there is a seal beside it that could not be put there.

    Raises:
        PermissionError: the seal that is there cannot be written; nothing was.
    """
    made.take_final_name()
    seal = _seal_of(made)
    was_made = has_seal = _is_written(seal)
    if has_seal and seal.target.old is None and not _may_be_put(seal.target):
        has_seal = False
        why = "no seal can be put into its directory"
        audit.record("save", path, outcome="unsealed", why=why)
    # Never a new model with an old seal, however this ends: an empty one is refused.
    is_stale = seal.target.old is not None and (has_seal or _is_sidecar(seal.target))
    if is_stale:
        flags = (
            os.O_WRONLY
            | os.O_TRUNC
            | portable.O_NOFOLLOW
            | portable.O_NONBLOCK
            | portable.O_CLOEXEC
        )
        os.close(system.open(seal.name, flags, dir_fd=seal.target.directory))
    made.put_in_place(in_place=reason)
    if has_seal:
        seal.put_in_place(in_place="")
    elif is_stale and _may_be_put(seal.target):
        with contextlib.suppress(FileNotFoundError):
            system.unlink(seal.name, dir_fd=seal.target.directory)
    return has_seal or not was_made


def _may_be_put(target: Target) -> bool:
    return system.access(".", os.W_OK, dir_fd=target.directory, effective_ids=True)


def _seal_of(made: PrivateFile) -> PrivateFile:
    return made.sibling(made.target.name + SEAL_SUFFIX)


def _is_written(made: PrivateFile) -> bool:
    return entry(made.name, made.directory) is not None


# --- Models that are there already ---------------------------------------------------------------


def put_seal_beside(model: ModelFile, algorithm: str, *, record: Callable[[NewSeal], None]) -> None:
    """Put a seal beside the file ``model``, which is not touched; an older one there goes.

    Args:
        record: called with the seal before it is put there; what it raises keeps the
            older one.

    Raises:
        IntegrityError: as :func:`write_beside`.
        OSError: the directory cannot be written, another file took the model's place, ...
    """
    from keras_integrity_hook.saving import seal_writer

    old = _sidecar_of(model)
    with atomic.open_target(model.path) as target:
        opened = system.fstat(model.fd)
        target.refuse_other_than(opened)
        _refuse_taken(target)
        seal = seal_writer.sidecar_for(
            model.fd, subject=target.name, algorithm=algorithm, path=model.path
        )
        record(seal)
        if old is not None:
            _replace(old, seal.block)
        else:
            beside = target.sibling(target.name + SEAL_SUFFIX)
            _put(beside, seal.block, like=opened, expected=beside.old)


def replace_seal(model: ModelFile, seal: bytes) -> None:
    """Put ``seal``, a block about the same content, in the place of the sidecar of ``model``.

    Raises:
        SealWriteError: model or sidecar were replaced since they were opened.
        OSError: the directory cannot be written, ...
    """
    old = _sidecar_of(model)
    if old is None or not settled.is_settled(model):
        raise SealWriteError("the file was changed while its seal was", path=model.path)
    _replace(old, seal)


def remove_seal(model: ModelFile, old: Sidecar) -> None:
    """Remove the sidecar ``old`` of ``model``, if it is the one that was read; of a link, the link.

    Raises:
        SealWriteError: another one is there. OSError: the directory cannot be written, ...
    """
    folder, name = os.path.split(old.path)
    directory = system.open(folder or ".", os.O_RDONLY | portable.O_DIRECTORY | portable.O_CLOEXEC)
    try:
        # A seal that two directories share by a link is removed from the one that was meant.
        beside = system.stat(name.removesuffix(SEAL_SUFFIX), dir_fd=directory)
        if not os.path.samestat(beside, system.fstat(model.fd)):
            raise SealWriteError("another file was put in its place meanwhile")
        if sidecar.identity(system.stat(name, dir_fd=directory)) != old.identity:
            raise SealWriteError("the seal beside it was replaced meanwhile")
        system.unlink(name, dir_fd=directory)
    finally:
        os.close(directory)


def _replace(old: Sidecar, seal: bytes) -> None:
    with atomic.open_target(old.path) as target:
        current = target.old
        if current is None or sidecar.identity(current) != old.identity:
            raise SealWriteError("the seal beside it was replaced meanwhile")
        _put(target, seal, like=current, expected=current)


def _put(
    target: Target, seal: bytes, *, like: os.stat_result, expected: os.stat_result | None
) -> None:
    with atomic.private_file(target) as made:
        _write_seal(made, seal, like=like)
        made.put_in_place(expected=expected)


def _sidecar_of(model: ModelFile) -> Sidecar | None:
    return model.seal.sidecar if model.seal else None


def _write_seal(made: PrivateFile, seal: bytes, *, like: os.stat_result) -> None:
    """Write a private file that those may read, or replace, who may do so with the model."""
    try:
        fd = made.create()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise _no_room("the name is too long for a seal beside it") from error
        raise
    try:
        write_all(fd, memoryview(seal), 0)
        with contextlib.suppress(PermissionError):
            system.fchown(fd, like.st_uid, like.st_gid)
        system.fchmod(fd, stat.S_IMODE(like.st_mode) & 0o666)
    finally:
        os.close(fd)


def _refuse_taken(target: Target) -> None:
    beside = target.sibling(target.name + SEAL_SUFFIX)
    seal = _seal_at(beside)
    if seal is not None and is_of_checkpoint(seal):
        raise _no_room(f"'{beside.name}' is the seal of a checkpoint of the same name")


def _no_room(cause: str) -> SealWriteError:
    remedy = "Give the model another name, or keep the seal in the file."
    return SealWriteError(cause, remedy=remedy)


def _is_sidecar(beside: Target) -> bool:
    """Whether the seal of a single file is there, and no file of the user's own."""
    seal = _seal_at(beside)
    return seal is not None and not is_of_checkpoint(seal)


def _seal_at(beside: Target) -> Seal | None:
    if beside.old is None:
        return None
    with contextlib.suppress(IntegrityError):
        return read_sidecar(beside.path)
    return None
