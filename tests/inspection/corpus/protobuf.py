# SPDX-License-Identifier: Apache-2.0
"""Protocol buffers by hand, so that a SavedModel can say what TensorFlow would never write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Value = int | bytes | str
Field = Value | Iterable[Value]


def varint(value: int) -> bytes:
    """A number of seven bits a byte; a negative one has ten bytes."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: Value) -> bytes:
    """One field: a number, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(fields: Mapping[int, Field]) -> bytes:
    """A message of ``fields`` by number, those with several values repeated."""
    out = b""
    for number, value in fields.items():
        values = [value] if isinstance(value, int | bytes | str) else value
        out += b"".join(field(number, one) for one in values)
    return out
