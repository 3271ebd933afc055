# SPDX-License-Identifier: Apache-2.0
"""Single files whose seal lies beside them: written as one with it, and replaced as one.

Two files cannot be renamed in one step. A save commits both in one (see ``commit``), and whoever
opens the model next finishes what was left; a new model with an old seal is a mismatch meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from keras_integrity_hook import audit
from keras_integrity_hook.containers.kinds import SEAL_SUFFIX
from keras_integrity_hook.containers.model_file import ModelFile, Seal
from keras_integrity_hook.containers.opening import (
    is_of_checkpoint,
    read_sidecar,
)
from keras_integrity_hook.errors import (
    AuditError,
    IntegrityError,
    SealWriteError,
    SigningError,
    printable,
)
from keras_integrity_hook.files import atomic
from keras_integrity_hook.saving import commit, settled
from keras_integrity_hook.sealing.statement import Statement


def write_beside(private: Path, target: Path, path: str) -> None:
    """Write the seal of the model at ``private`` beside it, to be put at ``target`` with it.

    The user's model matters more than its seal: where none can be made the record of the save says
    so, and loads will say that the model has none.

    Args:
        path: what the user calls ``target``; settings may differ from path to path.

    Raises:
        SigningError: it has to be signed and could not be.
        OSError: the disk is full, ... AuditError: see :func:`audit.record`.
    """
    from keras_integrity_hook.saving import seal_writer

    fd = os.open(atomic.pinned(private), os.O_RDONLY | os.O_CLOEXEC)
    try:
        _refuse_taken(target)
        seal = seal_writer.sidecar_for(fd, subject=private.name, path=path)
        _write_as(seal.block, _beside(private), like=target if target.exists() else private)
    except (AuditError, SigningError):
        raise
    except IntegrityError as error:
        audit.record("save", path, outcome="unsealed", error=error)
    else:
        audit.record("save", path, outcome="ok", **audit.seal_facts(seal.statement))
    finally:
        os.close(fd)


def put_in_place(private: Path, target: Path) -> None:
    """Put the model at ``private`` at ``target``, with the seal beside it or with none there.

    Args:
        private: alone in a directory of its own beside ``target``, with its seal at most.

    Raises:
        OSError: ``target`` is as it was.
    """
    place = settled.place_of(str(target))
    commit.finish_interrupted(place)
    old, new = _beside(target), _beside(private)
    has_seal = os.path.exists(new)
    if has_seal and os.path.isdir(old) and not os.path.islink(old):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(old))
    if has_seal or _is_sidecar(old):
        commit.put_files_in_place(private.parent, place)
    else:
        atomic.put_in_place(private, target)


def overwrite(private: Path, target: Path, path: str) -> None:
    """Write model and seal over those at ``target``, whose directory cannot be written.

    Args:
        path: what the user calls ``target``.

    Raises:
        PermissionError: the seal that is there cannot be written; nothing was.
    """
    old, new = _beside(target), _beside(private)
    has_seal = os.path.exists(new)
    if has_seal and not os.path.lexists(old):
        has_seal = False
        why = "no seal can be put into its directory"
        audit.record("save", path, outcome="unsealed", why=why)
    if not has_seal:
        atomic.overwrite(private, target)
        return
    # Never a new model with an old seal, however this ends: an empty one is refused.
    os.truncate(old, 0)
    atomic.overwrite(private, target)
    atomic.overwrite(new, old)


def put_seal_beside(
    model: ModelFile, algorithm: str, *, record: Callable[[Statement], None]
) -> None:
    """Put a seal beside the file ``model``, which is not touched; an older one there goes.

    Args:
        record: called with what the seal says before it is put there; what it raises keeps the
            older one.

    Raises:
        IntegrityError: as :func:`write_beside`. OSError: the directory cannot be written, ...
    """
    from keras_integrity_hook.saving import seal_writer

    target = Path(os.path.realpath(model.path))
    _refuse_taken(target)
    name = target.name
    seal = seal_writer.sidecar_for(model.fd, subject=name, algorithm=algorithm, path=model.path)
    record(seal.statement)
    _put_seal(seal.block, _sidecar_of(model) or _beside(target), like=target)


def replace_seal(model: ModelFile, seal: bytes) -> None:
    """Put ``seal``, a block about the same content, in the place of the sidecar of ``model``.

    Raises:
        SealWriteError: model or sidecar were replaced since they were opened.
        OSError: the directory cannot be written, ...
    """
    found = _sidecar_of(model)
    assert found is not None
    if not settled.is_settled(model):
        raise SealWriteError("the file was changed while its seal was", path=model.path)
    _put_seal(seal, found, like=found)


def _put_seal(seal: bytes, target: Path, *, like: Path) -> None:
    with atomic.private_sibling(target) as private:
        _write_as(seal, private, like=like)
        atomic.put_in_place(private, target)


def _sidecar_of(model: ModelFile) -> Path | None:
    """The file that the sidecar of ``model`` was read from, through links."""
    found = model.seal.sidecar if model.seal else None
    return Path(os.path.realpath(found.path)) if found else None


def _beside(path: Path) -> Path:
    return path.with_name(path.name + SEAL_SUFFIX)


def _refuse_taken(target: Path) -> None:
    found = _seal_at(_beside(target))
    if found is not None and is_of_checkpoint(found):
        name = printable(_beside(target).name)
        raise _no_room(f"'{name}' is the seal of a checkpoint of the same name")


def _write_as(data: bytes, path: Path, *, like: Path) -> None:
    """Write a private file that those may read, or replace, who may do so with ``like``."""
    try:
        path.write_bytes(data)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise _no_room("the name is too long for a seal beside it") from error
        raise
    model = like.stat()
    with contextlib.suppress(PermissionError):
        os.chown(path, model.st_uid, model.st_gid)
    path.chmod(stat.S_IMODE(model.st_mode) & 0o666)


def _no_room(cause: str) -> SealWriteError:
    error = SealWriteError(cause)
    error.default_remedy = "Give the model another name, or keep the seal in the file."
    return error


def _is_sidecar(path: Path) -> bool:
    """Whether ``path`` is the seal of a single file, and no file of the user's own."""
    found = _seal_at(path)
    return found is not None and not is_of_checkpoint(found)


def _seal_at(path: Path) -> Seal | None:
    with contextlib.suppress(IntegrityError):
        return read_sidecar(str(path))
    return None
