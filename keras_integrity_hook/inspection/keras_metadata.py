# SPDX-License-Identifier: Apache-2.0
"""The configurations that tf_keras keeps in a SavedModel: JSON in ``keras_metadata.pb``.

``SavedMetadata`` of tf_keras/protobuf/saved_metadata.proto is a list of nodes (field 1), each with
its path (3) and the configuration of its layer (5). A Lambda layer's bytecode is among them, and
runs when the model is loaded (CVE-2024-3660).
"""

from __future__ import annotations

from collections.abc import Iterator

from keras_integrity_hook.errors import DamagedFileError, LimitExceededError
from keras_integrity_hook.inspection import config, json_reading
from keras_integrity_hook.inspection.findings import Finding
from keras_integrity_hook.inspection.protobuf import Span, Wire
from keras_integrity_hook.inspection.rules import found
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content

_NODES, _PATH, _METADATA = 1, 3, 5


def inspect(content: Content, name: str) -> Iterator[Finding]:
    """The findings in the configurations of every node."""
    if content.size > LIMITS.inspected_member:
        yield found("too-large", name, "", f"{content.size} bytes")
        return
    wire = Wire(content.read(0, content.size))
    try:
        for number, begin, end in wire.fields((0, content.size)):
            if number == _NODES and end >= 0:
                yield from _of_node(wire, (begin, end), name)
    except (DamagedFileError, LimitExceededError) as error:
        yield found("malformed-config", name, "", error.cause)


def _of_node(wire: Wire, node: Span, name: str) -> Iterator[Finding]:
    """Of a field that is there twice the last counts; here all of them do."""
    fields = [
        (number, wire.data[begin:end]) for number, begin, end in wire.fields(node) if end >= 0
    ]
    path = next((text for number, text in fields if number == _PATH), b"").decode(
        "utf-8", "replace"
    )
    for number, text in fields:
        if number == _METADATA and text:
            where = f"{name}: {path}" if path else name
            yield from config.of(json_reading.parse(text), where)
