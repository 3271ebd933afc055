# SPDX-License-Identifier: Apache-2.0
"""The members of an archive, each of which every ZIP reader must see alike.

An archive says most things twice: in its directory and in the header before each member. Readers
differ in whom they believe, and in what they make of odd names, attributes and extra fields. So one
file can hold a harmless model for the tool that inspects it and another for the loader, as in
CVE-2013-4787. Here both copies must agree, the members lie end to end from the first byte, and
whatever has two readings is refused. APPNOTE.TXT 6.3.10 names the fields.
"""

from __future__ import annotations

import re
import stat
import struct
from collections.abc import Iterator
from typing import NamedTuple

from keras_integrity_hook.errors import DamagedFileError, LimitExceededError
from keras_integrity_hook.files.reading import read_exactly
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.statement import Region

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_MASK32 = 0xFFFFFFFF
_ENCRYPTED = 0x2041  # bits 0 (encrypted), 6 (strongly) and 13 (the directory is masked)
_HAS_DESCRIPTOR = 0x0008
_IN_UTF8 = 0x0800
_KNOWN_FLAGS = 0x0006 | _HAS_DESCRIPTOR | _IN_UTF8  # 0x0006: how hard the compressor tried
_STORED, _METHODS = 0, (0, 8, 12, 14)  # with deflate, bzip2 and LZMA, which zipfile reads
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_DOS_DIRECTORY = 0x10
# Control characters, which unzip rewrites; backslash and drive, which separate for some readers;
# and a step that is empty or made of dots, which a leading slash makes, too.
_ODD_NAME = re.compile(r"[\0-\x1f\x7f\\]|^[A-Za-z]:|(?:^|/)\.{0,2}(?:/|$)")


class Entry(NamedTuple):
    """What the directory says about a member; sizes and offset in bytes."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int

    @property
    def text(self) -> str:
        """The name, which :func:`_refuse_odd_name` has looked at."""
        return self.name.decode("utf-8")


def check_members(fd: int, directory: bytes, count: int, end: int) -> tuple[Region, ...]:
    """The members of the archive behind ``fd``, in the order of their bytes.

    Args:
        directory: the ``count`` entries of the central directory.
        end: offset behind the last member.

    Raises:
        DamagedFileError: any two readers could read it differently, or it is cut short.
        LimitExceededError: a name is nested deeper than any directory of ours.
    """
    entries = sorted(entries_of(directory, count), key=lambda entry: entry.offset)
    _refuse_same_names(entries)
    regions = []
    expected = 0
    stops = [entry.offset for entry in entries[1:]] + [end]
    for entry, stop in zip(entries, stops, strict=False):
        if entry.offset != expected:
            raise DamagedFileError("the archive has bytes that belong to no member")
        start = _data_start(fd, entry, stop)
        _check_descriptor(fd, entry, start + entry.packed, stop)
        regions.append(Region(entry.text, start, entry.packed))
        expected = stop
    if expected != end:
        raise DamagedFileError("the archive has bytes that belong to no member")
    return tuple(regions)


def entries_of(data: bytes, count: int) -> Iterator[Entry]:
    """What a central directory of ``count`` entries says; raises as :func:`check_members`."""
    at = 0
    for _ in range(count):
        if at + _CENTRAL.size > len(data) or data[at : at + 4] != b"PK\x01\x02":
            raise DamagedFileError("the archive's directory is malformed")
        fields = _CENTRAL.unpack_from(data, at)
        flags, method, crc, packed, size = fields[3], fields[4], *fields[7:10]
        names, extras, comments, disk, _, attributes, offset = fields[10:]
        name_end = at + _CENTRAL.size + names
        name = data[at + _CENTRAL.size : name_end]
        extra = data[name_end : name_end + extras]
        at = name_end + extras + comments
        if comments or disk:
            raise DamagedFileError("a member of the archive has a comment or lies on another disk")
        size, packed, offset = _widened(extra, size, packed, offset)
        entry = Entry(name, flags, method, crc, packed, size, offset)
        _refuse_odd_name(entry)
        _refuse_odd_member(entry, attributes)
        yield entry
    if at != len(data):
        raise DamagedFileError("the archive's directory is malformed")


def _refuse_odd_name(entry: Entry) -> None:
    try:
        # Without the flag the name is in a code page, and every reader has its own.
        name = entry.name.decode("utf-8" if entry.flags & _IN_UTF8 else "ascii")
    except UnicodeDecodeError:
        raise DamagedFileError("the name of a member of the archive has two readings") from None
    if name.count("/") > LIMITS.set_depth + 2:
        raise LimitExceededError("a member of the archive is nested too deeply")
    if _ODD_NAME.search(name.removesuffix("/")):
        raise DamagedFileError("the name of a member of the archive is not a plain relative path")


def _refuse_odd_member(entry: Entry, attributes: int) -> None:
    if entry.flags & _ENCRYPTED:
        raise DamagedFileError("a member of the archive is encrypted")
    if entry.flags & ~_KNOWN_FLAGS or entry.method not in _METHODS:
        raise DamagedFileError("a member of the archive is packed in a way Keras does not read")
    if entry.method == _STORED and entry.packed != entry.size:
        raise DamagedFileError("a stored member of the archive has two sizes")
    is_directory = entry.name.endswith(b"/")
    kind = stat.S_IFMT(attributes >> 16)
    if kind not in (0, stat.S_IFDIR if is_directory else stat.S_IFREG):
        raise DamagedFileError("a member of the archive is a link or no regular file")
    if not is_directory and attributes & _DOS_DIRECTORY:
        raise DamagedFileError("a member of the archive is a file and a directory")
    if is_directory and entry.size:
        raise DamagedFileError("a directory in the archive has content")


def _refuse_same_names(entries: list[Entry]) -> None:
    """Refuse names that are one where case or Unicode's normal forms do not count."""
    if len({_folded(entry.text) for entry in entries}) != len(entries):
        raise DamagedFileError("the archive has two members of one name")


