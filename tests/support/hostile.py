# SPDX-License-Identifier: Apache-2.0
"""Small files that describe long work, one for each loop over what a file says."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import h5py
import numpy as np

from keras_integrity_hook.containers import hdf5
from keras_integrity_hook.sealing import block, envelope, statement, tree
from keras_integrity_hook.sealing.envelope import Envelope
from keras_integrity_hook.sealing.statement import Member, Region, Statement
from tests.support.models import archive_bytes, hdf5_bytes

_SUPER_BLOCK = 96


def seal_of(content: bytes, table: bytes | None = None, **stated: Any) -> bytes:
    """The block of an unsigned seal over ``content`` of an HDF5 file, with what is ``stated``."""
    size = len(content)
    chunk = tree.chunk_size_for(size)
    if table is None:
        table = bytes(32 * tree.chunk_count(size, chunk))
    root = tree.root(table, size=size, chunk_size=chunk, algorithm="sha256")
    values: dict[str, Any] = {"container": "hdf5", "size": size, "chunk_size": chunk} | stated
    said = Statement("m.h5", root, algorithm="sha256", created="2026-01-01T00:00:00Z", **values)
    return block_of(statement.encode(said), table)


def block_of(payload: bytes, table: bytes) -> bytes:
    """A block around any payload, as large as an HDF5 user block."""
    wrapped = envelope.encode(Envelope(payload))
    bare = block.OVERHEAD + len(wrapped) + len(table)
    return block.encode(wrapped, table, hdf5.user_block_for(bare) - bare)


def regions_without_end() -> bytes:
    """39,000 names for all of the content, each with a CRC that does not match."""
    content = hdf5_bytes(rows=100_000)
    regions = tuple(Region(f"r{n}", 0, len(content), 1) for n in range(39_000))
    return seal_of(content, regions=regions) + content


def overlapping_regions() -> bytes:
    """As many names, each just smaller than a CRC may cover, and each over other bytes."""
    content = hdf5_bytes(rows=100_000)
    size = min(2 << 20, len(content)) - 40_000
    regions = tuple(Region(f"r{n}", n, size, 1) for n in range(39_000))
    return seal_of(content, regions=regions) + content


def files_in_files() -> bytes:
    """A map in which every name could hold all others."""
    content = hdf5_bytes(rows=100_000)
    regions = tuple(Region(f"{n}.h5", 0, 1, 1) for n in range(39_000))
    return seal_of(content, regions=regions) + content


def name_of_a_million_steps() -> bytes:
    """A set whose one file lies a million directories deep."""
    content = hdf5_bytes()
    files = (Member("a/" * 1_000_000 + "a", len(content)),)
    return seal_of(content, container="orbax", files=files) + content


def crowded_json() -> bytes:
    """A statement of lists upon lists."""
    return block_of(b"[" + b"[]," * 700_000 + b"[]]", b"") + hdf5_bytes()


def objects_without_end() -> bytes:
    """A statement of objects, which take more memory than anything else of JSON's."""
    return block_of(b"[" + b'{"a":0},' * 300_000 + b"0]", b"") + hdf5_bytes()


def long_text() -> bytes:
    """The longest payload there may be, of text."""
    return block_of(b'"' + b"a" * (8 << 20) + b'"', b"") + hdf5_bytes()


def heap_without_an_end() -> bytes:
    """A heap of names without a zero byte, in which each of 65,535 entries looks for one."""
    heap = b"A" * ((2 << 20) - 1) + b"\0"
    return _hdf5(heap, entries=[(0, 1000 + n) for n in range(65_535)], leaves=4)


def table_read_again_and_again() -> bytes:
    """A B-tree whose 65,535 leaves are one table of 65,535 entries."""
    return _hdf5(b"a\0", entries=[(0, 96)] * 65_535, leaves=65_535)


def header_of_messages() -> bytes:
    """Object headers that lie within one another, a byte apart, each of a million messages."""
    entries = [(0, 8_000_000 + n) for n in range(60_000)]
    data = bytearray(_hdf5(b"a\0", entries=entries, leaves=1).ljust(8_400_000, b"\0"))
    data[8_000_000:8_100_000] = b"\x01" * 100_000
    return bytes(data)


def long_paths() -> bytes:
    """Groups nested sixty deep, with the longest names there may be, and very many at the end."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file
        for _ in range(60):
            group = group.create_group("n" * 250)
        for number in range(4_000):
            group.create_group(f"{number:0250}")
    return buffer.getvalue()


def maze_of_links() -> bytes:
    """A thousand groups with one list of links between them: three million ways to go."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        hub = file.create_group("hub")
        groups = [hub.create_group(f"g{n:06}") for n in range(1_000)]
        for number in range(2_000):
            hub[f"l{number:06}"] = groups[0]
        headers = [h5py.h5o.get_info(group.id).addr for group in (hub, *groups)]
    data = bytearray(buffer.getvalue())
    first, *rest = (_symbol_table(data, at) for at in headers)
    for at in rest:
        data[at : at + 16] = data[first : first + 16]
    return bytes(data)


