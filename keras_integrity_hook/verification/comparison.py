# SPDX-License-Identifier: Apache-2.0
"""Where two models differ: which variables, how many of their numbers, by how much.

Both are read piece by piece and side by side, without Keras, NumPy or libhdf5, in memory that does
not grow with the models.
"""

from __future__ import annotations

import contextlib
import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from keras_integrity_hook.containers import file_set, hdf5_types, opening, parts
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.model_file import Descriptor, ModelFile, set_of_files
from keras_integrity_hook.containers.parts import File, Part
from keras_integrity_hook.errors import IntegrityError, UnreadableFileError
from keras_integrity_hook.files import reading
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.sealing.content import Content, FileContent

_FORMATS = {
    "float16": "e",
    "float32": "f",
    "float64": "d",
    "bool": "B",
    **{f"int{8 * size}": code for size, code in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))},
    **{f"uint{8 * size}": code for size, code in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))},
}
STRUCTURE = "structure"
"""The name of all bytes that are in no part: headers, names, attributes, padding."""


@dataclass(frozen=True, slots=True)
class Change:
    """One number of a variable that is not the same.

    Attributes:
        index: of the number, in the variable's shape.
        before, after: the number in the one model and in the other.
    """

    index: tuple[int, ...]
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How one part differs.

    Attributes:
        name: of the part, or :data:`STRUCTURE`.
        kind: ``"changed"``; ``"missing"`` or ``"added"`` in the second model; ``"reshaped"`` where
            size, shape or type are not the same; ``"cut off"`` where the second model ends before;
            ``"longer"``, of the structure, where it goes on after the end of the first.
        part: as it is in the first model, or in the second if it is there alone.
        other: as it is in the second model, where that is not the same.
        bits, bytes, values: how many differ; ``values`` only of plain numbers.
        first: offset of the first byte that differs, in bytes of the second model's content.
        at: the same as an offset in the second model's file, or in that one of a set which ``name``
            begins with; None where it is in none.
        largest: the number that moved furthest; None where none is both before and after finite.
        not_finite: how many numbers have become infinite or not a number.
    """

    name: str
    kind: str
    part: Part
    other: Part | None = None
    bits: int = 0
    bytes: int = 0
    values: int = 0
    first: int | None = None
    at: int | None = None
    largest: Change | None = None
    not_finite: int = 0

    @property
    def is_structure(self) -> bool:
        """Whether it is about the bytes that are in no part."""
        return self.name == STRUCTURE or self.name.endswith(f": {STRUCTURE}")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Where a second model differs from a first.

    Attributes:
        differences: none where the contents are the same, byte for byte.
        parts: how many were compared.
        bytes: how many of each model were compared.
        is_laid_out_alike: whether the same parts are at the same places of both; where not, what
            lies between them could not be compared.
        damage: why the second is no model any more, so that its bytes were compared as they are,
            under the names of the first; "" where it is one.
    """

    differences: tuple[Difference, ...] = field(default=())
    parts: int = 0
    bytes: int = 0
    is_laid_out_alike: bool = True
    damage: str = ""


def compare_paths(first: str, second: str) -> Comparison:
    """Compare the models at two paths, see :func:`compare`; the first must be a whole one.

    Raises:
        IntegrityError: one of its kinds; there is no model to be read at a path. The second may be
            a single file that is broken in any way, or a set that lacks files or has a broken seal.
    """
    with opening.open_model(first) as model:
        try:
            other = opening.open_model(second)
        except IntegrityError as error:
            if model.files is not None:
                return _compared_as_listed(model, second, error)
            if isinstance(error, UnreadableFileError):
                raise
            return _compared_raw(model, second, error)
        with other, opening.errors_of(second):
            found = compare(model, other)
            if other.files is not None:
                return found
            placed = tuple(
                replace(one, at=parts.file_offset(other, one.first)) for one in found.differences
            )
            return replace(found, differences=placed)


def _compared_as_listed(model: ModelFile, path: str, error: IntegrityError) -> Comparison:
    """Compare the set ``model`` with those of its files that are at ``path``, where ``error`` was
    found; raises that where there is none."""
    assert model.files is not None
    kind = model.files.place.kind
    if kind.whole_directory:
        place = Place(kind, path, "")
    else:
        folder, stem = os.path.split(path)
        place = Place(kind, folder or ".", stem)
    try:
        files = file_set.open_directory(place)
    except UnreadableFileError:
        raise error from None
    with opening.errors_of(path), set_of_files(path, files) as other:
        file_set.open_listed(files, model.files.members, hold=False)
        if not files.parts:
            raise error
        return replace(compare(model, other), damage=error.cause)


