# SPDX-License-Identifier: Apache-2.0
"""The configurations that tf_keras keeps in a SavedModel: JSON in ``keras_metadata.pb``.

``SavedMetadata`` of tf_keras/protobuf/saved_metadata.proto is a list of nodes (field 1), each with
its path (3) and the configuration of its layer (5). A Lambda layer's bytecode is among them, and
runs when the model is loaded (CVE-2024-3660).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from keras_integrity_hook.inspection import config, json_reading
from keras_integrity_hook.inspection.findings import Finding
from keras_integrity_hook.inspection.rules import found
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content

_NODES, _PATH, _METADATA = 1, 3, 5
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class _Field(NamedTuple):
    number: int
    value: memoryview  # empty for what is no text


class _MalformedError(ValueError):
    """The bytes are no message."""


def inspect(content: Content, name: str) -> Iterator[Finding]:
    """The findings in the configurations of every node."""
    if content.size > LIMITS.inspected_member:
        yield found("too-large", name, "", f"{content.size} bytes")
        return
    data = memoryview(content.read(0, content.size))
    try:
        for field in _fields(data):
            if field.number == _NODES:
                yield from _of_node(field.value, name)
    except _MalformedError as error:
        yield found("malformed-config", name, "", str(error))


def _of_node(node: memoryview, name: str) -> Iterator[Finding]:
    fields = list(_fields(node))
    paths = [bytes(one.value).decode("utf-8", "replace") for one in fields if one.number == _PATH]
    for field in fields:
        if field.number == _METADATA and field.value:
            where = f"{name}: {paths[-1]}" if paths else name
            yield from config.of(json_reading.parse(bytes(field.value)), where)


def _fields(data: memoryview) -> Iterator[_Field]:
    """The fields of one message (protobuf.dev/programming-guides/encoding)."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _BYTES:
            length, at = _varint(data, at)
            value = data[at : at + length]
            at += length
        elif wire in (_VARINT, _FIXED64, _FIXED32):
            value = data[:0]
            at = _varint(data, at)[1] if wire == _VARINT else at + (8 if wire == _FIXED64 else 4)
        else:
            raise _MalformedError(f"a field of wire type {wire}")
        if at > len(data):
            raise _MalformedError("a field is cut short")
        yield _Field(number, value)


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of up to ten bytes, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _MalformedError("a number has no end")
