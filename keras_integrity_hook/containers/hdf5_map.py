# SPDX-License-Identifier: Apache-2.0
"""Names and byte ranges of an HDF5 file's variables, read without libhdf5.

A damaged byte can make libhdf5 loop for ever, so nothing of ours hands it unchecked bytes. This
walks what h5py writes by default (superblock 0, symbol-table groups, version 1 object headers,
contiguous data: HDF5 File Format Specification v3, sections II.A to IV.A), every step bounded. What
it does not know it leaves out of the map: the map names things, it decides nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from keras_integrity_hook.errors import IntegrityError, LimitExceededError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.sealing.statement import Region

_UNDEFINED = 0xFFFFFFFFFFFFFFFF
_MAX_NAME = 255
_LAYOUT, _CONTINUATION, _SYMBOL_TABLE = 0x0008, 0x0010, 0x0011


def datasets(content: Content, start: int, size: int) -> tuple[Region, ...]:
    """The contiguous datasets of the HDF5 file at ``start`` (``size`` bytes) of ``content``.

    Offsets are those of ``content``. Returns what could be understood; never raises for the
    file's structure.
    """
    walker = _Walker(content, start, size)
    found: list[Region] = []
    try:
        for name, offset, length in walker.walk():
            found.append(Region(name, start + offset, length))
    except (struct.error, IntegrityError, ValueError):
        pass
    return tuple(found)


class _Walker:
    def __init__(self, content: Content, start: int, size: int) -> None:
        self._content, self._start, self._size = content, start, size
        self._budget = LIMITS.hdf5_metadata
        self._objects = 0

    def walk(self) -> Iterator[tuple[str, int, int]]:
        super_block = self._read(0, 96)
        if super_block[8] != 0 or super_block[13:15] != b"\x08\x08":
            return
        (root,) = struct.unpack_from("<Q", super_block, 64)
        seen = {root}
        pending = [("", root, 0)]
        while pending:
            path, address, depth = pending.pop()
            data, table = self._header(address)
            if data is not None:
                yield path, *data
            if table is None or depth > LIMITS.hdf5_depth:
                continue
            for name, child in self._children(*table):
                if child not in seen:
                    seen.add(child)
                    pending.append((f"{path}/{name}" if path else name, child, depth + 1))

    def _read(self, address: int, size: int) -> bytes:
        self._budget -= size
        if self._budget < 0 or address + size > self._size:
            raise LimitExceededError("the HDF5 metadata is larger than any Keras writes")
        return self._content.read(self._start + address, size)

    def _header(self, address: int) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """Data range of a dataset, and B-tree and heap addresses of a group, at one header."""
        self._objects += 1
        prefix = self._read(address, 16)
        if prefix[0] != 1 or self._objects > LIMITS.hdf5_objects:
            return None, None
        (length,) = struct.unpack_from("<I", prefix, 8)
        blocks = [(address + 16, length)]
        data = table = None
        done: set[int] = set()
        while blocks:
            at, length = blocks.pop()
            if at in done:
                continue
            done.add(at)
            body = self._read(at, length)
            position = 0
            while position + 8 <= len(body):
                kind, size = struct.unpack_from("<HH", body, position)
                message = body[position + 8 : position + 8 + size]
                position += 8 + size
                if kind == _CONTINUATION:
                    blocks.append(struct.unpack_from("<QQ", message))
                elif kind == _SYMBOL_TABLE:
                    table = struct.unpack_from("<QQ", message)
                elif kind == _LAYOUT and message[:2] == b"\x03\x01":
                    where, extent = struct.unpack_from("<QQ", message, 2)
                    if where != _UNDEFINED and where + extent <= self._size:
                        data = where, extent
        return data, table

    def _children(self, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        head = self._read(heap, 32)
        size, _, segment = struct.unpack_from("<QQQ", head, 8)
        if head[:4] != b"HEAP" or size > 64 * 1024 * 1024:
            return
        names = self._read(segment, size)
        for node in self._leaves(tree):
            prefix = self._read(node, 8)
            if prefix[:4] != b"SNOD":
                continue
            (count,) = struct.unpack_from("<H", prefix, 6)
            entries = self._read(node + 8, count * 40)
            for index in range(count):
                name_at, address, cache = struct.unpack_from("<QQI", entries, index * 40)
                if cache != 2 and address != _UNDEFINED:  # 2: a symbolic link
                    end = names.index(0, name_at)
                    if end - name_at <= _MAX_NAME:
                        yield names[name_at:end].decode("utf-8", "replace"), address

    def _leaves(self, tree: int) -> Iterator[int]:
        pending = [tree]
        seen = set(pending)
        while pending:
            address = pending.pop()
            head = self._read(address, 24)
            if head[:5] != b"TREE\x00":
                continue
            level = head[5]
            (used,) = struct.unpack_from("<H", head, 6)
            # Children and keys alternate: key 0, child 0, key 1, child 1, ...
            body = self._read(address + 24, used * 16 + 8)
            children = [struct.unpack_from("<Q", body, 8 + 16 * i)[0] for i in range(used)]
            if level == 0:
                yield from children
                continue
            for child in children:
                if child not in seen:
                    seen.add(child)
                    pending.append(child)
