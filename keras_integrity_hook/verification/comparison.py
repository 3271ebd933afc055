# SPDX-License-Identifier: Apache-2.0
"""Where two models differ: which variables, how many of their numbers, by how much.

Both are read piece by piece and side by side, without Keras, NumPy or libhdf5, in memory that does
not grow with the models.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace

from keras_integrity_hook.containers import file_set, opening, parts
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.model_file import Descriptor, ModelFile, set_of_files
from keras_integrity_hook.containers.parts import File, Part
from keras_integrity_hook.errors import IntegrityError, UnreadableFileError
from keras_integrity_hook.files import reading
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.sealing.content import Content, FileContent
from keras_integrity_hook.verification.differences import STRUCTURE, Comparison, Difference
from keras_integrity_hook.verification.part_comparison import compared


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
        contents = [FileContent(fd, 0, system.fstat(fd).st_size) for fd in (model.fd, broken.fd)]
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
    # What lies between the parts cannot be set side by side. It is not the same, and may be code:
    # the configuration of a whole model in HDF5 is no part.
    found = tuple(_differences(first, second, ours, theirs)) or (
        Difference(STRUCTURE, "rearranged", Part(STRUCTURE, 0, 0)),
    )
    size = sum(part.size for part in ours)
    return Comparison(found, len(ours), size, is_laid_out_alike=False)


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
            found = compared(first, second, part, other)
            if found.bytes:
                yield found
    for part in others.values():
        yield Difference(part.name, "added", part)


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
        piece = compared(
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
