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
from collections.abc import Iterator
from typing import NamedTuple

from keras_integrity_hook.containers import hdf5
from keras_integrity_hook.errors import DamagedFileError, LimitExceededError
from keras_integrity_hook.inspection.pages import Pages
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content

UNDEFINED = 0xFFFFFFFFFFFFFFFF
_MAX_NAME = 4096
_MOST_BLOCKS = 10_000  # of one object header; h5py needs a few
_SOFT, _HARD, _EXTERNAL = 1, 0, 64
_DATASPACE, _LINK_INFO, _DATATYPE, _LINK = 0x01, 0x02, 0x03, 0x06
_EXTERNAL_FILES, _LAYOUT, _FILTERS, _ATTRIBUTE = 0x07, 0x08, 0x0B, 0x0C
_CONTINUATION, _SYMBOL_TABLE, _ATTRIBUTE_INFO = 0x10, 0x11, 0x15
_WANTED = frozenset(
    {_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _EXTERNAL_FILES, _LAYOUT, _FILTERS, _ATTRIBUTE}
) | {_SYMBOL_TABLE, _ATTRIBUTE_INFO}
_Q = struct.Struct("<Q").unpack_from
_QQ = struct.Struct("<QQ").unpack_from
_HHB = struct.Struct("<HHB").unpack_from
_HI = struct.Struct("<HI").unpack_from


class Message(NamedTuple):
    """One message of an object header; ``shared`` if its data is only a reference."""

    kind: int
    data: bytes
    shared: bool


class Object(NamedTuple):
    """A group, a dataset or a named type.

    Attributes:
        path: its name in the file, steps joined by slashes; empty for the root.
        messages: those of its header that say what is stored where.
        external: names of links of this group to other files.
        unread: what of it is written in a form that is not read here; empty if nothing.
    """

    path: str
    messages: list[Message]
    external: list[str]
    unread: str

    def message(self, kind: int) -> Message | None:
        """The first message of this kind."""
        return next((one for one in self.messages if one.kind == kind), None)


