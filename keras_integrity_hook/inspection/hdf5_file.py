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
from functools import lru_cache
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
_I = struct.Struct("<I").unpack_from
_Q = struct.Struct("<Q").unpack_from
_QQ = struct.Struct("<QQ").unpack_from
_HHB = struct.Struct("<HHB").unpack_from
_SYMBOL = struct.Struct("<QQB23x")  # an entry of a symbol table: name, address, and its form

_Message = tuple[int, bytes, int]
"""One message of an object header: its kind, its data, and not 0 if that is only a reference."""


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
        for found in self.objects():
            if found.path == path:
                wanted = name.encode()
                named = (one for one in map(attribute_of, found.attributes) if one.name == wanted)
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
            return self._heap_object(heap, index)[:length]
        raise DamagedFileError("an attribute that has to be a string is none")

    # Objects

    def _object(self, path: str, address: int) -> tuple[Object, list[tuple[str, int]]]:
        messages: dict[int, bytes] = {}
        attributes: list[bytes] = []
        children: list[tuple[str, int]] = []
        external: list[str] = []
        unread = ""
        for kind, body, is_shared in self._messages(address):
            if kind == _SYMBOL_TABLE:
                children += self._symbols(*_QQ(body))
            elif is_shared:
                unread = unread or "a message that is kept elsewhere"
            elif kind == _ATTRIBUTE:
                attributes.append(body)
            elif kind == _LINK:
                name, target = _link(body)
                if isinstance(target, int):
                    children.append((name, target))
                elif target == "external":
                    external.append(name)
            elif kind in (_LINK_INFO, _ATTRIBUTE_INFO):
                if _has_dense(kind, body):
                    unread = unread or "names in a heap"
            else:
                messages.setdefault(kind, body)
        return Object(path, messages, attributes, external, unread), children

    def _messages(self, address: int) -> Iterable[_Message]:
        """Those of the kinds in ``_WANTED`` of the object header at ``address``."""
        data, at = self._at(address, 16)
        if data[at] == 1:
            (length,) = _I(data, at + 8)
            return self._version_1(address + 16, length)
        if data[at : at + 4] == b"OHDR" and data[at + 4] == 2:
            return self._version_2(address, data[at + 5])
        raise DamagedFileError("an object header is malformed")

    def _version_1(self, address: int, length: int) -> list[_Message]:
        found: list[_Message] = []
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
                elif kind == _CONTINUATION:
                    self._continue(blocks, *_QQ(data[begin : min(at, stop)]))
            self._spend(steps)
        return found

    def _version_2(self, address: int, flags: int) -> Iterator[_Message]:
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
                    yield _I(data, position)[0] if kind else child
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

    def _bytes(self, address: int, size: int) -> bytes:
        return self._pages.read(address, size)

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


def attribute_of(body: bytes) -> Attribute:
    """Take an attribute message apart: section IV.A.2.m. Raises DamagedFileError."""
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


@lru_cache(maxsize=128)
def extent(space: bytes) -> int:
    """How many elements a dataspace states; most arrays of a file have one of a few shapes."""
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


def _has_dense(kind: int, body: bytes) -> bool:
    """Whether a link info or attribute info message says that a heap holds some: IV.A.2.c, .v."""
    flags = body[1] if len(body) > 1 else 0
    wide = 8 if kind == _LINK_INFO else 2
    at = 2 + (wide if flags & 1 else 0)
    return bool(_Q(body.ljust(at + 8, b"\xff"), at)[0] != UNDEFINED)


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
