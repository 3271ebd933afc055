# SPDX-License-Identifier: Apache-2.0
"""The binary frame of a seal, format version 1.

::

    0  8  magic b"KERASEAL"      24     E  envelope (DSSE, canonical JSON)
    8  2  version, u16 LE = 1    24+E   T  chunk table
    10 2  flags, u16 LE = 0      ...    P  zero bytes
    12 4  E   16 4  T   20 4  P  ...    32 SHA-256 of all of the block before it
                                 ...    8  total length, u64 LE
                                 ...    8  magic again

The SHA-256 is there for what the root digest does not bind (time, provenance, the map): without it
a flipped bit in the seal of an unsigned model could pass. It is no protection against people.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import NamedTuple

from keras_integrity_hook.errors import LimitExceededError, MalformedSealError
from keras_integrity_hook.limits import LIMITS

MAGIC = b"KERASEAL"
VERSION = 1
_HEADER = struct.Struct("<8sHHIII")
_TRAILER = struct.Struct("<Q8s")
HEADER_SIZE = _HEADER.size
TRAILER_SIZE = _TRAILER.size
_DIGEST_SIZE = 32
OVERHEAD = HEADER_SIZE + _DIGEST_SIZE + TRAILER_SIZE
MAX_SIZE = OVERHEAD + LIMITS.envelope + LIMITS.table + LIMITS.padding


class Block(NamedTuple):
    """The parts of a block: DSSE envelope, chunk table, and the size of the whole in bytes."""

    envelope: bytes
    table: bytes
    size: int


def encode(envelope: bytes, table: bytes, padding: int = 0) -> bytes:
    """One block. Raises LimitExceededError when a part is over its cap."""
    _within_limits(len(envelope), len(table), padding)
    header = _HEADER.pack(MAGIC, VERSION, 0, len(envelope), len(table), padding)
    size = OVERHEAD + len(envelope) + len(table) + padding
    body = b"".join((header, envelope, table, bytes(padding)))
    return body + hashlib.sha256(body).digest() + _TRAILER.pack(size, MAGIC)


def size_from_header(header: bytes) -> int:
    """Total size in bytes of the block that ``header`` (its first 24 bytes) opens.

    Raises:
        MalformedSealError: wrong magic, unknown version or flag.
        LimitExceededError: a length over its cap; nothing was read for it.
    """
    return OVERHEAD + sum(_lengths(header))


def size_from_trailer(trailer: bytes) -> int | None:
    """Total size in bytes that the last 16 bytes of a block claim; None where there is no block.

    Raises:
        MalformedSealError: a block that claims a size no block can have.
    """
    if len(trailer) != TRAILER_SIZE:
        return None
    size, magic = _TRAILER.unpack(trailer)
    if magic != MAGIC:
        return None
    if not OVERHEAD <= size <= MAX_SIZE:
        raise MalformedSealError(f"the seal claims a length of {size} bytes")
    return int(size)


def decode(data: bytes) -> Block:
    """The block that is exactly ``data``.

    Raises:
        MalformedSealError, LimitExceededError: any rule of the frame is broken.
    """
    envelope, table, padding = _lengths(data[:HEADER_SIZE])
    size = OVERHEAD + envelope + table + padding
    if size != len(data) or size_from_trailer(data[-TRAILER_SIZE:]) != size:
        raise MalformedSealError("the lengths of the seal contradict each other")
    body_end = len(data) - TRAILER_SIZE - _DIGEST_SIZE
    digest = hashlib.sha256(memoryview(data)[:body_end]).digest()
    if not hmac.compare_digest(digest, data[body_end : body_end + _DIGEST_SIZE]):
        raise MalformedSealError("the seal itself is damaged")
    after_table = HEADER_SIZE + envelope + table
    if data.count(0, after_table, after_table + padding) != padding:
        raise MalformedSealError("the padding of the seal is not zero")
    return Block(
        data[HEADER_SIZE : HEADER_SIZE + envelope],
        data[HEADER_SIZE + envelope : after_table],
        size,
    )


def _lengths(header: bytes) -> tuple[int, int, int]:
    if len(header) < HEADER_SIZE:
        raise MalformedSealError("the seal is cut short")
    magic, version, flags, envelope, table, padding = _HEADER.unpack(header[:HEADER_SIZE])
    if magic != MAGIC:
        raise MalformedSealError("the seal does not begin with its magic bytes")
    if version != VERSION:
        raise MalformedSealError(f"the seal has format version {version}, this build reads 1")
    if flags:
        raise MalformedSealError(f"the seal has unknown flags {flags:#06x}")
    _within_limits(envelope, table, padding)
    return envelope, table, padding


def _within_limits(envelope: int, table: int, padding: int) -> None:
    caps = LIMITS.envelope, LIMITS.table, LIMITS.padding
    for name, length, cap in zip(
        ("envelope", "chunk table", "padding"), (envelope, table, padding), caps, strict=True
    ):
        if length > cap:
            raise LimitExceededError(f"the seal's {name} of {length} bytes is over {cap}")
