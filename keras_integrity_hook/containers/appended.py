# SPDX-License-Identifier: Apache-2.0
"""What another program added to a ``.keras`` archive behind its end: found, named, and left out.

Labels appended to the file, a comment on the archive, a member that ``zipfile`` put behind the
seal: each makes an archive that readers may disagree about, and is refused. It is no attack most of
the time, so the refusal says what happened, and :func:`layout_without` gives the archive that
``unseal`` and ``reseal`` write in its place.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from keras_integrity_hook.containers import keras_zip
from keras_integrity_hook.containers.keras_zip import Directory
from keras_integrity_hook.containers.layout import Layout
from keras_integrity_hook.errors import DamagedFileError, IntegrityError, printable
from keras_integrity_hook.files.reading import read_exactly
from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.sealing import block
from keras_integrity_hook.sealing.content import Content, FileContent, JoinedContent

_END = struct.Struct("<4sHHHHIIH")
_ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_END_MAGIC = b"PK\x05\x06"
_CANDIDATES = 64  # end records that what was appended may pretend to hold


@dataclass(frozen=True, slots=True)
class _Archive:
    """An archive inside a file: its directory, and what is behind the end record or in it.

    Attributes:
        directory: the central directory and the end record, without a comment.
        end: offset behind the end record.
        comment: the comment's length in bytes.
    """

    directory: Directory
    end: int
    comment: int


@dataclass(frozen=True, slots=True)
class _Seal:
    """Where a seal stands among the members, and the names of those behind it."""

    start: int
    stop: int
    added: tuple[str, ...]


def explained(fd: int, size: int, error: DamagedFileError) -> DamagedFileError:
    """The refusal ``error`` of the archive behind ``fd``, in the user's terms where that is
    possible."""
    try:
        archive = _archive(fd, size)
        seal = None if archive is None else _seal(fd, archive.directory)
    except (IntegrityError, struct.error, OSError):
        return error
    if archive is None:
        return error
    rest = size - archive.end
    if archive.comment:
        added = f"a comment of {archive.comment} bytes was added to the archive"
    elif rest:
        added = f"{rest} bytes were appended behind the end of the archive"
    elif seal is not None and seal.added:
        names = ", ".join(seal.added[:5]) + (", ..." if len(seal.added) > 5 else "")
        added = f"members were added behind the seal ({printable(names)})"
    else:
        return error
    return DamagedFileError(added, path=error.path, remedy=_remedy(archive, rest, seal))


def layout_without(fd: int, size: int) -> Layout | None:
    """The archive behind ``fd`` without seal, comment and appended bytes; None where it has no
    seal, or something else is wrong with it.

    Members that were added stay: they are a part of the archive to every reader. The block is
    that of the seal it had.

    Raises:
        IntegrityError: the seal is malformed, or the members are.
    """
    try:
        archive = _archive(fd, size)
        seal = None if archive is None else _seal(fd, archive.directory)
    except struct.error:
        return None
    if archive is None or seal is None:
        return None
    found = block.decode(read_exactly(fd, seal.stop - seal.start, seal.start))
    directory = archive.directory
    tail = _moved(directory, seal)
    rest = FileContent(fd, seal.stop, directory.offset - seal.stop, tail)
    content: Content = JoinedContent([FileContent(fd, 0, seal.start), rest])
    return Layout(keras_zip.CONTAINER, content, found, seal.start)


def _remedy(archive: _Archive, rest: int, seal: _Seal | None) -> str:
    if seal is None:
        cut = f"'truncate --size=-{rest}' takes them away; " if rest and not archive.comment else ""
        return f"Keras did not write that: {cut}keep such data in a file of its own."
    if seal.added:
        return (
            "If that was on purpose, 'keras-integrity reseal --reason TEXT PATH' gives the archive "
            "with them a new seal, and 'keras-integrity unseal PATH' makes a plain one of it."
        )
    return (
        "The model before may be as it was. If you know where that comes from, 'keras-integrity "
        "reseal --reason TEXT PATH' takes it away and seals the model anew, and 'keras-integrity "
        "unseal PATH' leaves the plain model; keep such data in a file of its own."
    )


def _archive(fd: int, size: int) -> _Archive | None:
    """The last archive that ends in the last MiB of the file."""
    start = max(0, size - MIB)
    last = read_exactly(fd, size - start, start)
    at = len(last)
    for _ in range(_CANDIDATES):
        at = last.rfind(_END_MAGIC, 0, at)
        if at < 0 or at + _END.size > len(last):
            return None
        found = _archive_ending(fd, size, start + at, last[at : at + _END.size])
        if found is not None:
            return found
    return None


def _archive_ending(fd: int, size: int, at: int, record: bytes) -> _Archive | None:
    _, _, _, _, count, length, offset, comment = _END.unpack(record)
    end = at + _END.size
    if offset + length != at or comment not in (0, size - end):
        return None  # no directory before it, or a ZIP64 one
    if length > LIMITS.central_directory or count > LIMITS.zip_members:
        return None
    tail = read_exactly(fd, length, offset) + record[:-2] + b"\0\0"
    return _Archive(Directory(offset, length, count, tail), end, comment)


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
        if block.size_from_trailer(os.pread(fd, block.TRAILER_SIZE, at)) != following - end:
            return None
        added = tuple(name.decode("utf-8", "replace") for _, _, name in members[index + 1 :])
        return _Seal(end, following, added)
    return None


def _members(directory: Directory) -> list[tuple[int, int, bytes]]:
    """Offset, size in the archive (bytes) and name of each member."""
    found = []
    at = 0
    for _ in range(directory.members):
        entry = _ENTRY.unpack_from(directory.tail, at)
        name_at = at + _ENTRY.size
        found.append((entry[16], entry[8], directory.tail[name_at : name_at + entry[10]]))
        at = name_at + sum(entry[10:13])
    return found


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
