# SPDX-License-Identifier: Apache-2.0
"""The seal of a ``.keras`` archive: one block right before the central directory.

The directory's offset (EOCD, and ZIP64 record and locator) is moved by the block's length, so
that every ZIP tool still reads the archive. APPNOTE.TXT 6.3.10 names the fields. An archive of
Keras has no prefix, suffix or comment, and ``zip_members`` says what its members do not have; one
that has any of these reads differently in different readers and is refused.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from keras_integrity_hook.containers import appended
from keras_integrity_hook.containers.copying import write_all
from keras_integrity_hook.containers.layout import Layout
from keras_integrity_hook.containers.zip_members import check_members
from keras_integrity_hook.errors import DamagedFileError, LimitExceededError
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.reading import read_exactly
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import block
from keras_integrity_hook.sealing.content import FileContent

CONTAINER = "keras-zip"
_EOCD = struct.Struct("<4sHHHHIIH")
_EOCD64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")
_MASK16, _MASK32 = 0xFFFF, 0xFFFFFFFF


class Directory(NamedTuple):
    """Where the central directory stands, and the bytes from there to the end of the file."""

    offset: int
    size: int
    members: int
    tail: bytes


def recognises(head: bytes) -> bool:
    """Whether a file with these first bytes is ours to parse."""
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def locate(fd: int, size: int, comment: int = 0) -> Layout:
    """Find content, seal and members.

    Args:
        size: of the archive, in bytes, without what was appended to it.
        comment: length in bytes of the comment that its end record claims and that is not looked
            at. It is none of the content; a file that is loaded has none.

    Raises:
        DamagedFileError, MalformedSealError, LimitExceededError: as their names say.
    """
    directory = read_directory(fd, size, comment)
    length = _block_length(fd, directory.offset)
    members_end = directory.offset - length
    seal = block.decode(read_exactly(fd, length, members_end)) if length else None
    entries = directory.tail[: directory.size]
    members = check_members(fd, entries, directory.members, members_end)
    content = FileContent(fd, 0, members_end, moved_tail(directory, -length))
    return Layout(CONTAINER, content, seal, members_end, members)


def put_block(fd: int, layout: Layout, envelope: bytes, table: bytes) -> None:
    """Write a seal right before the directory, which moves on. Raises OSError."""
    directory = read_directory(fd, system.fstat(fd).st_size)
    seal = block.encode(envelope, table)
    write_all(fd, memoryview(seal + moved_tail(directory, len(seal))), directory.offset)


def read_directory(fd: int, size: int, claimed: int = 0) -> Directory:
    """The central directory, by the end records, which must be the last of the ``size`` bytes.

    Args:
        claimed: the length of the comment that the end record claims; see :func:`locate`.
    """
    if size < _EOCD.size:
        raise DamagedFileError("the archive is cut short")
    end = size - _EOCD.size
    magic, disk, start_disk, here, count, length, offset, comment = _EOCD.unpack(
        read_exactly(fd, _EOCD.size, end)
    )
    if magic != b"PK\x05\x06" or comment != claimed:
        raise _not_at_its_end(
            fd, size, "the archive is cut short, or something follows its end record"
        )
    wide = _read_zip64(fd, end)
    for number in (disk, start_disk):
        if number and (number != _MASK16 or wide is None):
            raise DamagedFileError("the archive claims to be part of a set")
    directory_end = end
    if wide is not None:
        directory_end, narrow = wide[0], (here, count, length, offset)
        here, count, length, offset = wide[1]
        _agree(narrow, (here, count, length, offset))
    if here != count or offset + length != directory_end:
        raise _not_at_its_end(fd, size, "the archive's end record does not fit its directory")
    if length > LIMITS.central_directory or count > LIMITS.zip_members:
        raise LimitExceededError(f"the archive has a directory of {length} bytes, {count} members")
    tail = read_exactly(fd, size - offset, offset)
    return Directory(offset, length, count, tail[:-2] + b"\0\0" if claimed else tail)


def _not_at_its_end(fd: int, size: int, cause: str) -> DamagedFileError:
    """The error for end records that are not where they belong, with the reason if it is known."""
    extra = appended.find(fd, size)
    if extra is None:
        return DamagedFileError(cause)
    remedy = (
        f"The archive is the first {extra.start} bytes; keep the rest elsewhere. If it has a seal, "
        "'keras-integrity unseal PATH' does that, and so does 'keras-integrity reseal --reason "
        "TEXT PATH', which seals it anew: what was appended is in PATH.appended then."
    )
    return DamagedFileError(str(extra), remedy=remedy)


def moved_tail(directory: Directory, by: int) -> bytes:
    """Directory and end records with every offset of the directory moved by ``by`` bytes.

    Raises:
        LimitExceededError: a plain archive would have to become a ZIP64 one.
    """
    tail = bytearray(directory.tail)
    offset = directory.offset + by
    end = len(tail) - _EOCD.size
    wide = len(tail) > directory.size + _EOCD.size
    narrow = _EOCD.unpack_from(tail, end)
    if not wide and offset >= _MASK32:
        raise LimitExceededError("the archive and its seal cross 4 GiB without ZIP64 records")
    if not (wide and narrow[6] == _MASK32 and directory.offset < _MASK32):
        struct.pack_into("<I", tail, end + 16, min(offset, _MASK32))
    if wide:
        record = directory.size
        struct.pack_into("<Q", tail, record + 48, offset)
        (at,) = struct.unpack_from("<Q", tail, record + _EOCD64.size + 8)
        struct.pack_into("<Q", tail, record + _EOCD64.size + 8, at + by)
    return bytes(tail)


def _read_zip64(fd: int, end: int) -> tuple[int, tuple[int, int, int, int]] | None:
    at = end - _LOCATOR.size
    if at < 0:
        return None
    magic, disk, offset, disks = _LOCATOR.unpack(read_exactly(fd, _LOCATOR.size, at))
    if magic != b"PK\x06\x07":
        return None
    record = at - _EOCD64.size
    if disk or disks > 1 or offset != record or record < 0:
        raise DamagedFileError("the archive's ZIP64 locator points elsewhere")
    magic, length, _, _, disk, start_disk, here, count, size, start = _EOCD64.unpack(
        read_exactly(fd, _EOCD64.size, record)
    )
    if magic != b"PK\x06\x06" or length != _EOCD64.size - 12 or disk or start_disk:
        raise DamagedFileError("the archive's ZIP64 end record is malformed")
    return record, (here, count, size, start)


def _agree(narrow: tuple[int, ...], wide: tuple[int, ...]) -> None:
    masks = _MASK16, _MASK16, _MASK32, _MASK32
    for small, large, mask in zip(narrow, wide, masks, strict=True):
        if small not in (mask, large):
            raise DamagedFileError("the archive's two end records contradict each other")


def _block_length(fd: int, end: int) -> int:
    if end < block.TRAILER_SIZE:
        return 0
    trailer = read_exactly(fd, block.TRAILER_SIZE, end - block.TRAILER_SIZE)
    length = block.size_from_trailer(trailer) or 0
    if length > end:
        raise DamagedFileError("the seal claims to begin before the file")
    return length
