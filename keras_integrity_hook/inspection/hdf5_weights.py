# SPDX-License-Identifier: Apache-2.0
"""HDF5 weights, judged by their headers: what reading them would allocate, run or open.

A dataset takes the memory that its shape declares, however little of it is stored: CVE-2026-0897,
which Keras has answered since 3.13 with a floor of 4 GiB for each dataset and a ratio of 1000. Here
the datasets of a file are added up: a thousand of them just below a floor are the same attack.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache

from keras_integrity_hook.containers import hdf5
from keras_integrity_hook.errors import DamagedFileError, LimitExceededError
from keras_integrity_hook.inspection import hdf5_messages
from keras_integrity_hook.inspection.findings import Finding, Verdict
from keras_integrity_hook.inspection.hdf5_file import Hdf5File, Object
from keras_integrity_hook.inspection.rules import found
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.texts import bytes_of, plural

_COMPACT, _CONTIGUOUS, _CHUNKED, _VIRTUAL = 0, 1, 2, 3
_OPAQUE, _COMPOUND, _REFERENCE, _VARIABLE = 5, 6, 7, 9
_PLAIN_TYPES = frozenset({0, 1, 3, 4, 8, 10})  # numbers, text, bit fields, Booleans, arrays
# Deflate, shuffle, Fletcher32, szip, n-bit, scale-offset, and LZF, which h5py brings along.
_FILTERS_OF_H5PY = frozenset({1, 2, 3, 4, 5, 6, 32000})
_DEFLATED = 1032  # bytes that one of deflate can become, at most
_UNSTORED = 16 * MIB  # that a file may declare without storing it
_LARGE = 128 * MIB  # from here on somebody has to know it
_FLOOR, _RATIO = 4096 * MIB, 100  # what Keras 3.15 allows a member of an archive


def inspect(content: Content, name: str) -> Iterator[Finding]:
    """Findings about the HDF5 file that ``content`` holds; none where it is no HDF5 file.

    Args:
        name: of the file, member or part.
    """
    try:
        file = Hdf5File(content)
    except DamagedFileError as error:
        if _is_hdf5(content):
            yield found("malformed-hdf5", name, "", error.cause)
        return
    try:
        with hdf5_messages.whole():
            yield from _Judge(file, name).findings()
    except LimitExceededError as error:
        yield found("hdf5-unread", name, "", error.cause)
    except DamagedFileError as error:
        yield found("malformed-hdf5", name, "", error.cause)


class _Judge:
    """Goes through the objects of one file and adds up what they declare."""

    def __init__(self, file: Hdf5File, name: str) -> None:
        self._file, self._name = file, name
        self._declared = self._stored = self._excess = self._claimed = 0
        self._is_told = False

    def findings(self) -> Iterator[Finding]:
        if self._file.driver:
            yield found("hdf5-unread", self._name, "", "a driver of the file's own")
        for one in self._file.objects():
            if one.messages or one.attributes or one.external or one.unread:
                yield from self._object(one)
        yield from self._total()

    def _object(self, one: Object) -> Iterator[Finding]:
        place = one.path
        for link in one.external:
            yield found(
                "hdf5-external", self._name, f"{place}/{link}".lstrip("/"), "a link to another file"
            )
        if one.unread:
            yield found("hdf5-unread", self._name, place, one.unread)
        messages = one.messages
        if hdf5_messages.EXTERNAL_FILES in messages:
            yield found("hdf5-external", self._name, place, "data that lies in another file")
        if one.attributes:
            yield from self._attributes(one)
        space, kind = messages.get(hdf5_messages.DATASPACE), messages.get(hdf5_messages.DATATYPE)
        if space is None or kind is None:
            return
        size, unusual = _type(kind)
        if unusual:
            yield found("array-type", self._name, place, unusual)
        if hdf5_messages.FILTERS in messages:
            yield from self._filters(messages[hdf5_messages.FILTERS], place)
        declared = hdf5_messages.extent(space) * size
        if declared and hdf5_messages.LAYOUT in messages:
            yield from self._size(messages[hdf5_messages.LAYOUT], declared, place)

    def _attributes(self, one: Object) -> Iterator[Finding]:
        for attribute in map(hdf5_messages.attribute_of, one.attributes):
            count = hdf5_messages.extent(attribute.space)
            if count * hdf5_messages.datatype_size(attribute.type) > len(attribute.data):
                shown = f"{one.path} (attribute {attribute.name.decode('utf-8', 'replace')})"
                yield found("shape-bomb", self._name, shown, plural(count, "value"))

    def _filters(self, pipeline: bytes, place: str) -> Iterator[Finding]:
        for number in _filter_numbers(pipeline):
            if number not in _FILTERS_OF_H5PY:
                yield found("hdf5-filter", self._name, place, f"filter {number}")

    def _size(self, layout: bytes, declared: int, place: str) -> Iterator[Finding]:
        if _layout_class(layout) == _VIRTUAL:
            yield found("hdf5-external", self._name, place, "a view of data in other files")
            return
        stored = self._stored_by(layout, declared)
        if stored is None:
            yield found("hdf5-unread", self._name, place, "a layout that Keras does not write")
            stored = 0
        self._declared += declared
        self._stored += stored
        excess = declared - stored * _DEFLATED
        self._excess += max(0, excess)
        if excess > _UNSTORED:
            shown = f"{bytes_of(declared)} declared, {bytes_of(stored)} stored"
            yield found("shape-bomb", self._name, place, shown)
            self._excess -= excess
            self._is_told = True

    def _stored_by(self, layout: bytes, declared: int) -> int | None:
        """Bytes that are stored of a dataset: section IV.A.2.i; None for forms not read here."""
        version, kind = layout[0], _layout_class(layout)
        if kind == _COMPACT and version in (3, 4):
            return min(declared, len(layout))
        if kind == _CONTIGUOUS and version in (3, 4):
            address, size = struct.unpack_from("<QQ", layout, 2)
            if address == hdf5_messages.UNDEFINED:
                return 0
            size = max(0, min(size, self._file.size - address))
            self._claimed += size
            return int(size)
        if kind == _CHUNKED and version == 3:
            rank = layout[2]
            (tree,) = struct.unpack_from("<Q", layout, 3)
            return (
                0
                if tree == hdf5_messages.UNDEFINED
                else sum(self._file.leaves(tree, 1, 8 + 8 * rank))
            )
        return None

    def _total(self) -> Iterator[Finding]:
        shown = f"{bytes_of(self._declared)} declared, {bytes_of(self._stored)} stored"
        many = self._declared > _RATIO * self._stored
        huge = many and self._declared > _FLOOR
        if self._excess > _UNSTORED or (huge and not self._is_told):
            yield found("shape-bomb", self._name, "all datasets together", shown)
        elif many and self._declared > _LARGE and not self._is_told:
            review = Verdict.REVIEW  # compressed zeros are honest, if nothing that Keras writes
            yield found("shape-bomb", self._name, "all datasets together", shown, verdict=review)
        if self._claimed > self._file.size:
            shown = f"{bytes_of(self._claimed)} claimed, of {bytes_of(self._file.size)}"
            yield found("shape-bomb", self._name, "datasets that share their bytes", shown)


def _is_hdf5(content: Content) -> bool:
    """Whether libhdf5 would take it for a file of its own at offset 0."""
    signature = hdf5.SIGNATURE
    return content.size >= len(signature) and content.read(0, len(signature)) == signature


@lru_cache(maxsize=128)
def _type(kind: bytes) -> tuple[int, str]:
    """Bytes of one element of a datatype, and what it is called where Keras writes no such type;
    all arrays of a file have one of a few types. Raises DamagedFileError."""
    number, size = kind[0] & 0x0F, hdf5_messages.datatype_size(kind)
    is_plain = number in _PLAIN_TYPES or (
        # Types of ml_dtypes are opaque to h5py; complex numbers are pairs.
        (number == _OPAQUE and size <= 16)
        or (number == _COMPOUND and size in (8, 16) and kind[1] == 2)
    )
    if is_plain:
        return size, ""
    lengths = "texts" if kind[1] & 0x0F == 1 else "sequences"
    names = {_REFERENCE: "references", _VARIABLE: lengths, _COMPOUND: "records"}
    return size, names.get(number, "opaque" if number == _OPAQUE else f"type class {number}")


def _layout_class(layout: bytes) -> int:
    """Contiguous, chunked, ...; the byte that says so has another place before version 3."""
    return layout[1] if layout[0] >= 3 else layout[2]


def _filter_numbers(message: bytes) -> Iterator[int]:
    """The filters of a pipeline: section IV.A.2.l."""
    version, count = message[:2]
    at = 8 if version == 1 else 2
    for _ in range(count):
        (number,) = struct.unpack_from("<H", message, at)
        has_name = version == 1 or number >= 256
        length = struct.unpack_from("<H", message, at + 2)[0] if has_name else 0
        at += 4 if has_name else 2
        _, values = struct.unpack_from("<HH", message, at)
        at += 4 + (length + 7 & ~7 if version == 1 else length) + 4 * values
        at += 4 if version == 1 and values % 2 else 0
        yield number
