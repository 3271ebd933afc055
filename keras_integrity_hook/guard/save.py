# SPDX-License-Identifier: Apache-2.0
"""A save, in numbered steps: the old file or the new one, whole and sealed, never half of one."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple, TypeVar

from keras_integrity_hook.errors import LimitExceededError, printable
from keras_integrity_hook.guard import replace, sealer

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


def save_sealed(path: str, write: Callable[[str], _Result], *, user_block: int = 0) -> _Result:
    """Let ``write`` write a model, seal it, and put it at ``path``.

    Args:
        path: the user's destination, a local path.
        write: writes a whole model file at the path it is given, of the same base name.
        user_block: bytes to reserve in an HDF5 file; 0 for other formats.

    Returns:
        What ``write`` returned.

    Raises:
        OSError, and whatever ``write`` raises: the destination is as it was.
    """
    # (1) Where would a plain open() write? Through symbolic links; a special file is not ours.
    target = Path(os.path.realpath(path))
    if _is_special(target) or not target.parent.is_dir():
        return write(path)
    try:
        with replace.private_sibling(target) as private:
            # (2) write beside it, (3) seal, (4) replace.
            result = _write_and_seal(private, write, user_block)
            replace.put_in_place(private, target)
    except PermissionError as error:
        if os.access(target.parent, os.W_OK):
            raise
        return _save_through_temporary(target, write, user_block, error)
    # (5) One line for the record.
    _log.info("save %s: sealed", printable(path))
    return result


def _write_and_seal(private: Path, write: Callable[[str], _Result], user_block: int) -> _Result:
    token = _reservation.set(Reservation(str(private), user_block))
    try:
        result = write(str(private))
    finally:
        _reservation.reset(token)
    fd = os.open(private, os.O_RDWR | os.O_CLOEXEC)
    try:
        sealer.seal_in_place(fd, subject=private.name)
    except LimitExceededError as error:
        # The user's model matters more than its seal; loads will say that it has none.
        _log.warning("save %s: not sealed: %s", printable(private.name), error)
    finally:
        os.close(fd)
    return result


def _save_through_temporary(
    target: Path, write: Callable[[str], _Result], user_block: int, why: OSError
) -> _Result:
    """The directory cannot be written but perhaps the file can: no atomic way exists there."""
    if not os.access(target, os.W_OK):
        raise why
    _log.warning(
        "save %s: its directory cannot be written, so the file is overwritten in place; "
        "a crash now would leave it damaged",
        printable(str(target)),
    )
    with tempfile.TemporaryDirectory() as directory:
        private = Path(directory) / target.name
        result = _write_and_seal(private, write, user_block)
        replace.overwrite(private, target)
    return result


def _is_special(target: Path) -> bool:
    try:
        return not stat.S_ISREG(os.stat(target).st_mode)
    except FileNotFoundError:
        return False
    except OSError:
        return True
