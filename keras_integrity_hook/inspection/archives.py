# SPDX-License-Identifier: Apache-2.0
"""ZIP archives, judged by their directory: what unpacking them would take.

A model's archive, and the ``.npz`` file in it or beside it, which is an archive of arrays. Members
of one name, in two forms or with names that leave the archive have been refused when the model was
opened (``containers.zip_members``).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from keras_integrity_hook.errors import DamagedFileError, IntegrityError
from keras_integrity_hook.inspection import pieces
from keras_integrity_hook.inspection.findings import Finding
from keras_integrity_hook.inspection.rules import found
from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.texts import bytes_of

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo
else:  # for those who look annotations up at run time
    ZipFile = ZipInfo = object

# What Keras 3.15 lets an archive become that is extracted: for one member there, for all here.
_FLOOR, _RATIO = 256 * MIB, 100
_UNSTORED = 16 * MIB  # that an array may declare beyond what is there
_HEADER = 10_000  # bytes; what NumPy itself reads of the header of an array
_LEAVES = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:")
_PICKLES = (".pkl", ".pickle")
_SIZE = re.compile(r"[<>|=]?([a-zA-Z])(\d*)(\[.*\])?")


def inspect(
    content: Content, name: str, *, members: Sequence[ZipInfo] | None = None
) -> Iterator[Finding]:
    """Findings about the archive that ``content`` is: sizes, and pickles by their names.

    Args:
        name: of the file, member or part; empty for the model itself.
        members: what it has, where somebody has looked already.
    """
    try:
        infos = _members(content) if members is None else members
    except DamagedFileError:
        return  # nobody can unpack it, and the model itself has been opened before
    yield from _sizes(infos, name)
    for info in infos if name else ():  # the model's own have been looked at
        if _LEAVES.search(info.filename):
            yield found("archive-path", name, info.filename, "a member that leaves the archive")
        if info.filename.casefold().endswith(_PICKLES):
            yield found("pickle", name, info.filename, "a pickle in an archive")


def _members(content: Content) -> list[ZipInfo]:
    with pieces.opened(content) as archive:
        return archive.infolist()


def _sizes(infos: Sequence[ZipInfo], name: str) -> Iterator[Finding]:
    size, packed = sum(one.file_size for one in infos), sum(one.compress_size for one in infos)
    if size > _FLOOR and size > _RATIO * packed:
        shown = f"{bytes_of(size)} of {bytes_of(packed)}"
        yield found("archive-bomb", name, "all members together", shown)
    for info in infos:
        if info.file_size > _FLOOR and info.file_size > _RATIO * info.compress_size:
            shown = f"{bytes_of(info.file_size)} of {bytes_of(info.compress_size)}"
            yield found("archive-bomb", name, info.filename, shown)


def inspect_arrays(content: Content, name: str) -> Iterator[Finding]:
    """Findings about the ``.npz`` file that ``content`` is: :func:`inspect`, and its arrays."""
    try:
        yield from inspect(content, name)
        with pieces.opened(content) as archive:
            for info in archive.infolist()[: LIMITS.zip_members]:
                yield from _array(archive, info, name)
    except DamagedFileError as error:
        yield found("malformed-array", name, "", str(error))


def _array(archive: ZipFile, info: ZipInfo, name: str) -> Iterator[Finding]:
    with archive.open(info) as stream:
        yield from _judged(stream, info.file_size, name, info.filename.removesuffix(".npy"))


def inspect_array(content: Content, name: str) -> Iterator[Finding]:
    """Findings about the ``.npy`` file that ``content`` is, by its header."""
    import io

    head = io.BytesIO(content.read(0, min(content.size, _HEADER + 12)))
    yield from _judged(head, content.size, name, "")


def _judged(stream: IO[bytes], stored: int, name: str, place: str) -> Iterator[Finding]:
    try:
        header, begin = _header(stream)
        kinds, size = _type(header["descr"])
        declared = math.prod(header["shape"]) * size
    except (ValueError, KeyError, TypeError, struct.error, IntegrityError) as error:
        said, _, _ = str(error).partition(": <")  # the rest is an address of this process
        yield found("malformed-array", name, place, said)
        return
    if "O" in kinds:
        yield found("pickle", name, place, "an array of Python objects")
    elif declared - max(0, stored - begin) > _UNSTORED:
        shown = f"{bytes_of(declared)} declared, {bytes_of(stored)} stored"
        yield found("shape-bomb", name, place, shown)


def _header(stream: IO[bytes]) -> tuple[dict[str, Any], int]:
    """The header of an array as ``numpy.lib.format`` has it, and where the data begins.

    Raises:
        ValueError, struct.error: it is none.
    """
    magic = stream.read(8)
    if magic[:1] == b"\x80":
        return {"descr": "|O", "shape": ()}, 0  # what is no array is a pickle to NumPy
    if magic[:6] != b"\x93NUMPY":
        raise ValueError("a member that is no array")
    width = 2 if magic[6] == 1 else 4
    (length,) = struct.unpack("<H" if width == 2 else "<I", stream.read(width))
    if length > _HEADER:
        raise ValueError("the header of an array is too long")
    return _literal(stream.read(length).decode("latin-1")), 8 + width + length


def _literal(text: str) -> dict[str, Any]:
    import ast

    try:
        header = ast.literal_eval(text.strip())
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError("the header of an array cannot be read") from error
    shape = header.get("shape") if isinstance(header, dict) else None
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("the header of an array has no shape")
    return dict(header)


def _type(descr: object) -> tuple[str, int]:
    """The letters of NumPy's kinds in a type, and the bytes of one element. Raises ValueError."""
    if isinstance(descr, list):
        fields = [_type(field[1]) for field in descr]
        repeats = [math.prod(_shape_of(field)) for field in descr]
        size = sum(n * one[1] for n, one in zip(repeats, fields, strict=True))
        return "".join(one[0] for one in fields), size
    match = _SIZE.fullmatch(descr) if isinstance(descr, str) else None
    if match is None:
        raise ValueError("the type of an array cannot be read")
    width = int(match[2] or 1)
    return match[1], width * 4 if match[1] == "U" else width


def _shape_of(field: Any) -> tuple[int, ...]:
    shape = field[2] if len(field) > 2 else ()
    return (shape,) if isinstance(shape, int) else tuple(shape)
