# SPDX-License-Identifier: Apache-2.0
"""Where an archive ends that something was appended to: a file of labels, a comment.

Readers search for the end of an archive from behind, and differ in how far they go and in what they
take for it. Here it is found from the front: one member after the other, the seal, the directory,
the end records. That leaves one answer. Nothing is loaded from such a file; this is for saying what
happened to it, and for the commands that take the archive out of it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files.reading import read_exactly
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import block
from keras_integrity_hook.sealing.content import FileContent

_END_SIZE = 22
_MASK32 = 0xFFFFFFFF
_HAS_DESCRIPTOR = 0x0008


class Appended(NamedTuple):
    """What follows an archive.

    Attributes:
        start: where it begins, which is the size of the archive in bytes.
        size: in bytes.
        is_comment: whether the archive's end record calls it a comment.
    """

    start: int
    size: int
    is_comment: bool

    def content(self, fd: int) -> FileContent:
        """The bytes, of the file behind ``fd``."""
        return FileContent(fd, self.start, self.size)

    def __str__(self) -> str:
        if self.is_comment:
            return f"the archive has a comment of {self.size} bytes"
        return f"{self.size} bytes were appended after the archive"


def find(fd: int, size: int) -> Appended | None:
    """What follows the archive that the file behind ``fd`` (``size`` bytes) begins with.

    Returns:
        None where nothing does, or where the file has no end that can be told from its start:
        it is cut short, was streamed, or is no archive.
    """
    try:
        end, comment = _end(fd, size)
    except (IntegrityError, struct.error):
        return None
    rest = size - end
    if rest <= 0 or comment not in (0, rest):
        return None
    return Appended(end, rest, bool(comment))


def _end(fd: int, size: int) -> tuple[int, int]:
    """The offset behind the end record, and the length of the comment that it claims."""
    at = 0
    for _ in range(2 * LIMITS.zip_members + 4):
        if at >= size:
            break
        head = read_exactly(fd, min(46, size - at), at)
        magic = head[:4]
        if magic == b"PK\x03\x04":
            at += _member_size(fd, head, at)
        elif magic == b"KERA":
            at += block.size_from_header(head[: block.HEADER_SIZE])
        elif magic == b"PK\x01\x02":
            at += 46 + sum(struct.unpack_from("<HHH", head, 28))
        elif magic == b"PK\x06\x06":
            at += 12 + struct.unpack_from("<Q", head, 4)[0]
        elif magic == b"PK\x06\x07":
            at += 20
        elif magic == b"PK\x05\x06":
            return at + _END_SIZE, struct.unpack_from("<H", head, 20)[0]
        else:
            break
    return size, 0


def _member_size(fd: int, head: bytes, at: int) -> int:
    """Bytes of the member at ``at`` with its local header; its size is known before its data."""
    flags, packed = struct.unpack_from("<H", head, 6)[0], struct.unpack_from("<I", head, 18)[0]
    names, extras = struct.unpack_from("<HH", head, 26)
    if flags & _HAS_DESCRIPTOR:
        raise struct.error("the size follows the data")
    if packed == _MASK32:
        # Both sizes, the packed one last, in the first field (APPNOTE 4.5.3).
        (packed,) = struct.unpack_from("<Q", read_exactly(fd, extras, at + 30 + names), 12)
    return 30 + int(names) + int(extras) + int(packed)
