# SPDX-License-Identifier: Apache-2.0
"""Names and byte ranges of an HDF5 file's variables, read without libhdf5.

A damaged byte can make libhdf5 loop for ever, so nothing of ours hands it unchecked bytes. This
walks what h5py writes by default (superblock 0, symbol-table groups, version 1 object headers,
contiguous data: HDF5 File Format Specification v3, sections II.A to IV.A). Metadata may point
anywhere, so that a small file can describe a walk without end: whatever is read, stepped over or
kept is paid for from one budget. What the walk does not know or cannot pay for it leaves out of the
map: the map names things, it decides nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from keras_integrity_hook.containers import hdf5_types
from keras_integrity_hook.errors import IntegrityError, LimitExceededError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.sealing.statement import Region

_UNDEFINED = 0xFFFFFFFFFFFFFFFF
_MAX_NAME = 255
_SOFT_LINK = 2
_DATASPACE, _DATATYPE = 0x0001, 0x0003
_LAYOUT, _ATTRIBUTE, _CONTINUATION, _SYMBOL_TABLE = 0x0008, 0x000C, 0x0010, 0x0011


class Budget:
    """What the walks through all HDF5 files of one model may cost together.

    Attributes:
        metadata: bytes left to read.
        steps: objects, messages, table entries and tree nodes left to look at.
        names: characters left of the paths that are kept.
        regions: datasets left to name.
    """

    __slots__ = ("metadata", "names", "regions", "steps")

    def __init__(self) -> None:
        """A full budget."""
        self.metadata = LIMITS.hdf5_metadata
        self.steps = LIMITS.hdf5_steps
        self.names = LIMITS.hdf5_names
        self.regions = LIMITS.regions

    def spend(self, *, metadata: int = 0, steps: int = 0, names: int = 0) -> None:
        """Take from it. Raises LimitExceededError where there is not as much left."""
        self.metadata -= metadata
        self.steps -= steps
        self.names -= names
        if self.metadata < 0 or self.steps < 0 or self.names < 0:
            raise LimitExceededError("the HDF5 metadata is larger than any Keras writes")


class Node(NamedTuple):
    """A group or anything else that has a name in an HDF5 file.

    Attributes:
        path: names joined by slashes; empty for the root.
        is_group: whether others may lie below it.
        data: where the bytes of a contiguous dataset begin in the file, and how many they are.
        attributes: names of its attributes; bytes, since the file says what they are.
        shape: of a dataset; None where it is not understood.
        dtype: of a dataset, as NumPy names it; empty for what is no plain number.
    """

    path: str
    is_group: bool
    data: tuple[int, int] | None
    attributes: tuple[bytes, ...]
    shape: tuple[int, ...] | None = None
    dtype: str = ""


class _Header(NamedTuple):
    """What one object header says.

    Attributes:
        data: where the bytes of a dataset are.
        table: addresses of a group's B-tree and of its heap.
        attributes: names of attributes.
        shape, dtype: of a dataset.
    """

    data: tuple[int, int] | None = None
    table: tuple[int, int] | None = None
    attributes: tuple[bytes, ...] = ()
    shape: tuple[int, ...] | None = None
    dtype: str = ""


def nodes(content: Content, start: int, size: int, budget: Budget) -> Iterator[Node]:
    """What is in the HDF5 file at ``start`` (``size`` bytes) of ``content``, the root first.

    Nothing where the file has another version of the format than the one that is read here.

    Raises:
        LimitExceededError: the budget is spent, or metadata lies outside the file.
        struct.error: metadata is cut short.
    """
    return _Walker(content, start, size, budget).walk()


def datasets(content: Content, start: int, size: int, budget: Budget) -> tuple[Region, ...]:
    """The contiguous datasets of the HDF5 file at ``start`` (``size`` bytes) of ``content``.

    Offsets are those of ``content``. Returns what could be understood; never raises for the
    file's structure.
    """
    regions: list[Region] = []
    try:
        for node in nodes(content, start, size, budget):
            if node.data is None:
                continue
            if budget.regions <= 0:
                break
            budget.regions -= 1
            offset, length = node.data
            regions.append(Region(node.path, start + offset, length))
    except (struct.error, IntegrityError, ValueError):
        pass
    return tuple(regions)


class _Walker:
    def __init__(self, content: Content, start: int, size: int, budget: Budget) -> None:
        self._content, self._start, self._size = content, start, size
        self._budget = budget

    def walk(self) -> Iterator[Node]:
        super_block = self._read(0, 96)
        if super_block[8] != 0 or super_block[13:15] != b"\x08\x08":
            return
        (root,) = struct.unpack_from("<Q", super_block, 64)
        seen = {root}
        pending = [("", root, 0)]
        while pending:
            path, address, depth = pending.pop()
            found = self._header(address)
            table = found.table
            yield Node(
                path, table is not None, found.data, found.attributes, found.shape, found.dtype
            )
            if table is None or depth > LIMITS.hdf5_depth:
                continue
            for name, child in self._children(*table):
                if child not in seen:
                    seen.add(child)
                    below = f"{path}/{name}" if path else name
                    self._budget.spend(names=len(below))
                    pending.append((below, child, depth + 1))

    def _read(self, address: int, size: int) -> bytes:
        if address + size > self._size or size > LIMITS.hdf5_read:
            raise LimitExceededError("the HDF5 metadata lies outside the file")
        self._budget.spend(metadata=size)
        return self._content.read(self._start + address, size)

    def _header(self, address: int) -> _Header:
        prefix = self._read(address, 16)
        self._budget.spend(steps=1)
        data = table = shape = None
        dtype, attributes = "", []
        if prefix[0] != 1:
            return _Header()
        for kind, message in self._messages(address + 16, *struct.unpack_from("<I", prefix, 8)):
            if kind == _SYMBOL_TABLE:
                table = struct.unpack_from("<QQ", message)
            elif kind == _LAYOUT and message[:2] == b"\x03\x01":
                start, extent = struct.unpack_from("<QQ", message, 2)
                if start != _UNDEFINED and start + extent <= self._size:
                    data = start, extent
            elif kind == _ATTRIBUTE:
                attributes.append(_attribute_name(message))
            elif kind == _DATASPACE:
                shape = hdf5_types.shape(message)
            elif kind == _DATATYPE:
                dtype = hdf5_types.dtype(message)
        return _Header(data, table, tuple(attributes), shape, dtype)

    def _messages(self, address: int, length: int) -> Iterator[tuple[int, bytes]]:
        """Type and data of every message of an object header, in all its blocks."""
        blocks = [(address, length)]
        done: set[int] = set()
        while blocks:
            at, length = blocks.pop()
            if at in done:
                continue
            done.add(at)
            body = self._read(at, length)
            position = 0
            while position + 8 <= len(body):
                self._budget.spend(steps=1)
                kind, size = struct.unpack_from("<HH", body, position)
                message = body[position + 8 : position + 8 + size]
                position += 8 + size
                if kind == _CONTINUATION:
                    blocks.append(struct.unpack_from("<QQ", message))
                else:
                    yield kind, message

    def _children(self, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        head = self._read(heap, 32)
        size, _, segment = struct.unpack_from("<QQQ", head, 8)
        if head[:4] != b"HEAP":
            return
        names = self._read(segment, size)
        for node in self._leaves(tree):
            prefix = self._read(node, 8)
            if prefix[:4] != b"SNOD":
                continue
            (count,) = struct.unpack_from("<H", prefix, 6)
            entries = self._read(node + 8, count * 40)
            for name_at, address, cache in struct.iter_unpack("<QQI20x", entries):
                self._budget.spend(steps=1)
                if cache != _SOFT_LINK and address != _UNDEFINED:
                    # Not to the end of the heap: it is the file that says where a name ends.
                    end = names.find(0, name_at, name_at + _MAX_NAME + 1)
                    if end >= 0:
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
            self._budget.spend(steps=used)
            # Children and keys alternate: key 0, child 0, key 1, child 1, ...
            body = self._read(address + 24, used * 16 + 8)
            for position in range(8, 8 + 16 * used, 16):
                (child,) = struct.unpack_from("<Q", body, position)
                if child in seen:
                    continue
                seen.add(child)
                if level == 0:
                    yield child
                else:
                    pending.append(child)


def _attribute_name(message: bytes) -> bytes:
    """The name in an attribute message, which is padded with zeros: section IV.A.2.m."""
    version, _, length = struct.unpack_from("<BBH", message)
    begin = 9 if version == 3 else 8  # the third version says in one more byte how it is encoded
    return message[begin : begin + min(length, _MAX_NAME)].rstrip(b"\0")
