# SPDX-License-Identifier: Apache-2.0
"""TensorFlow checkpoints, judged by their index: what restoring them would allocate and read.

The index is a table of LevelDB's kind (``tensorflow/core/lib/io/table_format.txt``) from names of
tensors to ``BundleEntryProto`` (``tensor_bundle.proto``). A tensor is allocated by the shape that
stands there before a byte of it is read, so the shape has to be that of the bytes stored.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from keras_integrity_hook.errors import DamagedFileError, LimitExceededError
from keras_integrity_hook.inspection import tensor_types
from keras_integrity_hook.inspection.findings import Finding
from keras_integrity_hook.inspection.protobuf import Span, Wire
from keras_integrity_hook.inspection.rules import found
from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.texts import bytes_of

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48  # bytes
_TRAILER = 5  # bytes behind a block: how it is compressed, and its checksum
_UNSTORED = 16 * MIB
_DATA = re.compile(r"(.*)\.data-(\d{5})-of-\d{5}")


class _Entry(NamedTuple):
    """What a ``BundleEntryProto`` says; offsets and sizes in bytes."""

    kind: int
    elements: int
    shard: int
    offset: int
    size: int
    is_sliced: bool


def inspect(content: Content, name: str, sizes: Mapping[str, int]) -> Iterator[Finding]:
    """Findings about the index of a checkpoint.

    Args:
        name: of the file, ``<prefix>.index``.
        sizes: of all files of the model by name, in bytes.
    """
    prefix = name.removesuffix(".index")
    matches = ((_DATA.fullmatch(file), size) for file, size in sizes.items())
    shards = {int(m[2]): size for m, size in matches if m is not None and m[1] == prefix}
    if not shards:
        return  # an index of something else: TensorFlow opens no checkpoint without data
    if content.size > LIMITS.inspected_member:
        yield found("malformed-checkpoint", name, "", f"an index of {bytes_of(content.size)}")
        return
    try:
        wire = Wire(content.read(0, content.size))
        for key, value in _table(wire):
            if key:
                yield from _judged(_entry(wire, value), key, name, shards)
    except (DamagedFileError, LimitExceededError) as error:
        yield found("malformed-checkpoint", name, "", error.cause)
    except struct.error:
        yield found("malformed-checkpoint", name, "", "it is cut short")


def _judged(entry: _Entry, key: bytes, name: str, shards: Mapping[int, int]) -> Iterator[Finding]:
    place = key.decode("utf-8", "replace")
    stored = shards.get(entry.shard, 0)
    declared = entry.elements * tensor_types.item_size(entry.kind)
    if entry.offset + entry.size > stored:
        yield found("malformed-checkpoint", name, place, "values behind the end of their file")
    room = sum(shards.values()) if entry.is_sliced else entry.size
    if declared > room + _UNSTORED:
        shown = f"{bytes_of(declared)} declared, {bytes_of(entry.size)} stored"
        yield found("shape-bomb", name, place, shown)


def _entry(wire: Wire, span: Span) -> _Entry:
    numbers = dict.fromkeys((1, 3, 4, 5), 0)
    count, is_sliced = 1, False
    for number, begin, end in wire.fields(span):
        if end < 0 and number in numbers:
            numbers[number] = begin
        elif number == 2 and end >= 0:
            count = tensor_types.elements(wire, (begin, end))
        elif number == 7:
            is_sliced = True
    return _Entry(numbers[1], count, numbers[3], numbers[4], numbers[5], is_sliced)


def _table(wire: Wire) -> Iterator[tuple[bytes, Span]]:
    """Keys and values of a table, in their order."""
    end = len(wire.data)
    if end < _FOOTER or struct.unpack_from("<Q", wire.data, end - 8)[0] != _MAGIC:
        raise DamagedFileError("it is no table")
    at = end - _FOOTER
    for _ in range(2):  # the handle of the metaindex, which nobody has
        _, at = wire.varint(at, end)
    for _, handle in _block(wire, *_handle(wire, (at, end))):
        yield from _block(wire, *_handle(wire, handle))


def _handle(wire: Wire, span: Span) -> Span:
    """Offset and size of a block."""
    offset, at = wire.varint(*span)
    size, _ = wire.varint(at, span[1])
    return offset, size


def _block(wire: Wire, offset: int, size: int) -> Iterator[tuple[bytes, Span]]:
    """The entries of a block, whose keys are written without what they share with the last."""
    stop = offset + size
    if stop + _TRAILER > len(wire.data) or size < 4:
        raise DamagedFileError("a block lies behind its end")
    if wire.data[stop]:
        raise DamagedFileError("a block is compressed, which TensorFlow does not do")
    (restarts,) = struct.unpack_from("<I", wire.data, stop - 4)
    stop -= 4 + 4 * restarts
    at, key = offset, b""
    while at < stop:
        wire.spend()
        shared, at = wire.varint(at, stop)
        more, at = wire.varint(at, stop)
        length, at = wire.varint(at, stop)
        if shared > len(key) or at + more + length > stop:
            raise DamagedFileError("an entry runs out of its block")
        key = key[:shared] + wire.data[at : at + more]
        if len(key) > LIMITS.set_name:
            raise DamagedFileError("the name of a tensor is too long")
        at += more
        yield key, (at, at + length)
        at += length
    if at != stop:
        raise DamagedFileError("a block is malformed")