class Hdf5File:
    """The HDF5 file that ``content`` holds, behind a user block or not.

    Raises:
        DamagedFileError: it is none, or says what cannot be.
    """

    __slots__ = ("_base", "_pages", "_root", "_steps", "driver")

    def __init__(self, content: Content) -> None:
        """Read the superblock."""
        self._pages = Pages(content)
        # A message takes eight bytes at least, and an honest file has no two at one place.
        self._steps = min(LIMITS.inspected_steps, 1_000 + content.size // 8)
        self._base = _superblock(self._pages)
        self._root, self.driver = _root_and_driver(self._pages, self._base)

    @property
    def bytes_read(self) -> int:
        """How much of the content was read."""
        return self._pages.bytes_read

    @property
    def size(self) -> int:
        """Bytes from the superblock on."""
        return self._pages.size - self._base

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
        for found in self.objects():
            if found.path == path:
                wanted = name.encode()
                named = (m for m in found.messages if m.kind == _ATTRIBUTE)
                return next(
                    (self.string_of(one) for m in named if (one := attribute_of(m)).name == wanted),
                    None,
                )
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
            return self._heap_object(heap, index)[:length]
        raise DamagedFileError("an attribute that has to be a string is none")

    # Objects

    def _object(self, path: str, address: int) -> tuple[Object, list[tuple[str, int]]]:
        messages: list[Message] = []
        children: list[tuple[str, int]] = []
        external: list[str] = []
        unread = ""
        for message in self._messages(address):
            kind = message.kind
            if kind == _SYMBOL_TABLE:
                children += self._symbols(*_QQ(message.data))
            elif message.shared and kind in _WANTED:
                unread = unread or "a message that is kept elsewhere"
            elif kind == _LINK:
                name, target = _link(message.data)
                if isinstance(target, int):
                    children.append((name, target))
                elif target == "external":
                    external.append(name)
            elif kind in (_LINK_INFO, _ATTRIBUTE_INFO):
                if _has_dense(message):
                    unread = unread or "names in a heap"
            elif kind in _WANTED:
                messages.append(message)
        return Object(path, messages, external, unread), children

    def _messages(self, address: int) -> Iterator[Message]:
        data, at = self._at(address, 16)
        first = data[at]
        if first == 1:
            (length,) = struct.unpack_from("<I", data, at + 8)
            return self._version_1(address + 16, length)
        if data[at : at + 4] == b"OHDR" and data[at + 4] == 2:
            return self._version_2(address, data[at + 5])
        raise DamagedFileError("an object header is malformed")

    def _version_1(self, address: int, length: int) -> Iterator[Message]:
        blocks = [(address, length)]
        for start, size in blocks:  # grows
            data, at = self._at(start, size)
            stop = at + size
            while at + 8 <= stop:
                kind, length, flags = _HHB(data, at)
                self._spend(1 + (length >> 9))
                begin, at = at + 8, at + 8 + length
                if kind in _WANTED or kind == _CONTINUATION:
                    body = data[begin : min(at, stop)]
                    if kind == _CONTINUATION:
                        self._continue(blocks, *_QQ(body))
                    else:
                        yield Message(kind, body, bool(flags & 2))

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
                if kind == _CONTINUATION:
                    self._continue(blocks, *_QQ(body))
                elif kind in _WANTED:
                    yield Message(kind, body, bool(bits & 2))

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
            (count,) = struct.unpack_from("<H", data, at + 6)
            data, at = self._at(node + 8, count * 40)
            for position in range(at, at + count * 40, 40):
                self._spend(1)
                name_at, address = _QQ(data, position)
                if data[position + 16] == 2:
                    continue  # a soft link, which stays in this file
                if name_at >= size:
                    raise DamagedFileError("the names of a group are malformed")
                end = names.find(0, base + name_at, base + min(size, name_at + _MAX_NAME))
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
                    yield struct.unpack_from("<I", data, position)[0] if kind else child
                elif child not in seen:
                    seen.add(child)
                    pending.append(child)

    def _heap_object(self, address: int, wanted: int) -> bytes:
        """Object ``wanted`` of the global heap at ``address`` (section III.E)."""
        if self._bytes(address, 4) != b"GCOL":
            raise DamagedFileError("a text of the file is not where it says")
        (size,) = _Q(self._bytes(address + 8, 8))
        at, stop = address + 16, address + size
        while at + 16 <= stop:
            self._spend(1)
            index, _, _, length = struct.unpack("<HHIQ", self._bytes(at, 16))
            if index == wanted:
                return self._bytes(at + 16, length)
            at += 16 + (length + 7 & ~7)
        raise DamagedFileError("a text of the file is not where it says")

    def _at(self, address: int, size: int) -> tuple[bytes, int]:
        return self._pages.at(self._base + address, size)

    def _bytes(self, address: int, size: int) -> bytes:
        return self._pages.read(self._base + address, size)

    def _spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise LimitExceededError("the file has more structure than an inspection walks")


class Attribute(NamedTuple):
    """An attribute: its name, and its type, dataspace and data as the file has them."""

    name: bytes
    type: bytes
    space: bytes
    data: bytes


def attribute_of(message: Message) -> Attribute:
    """Take an attribute message apart: section IV.A.2.m. Raises DamagedFileError."""
    body = message.data
    if len(body) < 9 or body[0] not in (1, 2, 3):
        raise DamagedFileError("an attribute is malformed")
    lengths = struct.unpack_from("<HHH", body, 2)
    at = 9 if body[0] == 3 else 8  # the third version says in one more byte how it is encoded
    fields = []
    for length in lengths:
        fields.append(body[at : at + length])
        at += length + 7 & ~7 if body[0] == 1 else length
    name, kind, space = fields
    if len(kind) < 8 or len(space) < 4:
        raise DamagedFileError("an attribute is malformed")
    return Attribute(name.rstrip(b"\0"), kind, space, body[at:])


def shape(space: bytes) -> tuple[int, ...]:
    """The lengths that a dataspace states: section IV.A.2.b. Raises DamagedFileError."""
    version, rank = space[:2] if len(space) >= 4 else (0, 0)
    begin = {1: 8, 2: 4}.get(version)
    if begin is None or rank > LIMITS.hdf5_rank or len(space) < begin + 8 * rank:
        raise DamagedFileError("the shape of an array is malformed")
    return struct.unpack_from(f"<{rank}Q", space, begin)


def extent(space: bytes) -> int:
    """How many elements a dataspace states."""
    if space[0] == 2 and space[3] == 2:
        return 0  # a null dataspace
    count = 1
    for length in shape(space):
        count *= length
    return count


def datatype_size(kind: bytes) -> int:
    """Bytes of one element of a datatype: section IV.A.2.d. Raises DamagedFileError."""
    if len(kind) < 8:
        raise DamagedFileError("a type is malformed")
    return int(struct.unpack_from("<I", kind, 4)[0])


def _superblock(pages: Pages) -> int:
    """Where the superblock is: at 0, 512, 1024, ... as libhdf5 looks for it."""
    at = 0
    while at + 48 <= pages.size:
        if pages.read(at, 8) == hdf5.SIGNATURE:
            return at
        at = at * 2 or hdf5.MIN_USER_BLOCK
    raise DamagedFileError("this is no HDF5 file")


def _root_and_driver(pages: Pages, base: int) -> tuple[int, bool]:
    """The address of the root's header, and whether the file asks for a driver of its own."""
    version = pages.read(base + 8, 1)[0]
    widths = pages.read(base + (13 if version < 2 else 9), 2)
    if version > 3 or widths != b"\x08\x08":
        raise DamagedFileError("the file is of a version of HDF5 that is not read here")
    if version >= 2:
        return _Q(pages.read(base + 36, 8))[0], False
    more = 4 if version == 1 else 0
    (driver,) = _Q(pages.read(base + 48 + more, 8))
    return _Q(pages.read(base + 64 + more, 8))[0], driver != UNDEFINED


def _has_dense(message: Message) -> bool:
    """Whether a link info or attribute info message says that a heap holds some: IV.A.2.c, .v."""
    flags = message.data[1] if len(message.data) > 1 else 0
    wide = 8 if message.kind == _LINK_INFO else 2
    at = 2 + (wide if flags & 1 else 0)
    return bool(_Q(message.data.ljust(at + 8, b"\xff"), at)[0] != UNDEFINED)


def _link(body: bytes) -> tuple[str, int | str]:
    """Name and target of a link message (IV.A.2.g): an address, ``"soft"`` or ``"external"``."""
    if len(body) < 3 or body[0] != 1:
        raise DamagedFileError("a link is malformed")
    flags, at = body[1], 2
    kind = body[at] if flags & 0x08 else _HARD
    at += (1 if flags & 0x08 else 0) + (8 if flags & 0x04 else 0) + (1 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    length = int.from_bytes(body[at : at + width], "little")
    at += width
    name = body[at : at + min(length, _MAX_NAME)].decode("utf-8", "replace")
    if kind == _HARD:
        return name, _Q(body.ljust(at + length + 8, b"\0"), at + length)[0]
    return name, "soft" if kind == _SOFT else "external"
