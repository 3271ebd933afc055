# SPDX-License-Identifier: Apache-2.0
"""Write a seal into a file that is still private to us, and take it out again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import accumulate
from pathlib import PurePath

from keras_integrity_hook.containers import file_set, hdf5, opening
from keras_integrity_hook.containers.copying import copy_content, write_all
from keras_integrity_hook.containers.file_set import OpenSet
from keras_integrity_hook.containers.formats import FORMATS
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.layout import Layout
from keras_integrity_hook.errors import AlreadySealedError
from keras_integrity_hook.files import atomic, portable
from keras_integrity_hook.files.atomic import Target
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.saving import authorship, autosign, statement
from keras_integrity_hook.saving.statement import Known, NewSeal
from keras_integrity_hook.sealing import block, tree
from keras_integrity_hook.sealing.content import FileContent
from keras_integrity_hook.sealing.statement import Region

_ENVELOPE_BASE = 2 * 1024  # a statement without regions, in its envelope, with room for a signature
_REGION_BASE = 64  # brackets, offsets and CRC of one region


def seal_in_place(
    fd: int,
    *,
    subject: str,
    algorithm: str | None = None,
    path: str | None = None,
    known: Known | None = None,
) -> NewSeal:
    """Seal the unsealed model behind ``fd`` (open for reading and writing, nobody else's yet).

    Args:
        fd: descriptor of a whole ``.keras`` or HDF5 file, with or without an empty user block.
        subject: the file's name for the statement.
        algorithm: a name of :data:`sealing.tree.ALGORITHMS`; None for that of the settings.
        path: where the user will find it; settings may differ from path to path.
        known: asked for the digests that need not be computed.

    Raises:
        AlreadySealedError, NotAModelError, DamagedFileError, LimitExceededError,
        SigningError, ConfigurationError: as their names say. OSError: the disk is full, ...
    """
    layout = plain_layout(fd)
    name = PurePath(subject).name
    seal = statement.seal_of(layout, subject=name, algorithm=algorithm, path=path, known=known)
    put_block(fd, layout, seal.envelope, seal.table)
    return seal


def put_block(fd: int, layout: Layout, envelope: bytes, table: bytes) -> None:
    """Write a seal into the file behind ``fd``, which has this ``layout`` and no seal yet."""
    FORMATS[layout.container].put_block(fd, layout, envelope, table)


def sidecar_for(
    fd: int,
    *,
    subject: str,
    algorithm: str | None = None,
    path: str | None = None,
    known: Known | None = None,
) -> NewSeal:
    """The seal to put beside the unsealed model behind ``fd``, which is only read.

    Args and Raises: as :func:`seal_in_place`, but that all of the file is content.
    """
    layout = opening.locate(fd, system.fstat(fd).st_size)
    if layout.block is not None:
        raise AlreadySealedError("the file has a seal already")
    name = PurePath(subject).name
    return statement.seal_of(layout, subject=name, algorithm=algorithm, path=path, known=known)


def seal_set(files: OpenSet, *, subject: str, path: str | None = None) -> NewSeal:
    """Seal a set that was saved, where it is; an older seal is replaced.

    It is signed where the settings want that, unless somebody else could have written it.

    Args:
        files: its directory, with no file opened yet; it is the caller's to close.
        subject: the model's name for the statement.
        path: where the user will find it; settings may differ from path to path.

    Raises:
        NotAModelError, DamagedFileError, LimitExceededError, UnreadableFileError,
        SigningError, ConfigurationError: as their names say. OSError: the disk is full, ...
    """
    with autosign.only_own_work(lambda: authorship.others_could_write_set(files)):
        seal = seal_of_set(files, subject=subject, path=path)
    put_beside(files.directory, files.place, seal.block)
    return seal


def seal_of_set(
    files: OpenSet, *, subject: str, algorithm: str | None = None, path: str | None = None
) -> NewSeal:
    """The seal to put beside a set, which is only read.

    Args:
        algorithm: a name of :data:`sealing.tree.ALGORITHMS`; None for that of the settings.

    Other arguments and errors: as :func:`seal_set`.
    """
    place = files.place
    file_set.open_present(files)
    starts = accumulate((part.content.size for part in files.parts), initial=0)
    members = tuple(
        Region(file_set.spell(place, part.name), start, part.content.size)
        for start, part in zip(starts, files.parts, strict=False)
    )
    return statement.seal_of(
        Layout(place.kind.container, files.content, members=members),
        subject=subject,
        algorithm=algorithm,
        path=path,
        files=files.members,
    )


def put_beside(directory: int, place: Place, seal: bytes) -> None:
    """Write a block as the seal of the set at ``place``, in one step.

    Args:
        directory: descriptor of the set's directory.

    Raises:
        OSError: it cannot be written; the older seal is as it was.
    """
    with _target_in(directory, place) as target, atomic.private_file(target) as made:
        fd = made.create(0o666)
        try:
            write_all(fd, memoryview(seal), 0)
            if target.old is None and not system.geteuid():
                at = system.fstat(target.directory)
                system.fchown(fd, at.st_uid, at.st_gid)  # root leaves nobody files of root's
        finally:
            os.close(fd)
        made.put_in_place()


def remove_beside(directory: int, place: Place) -> None:
    """Remove the seal of the set at ``place``.

    Args:
        directory: descriptor of the set's directory.

    Raises:
        OSError: it cannot be removed, or is gone.
    """
    with _target_in(directory, place) as target:
        system.unlink(target.name, dir_fd=target.directory)


@contextlib.contextmanager
def _target_in(directory: int, place: Place) -> Iterator[Target]:
    """Where the seal goes; it may lie in a directory below, which is made. No link is followed."""
    below, name = os.path.split(place.seal)
    if below:
        with contextlib.suppress(FileExistsError):
            system.mkdir(below, dir_fd=directory)
    flags = os.O_RDONLY | portable.O_DIRECTORY | portable.O_NOFOLLOW | portable.O_CLOEXEC
    fd = system.open(below or ".", flags, dir_fd=directory)
    try:
        yield Target.in_directory(fd, os.path.join(place.directory, below), name)
    finally:
        os.close(fd)


def give_back_room(fd: int) -> None:
    """Take the empty user block away again that was reserved for a seal, if there is one.

    Args:
        fd: as for :func:`seal_in_place`, where no seal could be made. A file that begins with an
            empty user block is none that Keras would write.
    """
    if system.pread(fd, len(hdf5.SIGNATURE), 0) != bytes(len(hdf5.SIGNATURE)):
        return
    start, size = hdf5.reserved(fd), system.fstat(fd).st_size
    copy_content(FileContent(fd, start, size - start), fd)  # downwards: nothing is lost
    os.ftruncate(fd, size - start)


def user_block_estimate(names: list[str], content_size: int) -> int:
    """User block (bytes) to reserve for variables of these ``names`` and total size in bytes.

    A guess that is nearly always enough; where it is not, the content is moved after the fact.
    """
    chunk_size = tree.chunk_size_for(content_size)
    table = 32 * (tree.chunk_count(content_size, chunk_size) + 1)
    text = sum(len(name) + _REGION_BASE for name in names)
    return hdf5.user_block_for(block.OVERHEAD + table + (_ENVELOPE_BASE + text) * 4 // 3)


def plain_layout(fd: int) -> Layout:
    """The layout of a file without a seal, perhaps with an empty user block.

    Raises:
        AlreadySealedError, NotAModelError, DamagedFileError, LimitExceededError: as named.
    """
    size = system.fstat(fd).st_size
    # A user block still empty is one we reserved. Anything else there is content: a ZIP may well
    # hold an HDF5 signature at an offset where a user block could end.
    if system.pread(fd, len(hdf5.SIGNATURE), 0) == bytes(len(hdf5.SIGNATURE)):
        start = hdf5.reserved(fd)
        return Layout(hdf5.CONTAINER, FileContent(fd, start, size - start))
    layout = opening.locate(fd, size)
    if layout.block is not None:
        raise AlreadySealedError("the file has a seal already")
    return layout
