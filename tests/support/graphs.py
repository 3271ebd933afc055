# SPDX-License-Identifier: Apache-2.0
"""SavedModels and checkpoints by hand: protocol buffers that say what TensorFlow would never write.

Field numbers are those of ``saved_model.proto``, ``meta_graph.proto``, ``graph.proto``,
``function.proto``, ``attr_value.proto`` and ``tensor_bundle.proto``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

Value = int | bytes | str
STRING, FLOAT = 7, 1
"""Types of tensors (types.proto)."""


def varint(value: int) -> bytes:
    """A number of seven bits a byte."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def message(fields: Mapping[int, Value | Iterable[Value]]) -> bytes:
    """A message of ``fields`` by number; those with several values are repeated."""
    out = b""
    for number, values in fields.items():
        for value in [values] if isinstance(values, int | bytes | str) else values:
            if isinstance(value, int):
                out += varint(number << 3) + varint(value)
            else:
                data = value.encode() if isinstance(value, str) else value
                out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def node(op: str, name: str, *inputs: str, **attributes: bytes) -> bytes:
    """A ``NodeDef``; attributes are ``AttrValue`` messages."""
    attrs = [message({1: key, 2: value}) for key, value in attributes.items()]
    return message({1: name, 2: op, 3: list(inputs), 5: attrs})


def text_of(value: str) -> bytes:
    """An attribute that is a text."""
    return message({2: value})


def function_of(name: str) -> bytes:
    """An attribute that is a function."""
    return message({10: message({1: name})})


def constant(name: str, text: str) -> bytes:
    """A node that is a constant text."""
    return node("Const", name, value=message({8: message({1: STRING, 2: b"", 8: text})}))


def splat(name: str, *shape: int) -> bytes:
    """A node that is one number, repeated."""
    dims = [message({1: size}) for size in shape]
    return node(
        "Const", name, value=message({8: message({1: FLOAT, 2: message({2: dims}), 4: b""})})
    )


def function(name: str, arguments: Iterable[str], *nodes: bytes) -> bytes:
    """A ``FunctionDef``."""
    signature = message({1: name, 2: [message({1: argument}) for argument in arguments]})
    return message({1: signature, 3: nodes})


def saved_model(
    *nodes: bytes,
    functions: Iterable[bytes] = (),
    saver: str = "",
    assets: Mapping[str, str] | None = None,
    fetched: str = "",
    collections: Mapping[str, str] | None = None,
) -> bytes:
    """A ``SavedModel`` of one graph; what is behind another is one of two.

    Args:
        saver: the node that paths of checkpoints are fed to.
        assets: names of files by the nodes that their paths are fed to.
        fetched: the node that a signature asks for.
        collections: nodes by the name of a collection that they are in.
    """
    graph = message({1: [node("Placeholder", "x"), *nodes], 2: message({1: functions})})
    fields: dict[int, Value | Iterable[Value]] = {1: message({4: "serve"}), 2: graph}
    if saver:
        fields[3] = message({1: f"{saver}:0"})
    listed = (assets or {}).items()
    fields[6] = [message({1: message({1: f"{at}:0"}), 2: name}) for at, name in listed]
    if fetched:
        output = message({1: "y", 2: message({1: f"{fetched}:0"})})
        fields[5] = message({1: "serving_default", 2: message({2: output})})
    kept = (collections or {}).items()
    fields[4] = [message({1: at, 2: message({1: message({1: name})})}) for at, name in kept]
    return message({1: 1, 2: message(fields)})


def _block(entries: Mapping[bytes, bytes]) -> bytes:
    """A block of a table, without shared keys and with one restart."""
    out = b"".join(
        varint(0) + varint(len(key)) + varint(len(value)) + key + value
        for key, value in entries.items()
    )
    return out + struct.pack("<II", 0, 1)


def checkpoint_index(entries: Mapping[str, bytes]) -> bytes:
    """A table of ``entries`` behind a header, as TensorFlow writes the index of a checkpoint."""
    data = _block({b"": message({1: 1}), **{key.encode(): one for key, one in entries.items()}})
    keys = _block({b"z": varint(0) + varint(len(data))})
    at = len(data) + 5
    footer = (varint(0) + varint(0) + varint(at) + varint(len(keys))).ljust(40, b"\0")
    return data + bytes(5) + keys + bytes(5) + footer + struct.pack("<Q", 0xDB4775248B80FB57)


def checkpoint_entry(*shape: int, kind: int = FLOAT, size: int, offset: int = 0) -> bytes:
    """A ``BundleEntryProto``: one tensor of ``size`` bytes at ``offset`` of the first file."""
    dims = message({2: [message({1: length}) for length in shape]})
    return message({1: kind, 2: dims, 4: offset, 5: size})