def _compared_raw(model: ModelFile, path: str, error: IntegrityError) -> Comparison:
    """Compare all bytes of the file ``model`` with those at ``path``, where ``error`` was found."""
    with contextlib.closing(Descriptor(reading.open_regular(path))) as broken:
        start = parts.file_offset(model, 0) or 0
        contents = [FileContent(fd, 0, os.fstat(fd).st_size) for fd in (model.fd, broken.fd)]
        named = tuple(part._replace(offset=part.offset + start) for part in parts.parts_of(model))
        found = _alike(contents[0], contents[1], named)
        placed = tuple(replace(one, at=one.first) for one in found.differences)
        return replace(found, differences=placed, damage=error.cause)


def compare(first: ModelFile, second: ModelFile) -> Comparison:
    """Compare the contents of two open models, part by part.

    A damaged copy may have lost the names of its parts; where the second model says that it was
    made as the first, or lies in as many bytes, the names are those of the first.

    Raises:
        DamagedFileError: one became shorter meanwhile. OSError: it cannot be read.
    """
    is_copy = _is_a_copy(first, second)
    if first.files is not None and second.files is not None:
        return _compare_sets(parts.files_of(first), parts.files_of(second), is_copy=is_copy)
    ours, theirs = parts.parts_of(first), parts.parts_of(second)
    return _compare_contents(first.content, second.content, ours, theirs, is_copy=is_copy)


def _compare_sets(ours: dict[str, File], theirs: dict[str, File], *, is_copy: bool) -> Comparison:
    """Compare file by file: where one was cut or lost, those behind it are as they were."""
    pairs = [(name, ours.get(name), theirs.get(name)) for name in {**ours, **theirs}]
    found = [_compare_files(one, other, is_copy=is_copy) for _, one, other in pairs]
    return Comparison(
        tuple(one for each in found for one in each.differences),
        sum(each.parts for each in found),
        sum(each.bytes for each in found),
        all(each.is_laid_out_alike for each in found),
    )


def _compare_files(one: File | None, other: File | None, *, is_copy: bool) -> Comparison:
    """Compare two files of sets; None for one that is not there."""
    if one is None or other is None:
        kind, present = ("missing", one) if other is None else ("added", other)
        lonely = () if present is None else present.parts
        return Comparison(tuple(Difference(part.name, kind, part) for part in lonely))
    renamed = tuple(
        part._replace(name=one.name + part.name.removeprefix(other.name)) for part in other.parts
    )
    is_copy = is_copy or one.content.size == other.content.size
    found = _compare_contents(one.content, other.content, one.parts, renamed, is_copy=is_copy)
    return replace(found, differences=tuple(_in_set(each, other) for each in found.differences))


def _in_set(found: Difference, file: File) -> Difference:
    """``found``, which is about the ``file`` alone, as a difference of the set."""
    name = f"{file.name}: {STRUCTURE}" if found.is_structure else found.name
    if found.first is None:
        return replace(found, name=name)
    return replace(found, name=name, first=file.start + found.first, at=found.first)


def _compare_contents(
    first: Content,
    second: Content,
    ours: tuple[Part, ...],
    theirs: tuple[Part, ...],
    *,
    is_copy: bool,
) -> Comparison:
    if ours == theirs or is_copy:
        return _alike(first, second, ours)
    found = tuple(_differences(first, second, ours, theirs))
    compared = sum(part.size for part in ours)
    return Comparison(found, len(ours), compared, is_laid_out_alike=False)


def _alike(first: Content, second: Content, named: tuple[Part, ...]) -> Comparison:
    """Compare two contents that have the same parts at the same places."""
    gaps = _gaps(named, min(first.size, second.size))
    found = (
        *_differences(first, second, named, named),
        *_in_structure(first, second, gaps),
    )
    return Comparison(found, len(named), min(first.size, second.size))


def _is_a_copy(first: ModelFile, second: ModelFile) -> bool:
    if first.container != second.container:
        return False
    if first.seal is not None and second.seal is not None:
        return first.seal.statement.root == second.seal.statement.root
    return first.content.size == second.content.size


def _differences(
    first: Content, second: Content, ours: tuple[Part, ...], theirs: tuple[Part, ...]
) -> Iterator[Difference]:
    others = {part.name: part for part in theirs}
    for part in ours:
        other = others.pop(part.name, None)
        if other is None:
            yield Difference(part.name, "missing", part)
        elif (part.size, part.shape, part.dtype) != (other.size, other.shape, other.dtype):
            yield Difference(part.name, "reshaped", part, other)
        elif other.offset + other.size > second.size:
            yield Difference(part.name, "cut off", part, first=second.size)
        else:
            found = _compared(first, second, part, other)
            if found.bytes:
                yield found
    for part in others.values():
        yield Difference(part.name, "added", part)


