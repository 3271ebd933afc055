# SPDX-License-Identifier: Apache-2.0
"""Members that another program put behind the seal of a ``.keras`` archive: named, and kept.

``zipfile`` writes a new member over the directory, and so behind the seal, which stands in the
middle of the archive from then on. That is refused, but it is no attack most of the time: so the
refusal says what happened, and :func:`layout_of` gives the archive, without its seal and with all
of its members, that ``unseal`` and ``reseal`` write in its place.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from keras_integrity_hook.containers import keras_zip
from keras_integrity_hook.containers.keras_zip import Directory
from keras_integrity_hook.containers.layout import Layout
from keras_integrity_hook.errors import DamagedFileError, IntegrityError
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.reading import read_exactly
from keras_integrity_hook.sealing import block
from keras_integrity_hook.sealing.block import Block
from keras_integrity_hook.sealing.content import Content, FileContent, JoinedContent

_ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_NAMED = 5


@dataclass(frozen=True, slots=True)
class _Seal:
    """Where a seal stands among the members, and the names of those behind it."""

    start: int
    stop: int
    added: tuple[str, ...]


def explained(fd: int, size: int, error: DamagedFileError) -> DamagedFileError:
    """The refusal ``error`` of the archive behind ``fd``, in the user's terms where it is this."""
    try:
        seal = _seal(fd, keras_zip.read_directory(fd, size))
    except (IntegrityError, struct.error):
        return error
    if seal is None or not seal.added:
        return error
    names = ", ".join(seal.added[:_NAMED]) + (", ..." if len(seal.added) > _NAMED else "")
    remedy = (
        "If that was on purpose, 'keras-integrity reseal --reason TEXT PATH' gives the archive "
        "with them a new seal, and 'keras-integrity unseal PATH' makes a plain one of it."
    )
    return DamagedFileError(f"members were added behind the seal ({names})", remedy=remedy)


def layout_of(fd: int, size: int) -> tuple[Layout, Block]:
    """The archive behind ``fd`` without the seal that its members stand around, and that seal.

    Raises:
        DamagedFileError: no members were added behind a seal. IntegrityError: it is malformed.
    """
    try:
        directory = keras_zip.read_directory(fd, size)
        seal = _seal(fd, directory)
    except struct.error:
        seal = None
    if seal is None or not seal.added:
        raise DamagedFileError("no members were added behind a seal")
    taken_out = block.decode(read_exactly(fd, seal.stop - seal.start, seal.start))
    rest = FileContent(fd, seal.stop, directory.offset - seal.stop, _moved(directory, seal))
    content: Content = JoinedContent([FileContent(fd, 0, seal.start), rest])
    return Layout(keras_zip.CONTAINER, content, taken_out, seal.start), taken_out


def _seal(fd: int, directory: Directory) -> _Seal | None:
    """The seal in the one place where the members leave room for it."""
    members = sorted(_members(directory))
    starts = [*(start for start, _, _ in members), directory.offset]
    for index, (start, packed, _) in enumerate(members):
        header = _LOCAL.unpack(read_exactly(fd, _LOCAL.size, start))
        end, following = start + _LOCAL.size + header[9] + header[10] + packed, starts[index + 1]
        if end == following:
            continue
        at = following - block.TRAILER_SIZE
        if end > at or block.size_from_trailer(read_exactly(fd, block.TRAILER_SIZE, at)) is None:
            return None
        if block.size_from_trailer(system.pread(fd, block.TRAILER_SIZE, at)) != following - end:
            return None
        added = tuple(name.decode("utf-8", "replace") for _, _, name in members[index + 1 :])
        return _Seal(end, following, added)
    return None


def _members(directory: Directory) -> list[tuple[int, int, bytes]]:
    """Offset, size in the archive (bytes) and name of each member."""
    members = []
    at = 0
    for _ in range(directory.members):
        entry = _ENTRY.unpack_from(directory.tail, at)
        name_at = at + _ENTRY.size
        members.append((entry[16], entry[8], directory.tail[name_at : name_at + entry[10]]))
        at = name_at + sum(entry[10:13])
    return members


def _moved(directory: Directory, seal: _Seal) -> bytes:
    """Directory and end record of the archive once the seal is taken out of it."""
    length = seal.stop - seal.start
    tail = bytearray(keras_zip.moved_tail(directory, -length))
    at = 0
    for _ in range(directory.members):
        entry = _ENTRY.unpack_from(tail, at)
        if entry[16] >= seal.stop:
            struct.pack_into("<I", tail, at + 42, entry[16] - length)
        at += _ENTRY.size + sum(entry[10:13])
    return bytes(tail)