def shared_data() -> bytes:
    """Thousands of variables that all are the same bytes, each to be named with its CRC."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for number in range(5_000):
            file[f"{number}"] = np.zeros(1, "float32")
        file["all"] = np.zeros(1 << 18, "float32")
        layouts = [file[f"{n}"].id.get_offset() for n in range(5_000)]
        target = file["all"].id.get_offset()
    data = buffer.getvalue()
    for at in layouts:
        data = data.replace(struct.pack("<QQ", at, 4), struct.pack("<QQ", target, 1 << 20), 1)
    return data


def members_without_end() -> bytes:
    """As many members as an archive may have, each called a weights file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}.h5", b"")
    return buffer.getvalue()


def weights_without_end() -> bytes:
    """An archive of weights files, each with a walk of its own to go."""
    buffer = io.BytesIO()
    maze = _hdf5(b"a\0", entries=[(0, 96)] * 5_000, leaves=1)
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(50):
            archive.writestr(f"{number}.h5", maze)
    return buffer.getvalue()


def deep_member() -> bytes:
    """A member whose name is a path of 30,000 steps."""
    buffer = io.BytesIO(archive_bytes())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("a/" * 30_000 + "a", b"")
    return buffer.getvalue()


def crowded_index() -> bytes:
    """An index of sharded weights with a million names."""
    names = ",".join('"a"' for _ in range(1_000_000))
    return f'{{"weight_map":{{"a":[{names}]}}}}'.encode()


def crowded_bundle() -> bytes:
    """A bundle of objects upon objects."""
    return b'{"a":[' + b'{"a":0},' * 300_000 + b"0]}"


def deep_toml() -> bytes:
    """Tables within tables, of which each line makes some hundred."""
    return b"".join(b"[" + b".".join([b"a"] * 200) + b".x%d]\n" % n for n in range(2_000))


FILES = {
    "regions without end.h5": regions_without_end,
    "overlapping regions.h5": overlapping_regions,
    "files in files.h5": files_in_files,
    "name of a million steps.h5": name_of_a_million_steps,
    "crowded JSON.h5": crowded_json,
    "objects without end.h5": objects_without_end,
    "long text.h5": long_text,
    "heap without an end.h5": heap_without_an_end,
    "table read again and again.h5": table_read_again_and_again,
    "header of messages.h5": header_of_messages,
    "long paths.h5": long_paths,
    "maze of links.h5": maze_of_links,
    "shared data.h5": shared_data,
    "members without end.keras": members_without_end,
    "weights without end.keras": weights_without_end,
    "deep member.keras": deep_member,
}


def _hdf5(heap: bytes, *, entries: list[tuple[int, int]], leaves: int) -> bytes:
    """A file whose root group has these names and ``entries`` (offset in the heap, address)."""
    tree_at = 256
    heap_at = tree_at + 32 + 16 * leaves
    names_at = heap_at + 32
    table_at = names_at + len(heap)
    message = struct.pack("<HHI", 0x11, 16, 0) + struct.pack("<QQ", tree_at, heap_at)
    header = b"\x01\0\x01\0" + struct.pack("<II4x", 1, len(message)) + message
    root = hdf5.SIGNATURE + b"\0" * 5 + b"\x08\x08" + bytes(49) + struct.pack("<Q", _SUPER_BLOCK)
    tree_ = (
        b"TREE\0\0"
        + struct.pack("<H", leaves)
        + bytes(24)
        + struct.pack("<QQ", table_at, 0) * leaves
    )
    names = b"HEAP\0\0\0\0" + struct.pack("<QQQ", len(heap), 0, names_at) + heap
    table = b"SNOD\x01\0" + struct.pack("<H", len(entries))
    table += b"".join(struct.pack("<QQ24x", *entry) for entry in entries)
    head = (root.ljust(_SUPER_BLOCK, b"\0") + header).ljust(tree_at, b"\0")
    return (head + tree_).ljust(heap_at, b"\0") + names + table


def _symbol_table(data: bytearray, header: int) -> int:
    """Where the addresses of a group's list of links stand, in its object header."""
    at = header + 16
    while True:
        kind, size = struct.unpack_from("<HH", data, at)
        if kind == 0x11:
            return at + 8
        at += 8 + size
