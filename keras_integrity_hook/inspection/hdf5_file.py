# SPDX-License-Identifier: Apache-2.0
"""What an HDF5 file says of its objects, read without libhdf5: shapes, types, storage, links.

A damaged byte can make libhdf5 hang or read outside its buffers, and reading a dataset allocates
what the file declares. So the headers are read here first (HDF5 File Format Specification v3,
sections II to IV), every step paid for from one budget. Versions 0 to 3 of the superblock, both
versions of object headers, symbol tables and links in headers are read. What h5py never writes for
Keras and is not read here (links in fractal heaps, shared messages) is named in
:attr:`Object.unread`: whoever judges must know what was not looked at. :mod:`containers.hdf5_map`
walks the same files for another question, what bytes are called, and may leave out what it likes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from keras_integrity_hook.containers import hdf5
from keras_integrity_hook.errors import DamagedFileError, LimitExceededError
from keras_integrity_hook.inspection.hdf5_messages import (
    ATTRIBUTE,
    ATTRIBUTE_INFO,
    CONTINUATION,
    DATASPACE,
    DATATYPE,
    EXTERNAL_FILES,
    FILTERS,
    LAYOUT,
    LINK,
    LINK_INFO,
    MAX_NAME,
    SYMBOL_TABLE,
    UNDEFINED,
    Attribute,
    Message,
    attribute_of,
    datatype_size,
    extent,
    has_dense,
    link_of,
    refers_elsewhere,
    whole,
)
from keras_integrity_hook.inspection.pages import Pages
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content

_MOST_BLOCKS = 10_000  # of one object header; h5py needs a few
_WANTED = frozenset(
    {
        *(DATASPACE, LINK_INFO, DATATYPE, LINK),
        *(EXTERNAL_FILES, LAYOUT, FILTERS, ATTRIBUTE),
        *(SYMBOL_TABLE, ATTRIBUTE_INFO),
    }
)
_I = struct.Struct("<I").unpack_from
_Q = struct.Struct("<Q").unpack_from
_QQ = struct.Struct("<QQ").unpack_from
_HHB = struct.Struct("<HHB").unpack_from
_SYMBOL = struct.Struct("<QQB23x")  # an entry of a symbol table: name, address, and its form

_LEAST = 48  # bytes of a superblock


class Object(NamedTuple):
    """A group, a dataset or a named type.

    Attributes:
        path: its name in the file, steps joined by slashes; empty for the root.
        messages: by kind the first of those of its header that say what is stored where.
        attributes: the messages that are attributes.
        external: names of links of this group to other files.
        unread: what of it is written in a form that is not read here; empty if nothing.
    """

    path: str
    messages: dict[int, bytes]
    attributes: list[bytes]
    external: list[str]
    unread: str


class Hdf5File:
    """The HDF5 file that ``content`` holds, behind a user block or not.

    Raises:
        DamagedFileError: it is none, or says what cannot be.
    """

    __slots__ = ("_at", "_pages", "_root", "_steps", "driver")

    def __init__(self, content: Content) -> None:
        """Read the superblock."""
        self._pages = Pages(content)
        # A message takes eight bytes at least, and an honest file has no two at one place.
        self._steps = min(LIMITS.inspected_steps, 1_000 + content.size // 8)
        self._pages.begin = _superblock(self._pages)
        self._at = self._pages.at
        self._root, self.driver = _root_and_driver(self._pages)

    @property
    def bytes_read(self) -> int:
        """How much of the content was read."""
        return self._pages.bytes_read

    @property
    def size(self) -> int:
        """Bytes from the superblock on."""
        return self._pages.size - self._pages.begin

    def objects(self) -> Iterator[Object]:
        """Every object, the root first, each once however many names it has.

        Raises:
            DamagedFileError: the structure refers to bytes that are not there.
            LimitExceededError: there is more of it than an inspection reads.
        """
        seen = {self._root}
        pending = [("", self._root)]
        while pending:
            path, address = pending.pop()
            found, children = self._object(path, address)
            yield found
            for name, child in children:
                if child not in seen:
                    seen.add(child)
                    pending.append((f"{path}/{name}" if path else name, child))

    def attribute(self, path: str, name: str) -> bytes | None:
        """The bytes of the string attribute ``name`` of the object ``path``; None if there is none.

        Raises:
            DamagedFileError, LimitExceededError: see :meth:`objects`; or it is no single string.
        """
        with whole():
            for found in self.objects():
                if found.path == path:
                    attributes = map(attribute_of, found.attributes)
                    named = (one for one in attributes if one.name == name.encode())
                    return next(map(self.string_of, named), None)
        return None

    def string_of(self, attribute: Attribute) -> bytes:
        """The value of an attribute that is one string; raises DamagedFileError otherwise."""
        kind, size = attribute.type[0] & 0x0F, datatype_size(attribute.type)
        if extent(attribute.space) != 1:
            raise DamagedFileError("an attribute that is one string has several values")
        if kind == 3:
            return attribute.data[:size].rstrip(b"\0")
        if kind == 9 and attribute.type[1] & 0x0F == 1:
            length, heap, index = struct.unpack_from("<IQI", attribute.data)
            text = self._heap_object(heap, index)
            if len(text) != length:
                raise DamagedFileError("a text of the file has two lengths")
            return text
        raise DamagedFileError("an attribute that has to be a string is none")

    # Objects

    def _object(self, path: str, address: int) -> tuple[Object, list[tuple[str, int]]]:
        messages: dict[int, bytes] = {}
        attributes: list[bytes] = []
        children: list[tuple[str, int]] = []
        external: list[str] = []
        unread = ""
        for kind, body, is_shared in self._messages(address):
            if kind == SYMBOL_TABLE:
                children += self._symbols(*_QQ(body))
            elif is_shared:
                unread = unread or "a message that is kept elsewhere"
            elif kind == ATTRIBUTE and refers_elsewhere(body):
                unread = unread or "an attribute whose type is kept elsewhere"
            elif kind == ATTRIBUTE:
                attributes.append(body)
            elif kind == LINK:
                name, target = link_of(body)
                if isinstance(target, int):
                    children.append((name, target))
                elif target == "external":
                    external.append(name)
            elif kind in (LINK_INFO, ATTRIBUTE_INFO):
                if has_dense(kind, body):
                    unread = unread or "names in a heap"
            else:
                messages.setdefault(kind, body)
        return Object(path, messages, attributes, external, unread), children

    def _messages(self, address: int) -> Iterable[Message]:
        """Those of the kinds in ``_WANTED`` of the object header at ``address``."""
        data, at = self._at(address, 16)
        if data[at] == 1:
            (length,) = _I(data, at + 8)
            return self._version_1(address + 16, length)
        if data[at : at + 4] == b"OHDR" and data[at + 4] == 2:
            return self._version_2(address, data[at + 5])
        raise DamagedFileError("an object header is malformed")

    def _version_1(self, address: int, length: int) -> list[Message]:
        found: list[Message] = []
        blocks = [(address, length)]
        for start, size in blocks:  # grows
            data, at = self._at(start, size)
            stop = at + size
            steps = 0
            while at + 8 <= stop:
                kind, length, flags = _HHB(data, at)
                steps += 1 + (length >> 9)
                begin, at = at + 8, at + 8 + length
                if kind in _WANTED:
                    found.append((kind, data[begin : at if at < stop else stop], flags & 2))
                elif kind == CONTINUATION:
                    self._continue(blocks, *_QQ(data[begin : min(at, stop)]))
            self._spend(steps)
        return found

    def _version_2(self, address: int, flags: int) -> Iterator[Message]:
        begin = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        length = int.from_bytes(self._bytes(begin, width), "little")
        order = 2 if flags & 0x04 else 0
        blocks = [(begin + width, length)]
        for number, (start, size) in enumerate(blocks):  # grows
            if number:  # a continuation has a signature before and a checksum behind
                if self._bytes(start, 4) != b"OCHK":
                    raise DamagedFileError("an object header is malformed")
                start, size = start + 4, size - 8  # noqa: PLW2901
            data, at = self._at(start, size)
            stop = at + size
            while at + 4 + order <= stop:
                kind, length, bits = data[at], data[at + 1] | data[at + 2] << 8, data[at + 3]
                self._spend(1 + (length >> 9))
                body = data[at + 4 + order : min(at + 4 + order + length, stop)]
                at += 4 + order + length
                if kind == CONTINUATION:
                    self._continue(blocks, *_QQ(body))
                elif kind in _WANTED:
                    yield kind, body, bits & 2

    def _continue(self, blocks: list[tuple[int, int]], address: int, size: int) -> None:
        if len(blocks) > _MOST_BLOCKS:
            raise DamagedFileError("an object header continues in itself")
        blocks.append((address, size))

    # Groups

    def _symbols(self, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        data, at = self._at(heap, 32)
        if data[at : at + 4] != b"HEAP":
            raise DamagedFileError("the names of a group are malformed")
        size, _, segment = struct.unpack_from("<QQQ", data, at + 8)
        names, base = self._at(segment, size)
        for node in self.leaves(tree, 0, 8):
            data, at = self._at(node, 8)
            if data[at : at + 4] != b"SNOD":
                raise DamagedFileError("the names of a group are malformed")
            count = data[at + 6] | data[at + 7] << 8
            self._spend(count)
            entries = self._bytes(node + 8, count * _SYMBOL.size)
            for name_at, address, form in _SYMBOL.iter_unpack(entries):
                if form == 2:
                    continue  # a soft link, which stays in this file
                if name_at >= size:
                    raise DamagedFileError("the names of a group are malformed")
                end = names.find(0, base + name_at, base + min(size, name_at + MAX_NAME))
                if end < 0:
                    raise DamagedFileError("a name in the file has no end")
                yield names[base + name_at : end].decode("utf-8", "replace"), address

    def leaves(self, tree: int, kind: int, key: int) -> Iterator[int]:
        """Addresses that the leaves of a version 1 B-tree hold, or of chunks the bytes of each.

        Args:
            kind: of its nodes: 0 for groups, 1 for chunks.
            key: length of a key in bytes; the first four of a chunk's are its length in bytes.
        """
        pending, seen = [tree], {tree}
        while pending:
            address = pending.pop()
            data, at = self._at(address, 24)
            if data[at : at + 4] != b"TREE" or data[at + 4] != kind:
                raise DamagedFileError("an index in the file is malformed")
            level, used = data[at + 5], data[at + 6] | data[at + 7] << 8
            self._spend(used)
            data, at = self._at(address + 24, used * (8 + key))
            for position in range(at, at + used * (8 + key), 8 + key):
                (child,) = _Q(data, position + key)
                if level == 0:
                    yield _I(data, position)[0] if kind else child
                elif child not in seen:
                    seen.add(child)
                    pending.append(child)

    def _heap_object(self, address: int, wanted: int) -> bytes:
        """The one object ``wanted`` of the global heap at ``address`` (section III.E).

        Of two with one number libhdf5 takes the last. Number 0 is the free space: nothing stands
        behind it, and its length counts its own header, as that of no other does.
        """
        if self._bytes(address, 4) != b"GCOL":
            raise DamagedFileError("a text of the file is not where it says")
        (size,) = _Q(self._bytes(address + 8, 8))
        at, stop = address + 16, address + size
        places = []
        while at + 16 <= stop:
            self._spend(1)
            index, _, _, length = struct.unpack("<HHIQ", self._bytes(at, 16))
            if index == wanted:
                places.append((at + 16, length))
            at += 16 + (length + 7 & ~7) if index else length
            if at > stop or (index == 0 and at != stop):
                raise DamagedFileError("the texts of the file are malformed")
        if len(places) != 1 or not wanted:
            raise DamagedFileError("a text of the file is not where it says")
        return self._bytes(*places[0])

    def _bytes(self, address: int, size: int) -> bytes:
        return self._pages.read(address, size)

    def _spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise LimitExceededError("the file has more structure than an inspection walks")


def has_superblock(content: Content) -> bool:
    """Whether libhdf5 finds one in ``content``, whatever else is wrong with it."""
    return _signature(content, len(hdf5.SIGNATURE)) is not None


def _superblock(pages: Pages) -> int:
    at = _signature(pages, _LEAST)
    if at is None:
        raise DamagedFileError("this is no HDF5 file")
    return at


def _signature(content: Content | Pages, least: int) -> int | None:
    """Where the signature stands, with ``least`` bytes from there on: it is looked for, as libhdf5
    does, at 0, 512, 1024 and so on (section II.A)."""
    at = 0
    while at + least <= content.size:
        if content.read(at, len(hdf5.SIGNATURE)) == hdf5.SIGNATURE:
            return at
        at = at * 2 or hdf5.MIN_USER_BLOCK
    return None


def _root_and_driver(pages: Pages) -> tuple[int, bool]:
    """The address of the root's header, and whether the file asks for a driver of its own."""
    version = pages.read(8, 1)[0]
    widths = pages.read(13 if version < 2 else 9, 2)
    if version > 3 or widths != b"\x08\x08":
        raise DamagedFileError("the file is of a version of HDF5 that is not read here")
    if version >= 2:
        return _Q(pages.read(36, 8))[0], False
    more = 4 if version == 1 else 0
    (driver,) = _Q(pages.read(48 + more, 8))
    return _Q(pages.read(64 + more, 8))[0], driver != UNDEFINED
