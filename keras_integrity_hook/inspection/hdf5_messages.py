# SPDX-License-Identifier: Apache-2.0
"""The messages of which object headers of HDF5 consist, taken apart (HDF5 File Format Specification
v3, section IV.A.2). What is cut short or cannot be is a DamagedFileError within :func:`whole`.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from keras_integrity_hook.errors import DamagedFileError
from keras_integrity_hook.limits import LIMITS

UNDEFINED = 0xFFFFFFFFFFFFFFFF
"""The address of what is not there."""
MAX_NAME = 4096  # bytes

DATASPACE, LINK_INFO, DATATYPE, LINK = 0x01, 0x02, 0x03, 0x06
EXTERNAL_FILES, LAYOUT, FILTERS, ATTRIBUTE = 0x07, 0x08, 0x0B, 0x0C
CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 0x10, 0x11, 0x15

_HARD, _SOFT = 0, 1
_Q = struct.Struct("<Q").unpack_from


Message = tuple[int, bytes, int]
"""One message of an object header: its kind, its data, and not 0 if that is only a reference."""


class Attribute(NamedTuple):
    """An attribute: its name, and its type, dataspace and data as the file has them."""

    name: bytes
    type: bytes
    space: bytes
    data: bytes


@contextlib.contextmanager
def whole() -> Iterator[None]:
    """Within it, what a header that is cut short makes of Python's unpacking is damage.

    Raises:
        DamagedFileError: a header of the file is cut short.
    """
    try:
        yield
    except (struct.error, IndexError, ValueError) as error:
        raise DamagedFileError("a header is cut short") from error


def attribute_of(body: bytes) -> Attribute:
    """Take an attribute message apart: section IV.A.2.m. Raises DamagedFileError."""
    if len(body) < 9 or body[0] not in (1, 2, 3):
        raise DamagedFileError("an attribute is malformed")
    lengths = struct.unpack_from("<HHH", body, 2)
    at = 9 if body[0] == 3 else 8  # the third version says in one more byte how it is encoded
    fields = []
    for length in lengths:
        fields.append(body[at : at + length])
        at += length + 7 & ~7 if body[0] == 1 else length
    name, kind, space = fields
    if len(kind) < 8 or len(space) < 4:
        raise DamagedFileError("an attribute is malformed")
    return Attribute(name.rstrip(b"\0"), kind, space, body[at:])


def refers_elsewhere(body: bytes) -> bool:
    """Whether an attribute message has references where its type and dataspace would stand."""
    return len(body) > 1 and body[0] in (2, 3) and body[1] != 0  # IV.A.2.m: flags, from version 2


def shape(space: bytes) -> tuple[int, ...]:
    """The lengths that a dataspace states: section IV.A.2.b. Raises DamagedFileError."""
    version, rank = space[:2] if len(space) >= 4 else (0, 0)
    begin = {1: 8, 2: 4}.get(version)
    if begin is None or rank > LIMITS.hdf5_rank or len(space) < begin + 8 * rank:
        raise DamagedFileError("the shape of an array is malformed")
    return struct.unpack_from(f"<{rank}Q", space, begin)


@lru_cache(maxsize=128)
def extent(space: bytes) -> int:
    """How many elements a dataspace states; most arrays of a file have one of a few shapes."""
    if space[0] == 2 and space[3] == 2:
        return 0  # a null dataspace
    count = 1
    for length in shape(space):
        count *= length
    return count


def datatype_size(kind: bytes) -> int:
    """Bytes of one element of a datatype: section IV.A.2.d. Raises DamagedFileError."""
    if len(kind) < 8:
        raise DamagedFileError("a type is malformed")
    return int(struct.unpack_from("<I", kind, 4)[0])


def has_dense(kind: int, body: bytes) -> bool:
    """Whether a link info or attribute info message says that a heap holds some: IV.A.2.c, .v."""
    flags = body[1] if len(body) > 1 else 0
    wide = 8 if kind == LINK_INFO else 2
    at = 2 + (wide if flags & 1 else 0)
    return bool(_Q(body.ljust(at + 8, b"\xff"), at)[0] != UNDEFINED)


def link_of(body: bytes) -> tuple[str, int | str]:
    """Name and target of a link message (IV.A.2.g): an address, ``"soft"`` or ``"external"``."""
    if len(body) < 3 or body[0] != 1:
        raise DamagedFileError("a link is malformed")
    flags, at = body[1], 2
    kind = body[at] if flags & 0x08 else _HARD
    at += (1 if flags & 0x08 else 0) + (8 if flags & 0x04 else 0) + (1 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    length = int.from_bytes(body[at : at + width], "little")
    at += width
    if length > len(body) - at - (8 if kind == _HARD else 0):  # a length may take eight bytes
        raise DamagedFileError("a link is malformed")
    name = body[at : at + min(length, MAX_NAME)].decode("utf-8", "replace")
    if kind == _HARD:
        return name, _Q(body, at + length)[0]
    return name, "soft" if kind == _SOFT else "external"