def _folded(name: str) -> str:
    name = name.removesuffix("/")
    if not name.isascii():
        import unicodedata

        name = unicodedata.normalize("NFKC", name)
    return name.casefold()


def _data_start(fd: int, entry: Entry, stop: int) -> int:
    """Where the member's bytes begin, behind a local header that says what the directory says."""
    if entry.offset + _LOCAL.size + len(entry.name) > stop:
        raise DamagedFileError("a member of the archive runs into the next")
    head = read_exactly(fd, _LOCAL.size + len(entry.name), entry.offset)
    magic, _, flags, method, _, _, crc, packed, size, names, extras = _LOCAL.unpack_from(head)
    same = (
        magic == b"PK\x03\x04"
        and (flags, method, names) == (entry.flags, entry.method, len(entry.name))
        and head[_LOCAL.size :] == entry.name
    )
    if not same:
        raise DamagedFileError("a local header of the archive contradicts its directory")
    start = entry.offset + len(head) + int(extras)
    if start + entry.packed > stop:
        raise DamagedFileError("a member of the archive runs into the next")
    extra = read_exactly(fd, extras, start - extras) if extras else b""
    size, packed = _widened(extra, size, packed)
    stated, listed = (crc, packed, size), (entry.crc, entry.packed, entry.size)
    # A stream is written before any of them is known: they follow in a descriptor.
    if stated != listed and not (flags & _HAS_DESCRIPTOR and not any(stated)):
        raise DamagedFileError("a local header of the archive contradicts its directory")
    return start


def _check_descriptor(fd: int, entry: Entry, at: int, stop: int) -> None:
    """What lies between the bytes of a member and the next: its data descriptor, or nothing."""
    if not entry.flags & _HAS_DESCRIPTOR:
        if at != stop:
            raise DamagedFileError("the archive has bytes that belong to no member")
        return
    numbers = entry.crc, entry.packed, entry.size
    forms = {
        struct.pack(f"<{signature}I{width}{width}", *start, *numbers)
        for signature, start in (("", ()), ("4s", (b"PK\x07\x08",)))
        for width in ("I", "Q")
        if width == "Q" or max(numbers) <= _MASK32
    }
    if stop - at not in range(12, 25) or read_exactly(fd, stop - at, at) not in forms:
        raise DamagedFileError("a data descriptor of the archive is malformed")


def _widened(extra: bytes, *fields: int) -> list[int]:
    """Replace saturated 32-bit fields by those of the ZIP64 extra field (APPNOTE 4.5.3).

    The field holds what is saturated and nothing else: some readers take what it holds wherever
    there is one, others only where a 32-bit field sends them there.
    """
    values = list(fields)
    if not extra and _MASK32 not in fields:
        return values
    wide = _zip64_field(extra)
    wanted = [index for index, value in enumerate(values) if value == _MASK32]
    if len(wide) != 8 * len(wanted):
        raise DamagedFileError("a ZIP64 field of the archive is malformed")
    for index, (value,) in zip(wanted, struct.iter_unpack("<Q", wide), strict=True):
        values[index] = value
    return values


def _zip64_field(extra: bytes) -> bytes:
    """The data of the one ZIP64 field in ``extra``, empty where there is none."""
    field = b""
    at = 0
    while at < len(extra):
        if at + 4 > len(extra):
            raise DamagedFileError("an extra field of the archive is malformed")
        kind, length = struct.unpack_from("<HH", extra, at)
        data = extra[at + 4 : at + 4 + length]
        if len(data) != length or (kind == _ZIP64 and (field or not data)):
            raise DamagedFileError("an extra field of the archive is malformed")
        if kind == _UNICODE_PATH:
            raise DamagedFileError("a member of the archive has a second name in an extra field")
        if kind == _ZIP64:
            field = data
        at += 4 + length
    return field