def _compared(first: Content, second: Content, part: Part, other: Part) -> Difference:
    found = Difference(part.name, "changed", part)
    step = MIB  # a multiple of every size of a number
    for at in range(0, part.size, step):
        size = min(step, part.size - at)
        one, two = first.read(part.offset + at, size), second.read(other.offset + at, size)
        if one != two:
            found = _with_piece(found, one, two, at, other.offset)
    return found


def _with_piece(found: Difference, one: bytes, two: bytes, at: int, start: int) -> Difference:
    """``found``, and what differs between two pieces of as many bytes.

    Args:
        at: where they begin in the part.
        start: where the part begins in the second content.
    """
    wrong = int.from_bytes(one, "little") ^ int.from_bytes(two, "little")
    mask = wrong.to_bytes(len(one), "little")
    found = replace(
        found,
        bits=found.bits + wrong.bit_count(),
        bytes=found.bytes + len(mask) - mask.count(0),
        first=start + at + _first_set(wrong) if found.first is None else found.first,
    )
    return _with_numbers(found, one, two, at, mask) if found.part.dtype else found


def _first_set(wrong: int) -> int:
    """The first byte of a little-endian number that is not zero."""
    return ((wrong & -wrong).bit_length() - 1) // 8


def _with_numbers(found: Difference, one: bytes, two: bytes, at: int, mask: bytes) -> Difference:
    size = hdf5_types.itemsize(found.part.dtype)
    changed = struct.unpack(f"<{len(mask) // size}{ {1: 'B', 2: 'H', 4: 'I', 8: 'Q'}[size] }", mask)
    code = f"<{len(mask) // size}{_FORMATS[found.part.dtype]}"
    before, after = struct.unpack(code, one), struct.unpack(code, two)
    values, not_finite, largest = found.values, found.not_finite, found.largest
    furthest = -1.0 if largest is None else abs(largest.after - largest.before)
    for index, is_changed in enumerate(changed):
        if not is_changed:
            continue
        values += 1
        old, new = before[index], after[index]
        if not math.isfinite(new):
            not_finite += math.isfinite(old)
        elif abs(new - old) > furthest:  # never so where the old one was not a number
            furthest = abs(new - old)
            place = _unravelled(at // size + index, found.part.shape or ())
            largest = Change(place, old, new)
    return replace(found, values=values, not_finite=not_finite, largest=largest)


def _unravelled(number: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index in an array of ``shape`` of the element that is the ``number``-th in memory."""
    index: list[int] = []
    for length in reversed(shape):
        number, within = divmod(number, max(length, 1))
        index.append(within)
    return tuple(reversed(index))


def _gaps(found: tuple[Part, ...], size: int) -> Iterator[tuple[int, int]]:
    """Offset and size of what lies between the parts, up to ``size``."""
    at = 0
    for part in found:
        if at < min(part.offset, size):
            yield at, min(part.offset, size) - at
        at = max(at, part.offset + part.size)
    if at < size:
        yield at, size - at


def _in_structure(
    first: Content, second: Content, gaps: Iterator[tuple[int, int]]
) -> Iterator[Difference]:
    whole = Part(STRUCTURE, 0, 0)
    found = Difference(STRUCTURE, "changed", whole)
    for offset, size in gaps:
        piece = _compared(
            first, second, whole._replace(offset=offset, size=size), whole._replace(offset=offset)
        )
        if piece.bytes:
            found = replace(
                found,
                bits=found.bits + piece.bits,
                bytes=found.bytes + piece.bytes,
                first=piece.first if found.first is None else found.first,
            )
    if first.size != second.size:
        found = replace(found, kind="cut off" if second.size < first.size else "longer")
    if found.bytes or found.kind != "changed":
        yield found


def to_dict(found: Difference) -> dict[str, Any]:
    """JSON-able values; numbers that JSON does not have are spelt as text."""
    largest = found.largest
    shape = list(found.part.shape) if found.part.shape is not None else None
    return {
        "part": found.name,
        "kind": found.kind,
        "shape": shape,
        "dtype": found.part.dtype or None,
        "size": found.part.size,
        "bits": found.bits,
        "bytes": found.bytes,
        "values": found.values if found.part.dtype else None,
        "not_finite": found.not_finite,
        "first": found.first,
        "at": found.at,
        "largest": None
        if largest is None
        else {
            "index": list(largest.index),
            "before": largest.before if math.isfinite(largest.before) else repr(largest.before),
            "after": largest.after,
        },
    }
