# SPDX-License-Identifier: Apache-2.0
"""A single file: where it is written privately, and how it gets to its place."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from keras_integrity_hook.errors import AuditError, IntegrityError, SigningError
from keras_integrity_hook.files import atomic
from keras_integrity_hook.files.atomic import PrivateFile, Target
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.saving import reproducible, seal_writer, sidecars
from keras_integrity_hook.saving.statement import source_date
from keras_integrity_hook.saving.steps import Outcome, Requested, Reserved
from keras_integrity_hook.settings import Store

# What making a directory beside the destination ends in where only the file itself can be written.
_NO_DIRECTORY = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOTSUP,
    errno.ENOSYS,
}
_MEMORY = "/dev/shm"


class ReservedFile(Reserved):
    """A private file, and the destination.

    Attributes:
        in_place: why the destination is overwritten and not replaced, None where it may be.
        ignoring: a descriptor of the old file that nobody will read the new one from.
    """

    ignoring: int | None = None

    def __init__(self, made: PrivateFile, in_place: str | None, user_block: int) -> None:
        self.made = made
        self.in_place = in_place
        self.where = str(made.path)
        self.user_block = user_block

    @property
    def private(self) -> str | None:
        """Where the file lies before it is put in place; None where it is copied."""
        return str(self.made.path) if self.in_place is None else None

    def seal(self, requested: Requested) -> Outcome:
        """Seal it in itself, or beside itself where the settings want that."""
        self.made.take_final_name()
        self._settle_dates()
        if requested.demands.store is Store.SIDECAR:
            return sidecars.seal_beside(self.made, requested.path)
        fd = self.made.open_written()
        try:
            return seal_writer.seal_in_place(fd, subject=self.made.name, path=requested.path)
        except (AuditError, SigningError):
            raise
        except IntegrityError as error:
            seal_writer.give_back_room(fd)
            return error
        finally:
            os.close(fd)

    def _settle_dates(self) -> None:
        if source_date() is None:
            return
        fd = self.made.open_written()
        try:
            with contextlib.suppress(IntegrityError):  # which is met again where it is sealed
                reproducible.settle_dates(fd)
        finally:
            os.close(fd)

    def put_in_place(self, requested: Requested) -> None:
        """Put it in place, with the seal beside it or with none there."""
        if self.in_place is None:
            sidecars.put_in_place(self.made, ignoring=self.ignoring)
        else:
            is_whole = sidecars.overwrite(self.made, requested.path, reason=self.in_place)
            self.is_seal_lost = not is_whole


def is_ours_to_write(path: str) -> bool:
    """Whether ``path`` leads to a regular file or to nothing yet, in a directory that is there."""
    try:
        with atomic.open_target(path) as target:
            return not target.is_special
    except PermissionError:
        return True  # and refused where the place is reserved
    except OSError:
        return False


def reservations(
    requested: Requested, user_block: int, ignoring: int | None
) -> Iterator[AbstractContextManager[ReservedFile]]:
    """Where the file may be written: beside the destination, or else where there is room."""
    beside_it = requested.demands.store is Store.SIDECAR
    room = 0 if beside_it else user_block
    with atomic.open_target(requested.path) as target:
        target.refuse_unwritable()
        reason = atomic.why_in_place(target, ignoring=ignoring)
        yield _beside(target, reason, room, ignoring)
        if target.old is not None:
            for folder in _other_folders(target):
                yield _elsewhere(target, folder, room, "there is no room for a second copy")


@contextlib.contextmanager
def _beside(
    target: Target, reason: str | None, user_block: int, ignoring: int | None
) -> Iterator[ReservedFile]:
    with ExitStack() as stack:
        try:
            made = stack.enter_context(atomic.private_file(target))
        except OSError as error:
            if target.old is None or error.errno not in _NO_DIRECTORY:
                raise
            folder = _other_folders(target)[0]
            why = "its directory cannot be written"
            made = stack.enter_context(_private_in(folder, target))
            reason = why if reason is None else reason
        reserved = ReservedFile(made, reason, user_block)
        reserved.ignoring = ignoring
        yield reserved


@contextlib.contextmanager
def _elsewhere(target: Target, folder: str, user_block: int, reason: str) -> Iterator[ReservedFile]:
    with _private_in(folder, target) as made:
        yield ReservedFile(made, reason, user_block)


@contextlib.contextmanager
def _private_in(folder: str, target: Target) -> Iterator[PrivateFile]:
    with (
        atomic.open_target(Path(folder, target.name)) as near,
        atomic.private_file(target, near=near) as made,
    ):
        yield made


def _other_folders(target: Target) -> list[str]:
    """Directories for temporary files, those on another file system than the target's first."""
    import tempfile

    device = system.fstat(target.directory).st_dev
    folders = [tempfile.gettempdir()]
    if os.access(_MEMORY, os.W_OK):
        folders.append(_MEMORY)
    return sorted(folders, key=lambda folder: system.stat(folder).st_dev == device)
