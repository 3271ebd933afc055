# SPDX-License-Identifier: Apache-2.0
"""A single file: where it is written privately, and how it gets to its place."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from io import RawIOBase
from pathlib import Path
from typing import NamedTuple

from keras_integrity_hook.errors import AuditError, IntegrityError, SigningError
from keras_integrity_hook.files import atomic, freeing
from keras_integrity_hook.files.atomic import PrivateFile, Target
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.saving import reproducible, seal_writer, sidecars
from keras_integrity_hook.saving.digested_writer import DigestedWriter
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
        user_block: see :class:`Reserved`.
        algorithm: by which the content is digested while it is written; None for not at all.
        ignoring: a descriptor of the old file that nobody will read the new one from.
    """

    ignoring: int | None = None

    def __init__(
        self, made: PrivateFile, in_place: str | None, user_block: int, algorithm: str | None
    ) -> None:
        self.made = made
        self.algorithm = algorithm
        self._writer: DigestedWriter | None = None
        self._is_known = False
        self.in_place = in_place
        self.where = str(made.path)
        self.user_block = user_block

    @property
    def private(self) -> str | None:
        """Where the file lies before it is put in place; None where it is copied."""
        return str(self.made.path) if self.in_place is None else None

    def create(self) -> RawIOBase | None:
        """Create the file, once; see :meth:`Reserved.create`."""
        if self._writer is not None:  # it will be opened, and written, by its path
            self._is_known = False
            return None
        # Where dates are settled afterwards the digests would be those of other bytes.
        if self.algorithm is None or source_date() is not None or not DigestedWriter.is_possible:
            return None
        fd = self.made.create(0o666)  # as ``open`` would; nobody else gets into the directory
        self._writer = DigestedWriter(
            fd, name=self.where, start=self.user_block, algorithm=self.algorithm
        )
        self._is_known = True
        return self._writer

    def let_go(self) -> None:
        """Close what :meth:`create` has opened: some systems replace no file that is open."""
        if self._writer is not None:
            self._writer.abandon()

    def seal(self, requested: Requested) -> Outcome:
        """Seal it in itself, or beside itself where the settings want that."""
        try:
            return self._sealed(requested)
        finally:
            self.let_go()

    def _sealed(self, requested: Requested) -> Outcome:
        self.made.take_final_name()
        self._settle_dates()
        known = self._writer.digests.known if self._writer and self._is_known else None
        if requested.demands.store is Store.SIDECAR:
            return sidecars.seal_beside(self.made, requested.path, known)
        fd = self.made.open_written()
        try:
            return seal_writer.seal_in_place(
                fd, subject=self.made.name, path=requested.path, known=known
            )
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
    requested: Requested, user_block: int, ignoring: int | None, *, digested: bool
) -> Iterator[AbstractContextManager[ReservedFile]]:
    """Where the file may be written: beside the destination, or else where there is room."""
    beside_it = requested.demands.store is Store.SIDECAR
    room = 0 if beside_it else user_block
    with atomic.open_target(requested.path) as target:
        target.refuse_unwritable()
        reason = atomic.why_in_place(target, ignoring=ignoring)
        if reason is None:
            freeing.uncache(target.name, target.directory)
        algorithm = algorithm_for(requested, user_block, digested=digested)
        reserving = _Reserving(target, room, algorithm)
        yield reserving.beside(reason, ignoring)
        if target.old is not None:
            for folder in _other_folders(target):
                yield reserving.elsewhere(folder, "there is no room for a second copy")


def algorithm_for(requested: Requested, user_block: int, *, digested: bool) -> str | None:
    """By what the content is digested while it is written; None for not at all.

    Args:
        user_block: bytes that HDF5 is asked to reserve; 0 for other formats.
        digested: whether whoever writes can be given a file object.
    """
    # Through one HDF5 lays out a file otherwise, and what has its seal beside it is to be the bytes
    # that Keras writes without us.
    is_for_path = user_block and requested.demands.store is Store.SIDECAR
    return requested.demands.algorithm if digested and not is_for_path else None


class _Reserving(NamedTuple):
    """What all places for one file have in common."""

    target: Target
    user_block: int
    algorithm: str | None

    @contextlib.contextmanager
    def beside(self, reason: str | None, ignoring: int | None) -> Iterator[ReservedFile]:
        """Beside the target, or elsewhere where nothing can be put there."""
        with ExitStack() as stack:
            try:
                made = stack.enter_context(atomic.private_file(self.target))
            except OSError as error:
                if self.target.old is None or error.errno not in _NO_DIRECTORY:
                    raise
                folder = _other_folders(self.target)[0]
                why = "its directory cannot be written"
                made = stack.enter_context(_private_in(folder, self.target))
                reason = why if reason is None else reason
            reserved = stack.enter_context(self._reserved(made, reason))
            reserved.ignoring = ignoring
            yield reserved

    @contextlib.contextmanager
    def elsewhere(self, folder: str, reason: str) -> Iterator[ReservedFile]:
        """In another directory, from where it is copied."""
        with _private_in(folder, self.target) as made, self._reserved(made, reason) as reserved:
            yield reserved

    @contextlib.contextmanager
    def _reserved(self, made: PrivateFile, reason: str | None) -> Iterator[ReservedFile]:
        reserved = ReservedFile(made, reason, self.user_block, self.algorithm)
        try:
            yield reserved
        finally:
            reserved.let_go()


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
