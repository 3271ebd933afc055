# SPDX-License-Identifier: Apache-2.0
"""Does the content match its seal, and if not, what of the model was damaged?"""

from __future__ import annotations

import contextlib
import os
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.model_file import ModelFile
from keras_integrity_hook.containers.regions import INSIDE
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    DamagedFileError,
    DamagedRange,
    MalformedSealError,
    printable,
)
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.statement import Region, Statement
from keras_integrity_hook.verification.pinning import spelled_digest

_NAMED_AT_MOST = 5


def check_content(model: ModelFile) -> None:
    """Recompute every chunk digest of a sealed ``model`` and compare.

    Raises:
        ChecksumMismatchError: with the damaged ranges and the parts of the model they hit.
        DamagedFileError: the file became shorter while it was read.
    """
    assert model.seal is not None
    check_members(model)
    said = model.seal.statement
    if model.content.size != said.size:
        raise _size_mismatch(model)
    try:
        table = tree.table(model.content, chunk_size=said.chunk_size, algorithm=said.algorithm)
    except DamagedFileError as error:
        error.path = model.path
        raise
    chunks = tree.damaged_chunks(model.seal.table, table, said.algorithm)
    if chunks:
        refusal = mismatch(model, chunks)
        refusal.content_digest = _digest_as_it_is(said, table)
        raise refusal


def check_members(model: ModelFile) -> None:
    """Whether a set holds the files its seal lists, by name and size. Raises as above."""
    if model.files is not None and model.files.mismatch is not None:
        model.files.mismatch.path = model.path
        raise model.files.mismatch


def mismatch(model: ModelFile, chunks: list[int]) -> ChecksumMismatchError:
    """The error for the damaged ``chunks`` (indexes) of a sealed model."""
    assert model.seal is not None
    said = model.seal.statement
    damaged = tuple(_merged(chunks, said.chunk_size, said.size))
    parts = _damaged_parts(model, chunks)
    return ChecksumMismatchError(
        f"the content does not match its seal{_sidecar(model)}; damaged: {_sentence(parts)}",
        path=model.path,
        container=model.container,
        damaged=damaged,
        parts=parts,
    )


def _digest_as_it_is(said: Statement, table: bytes) -> str:
    algorithm = said.algorithm
    root = tree.root(table, size=said.size, chunk_size=said.chunk_size, algorithm=algorithm)
    return spelled_digest(root, algorithm, said.files)


def _size_mismatch(model: ModelFile) -> ChecksumMismatchError:
    assert model.seal is not None
    said, actual = model.seal.statement.size, model.content.size
    change = f"{said - actual} bytes shorter" if actual < said else f"{actual - said} bytes longer"
    regions = model.seal.statement.regions
    cut_off = [r for r in regions if r.offset + r.size > actual and not _holds_others(r, regions)]
    lost = tuple(dict.fromkeys(_spoken(model, region.name) for region in cut_off))
    cut = f"; cut off: {_sentence(lost)}" if lost else ""
    return ChecksumMismatchError(
        f"the content is {change} than its seal{_sidecar(model)} says{cut}",
        path=model.path,
        container=model.container,
        damaged=(DamagedRange(min(said, actual), max(said, actual)),),
        parts=lost,
    )


def _sidecar(model: ModelFile) -> str:
    """Which file the seal is, where it is one: it may be another model's or an older one."""
    found = model.seal.sidecar if model.seal else None
    return f" '{printable(os.path.basename(found.path))}'" if found else ""


def _merged(chunks: list[int], chunk_size: int, size: int) -> Iterator[DamagedRange]:
    start = previous = chunks[0]
    for index in [*chunks[1:], -1]:
        if index != previous + 1:
            yield DamagedRange(start * chunk_size, min((previous + 1) * chunk_size, size))
            start = index
        previous = index


def _damaged_parts(model: ModelFile, chunks: list[int]) -> tuple[str, ...]:
    """The most specific regions that explain each damaged chunk; the structure if none does."""
    assert model.seal is not None
    said = model.seal.statement
    holders = {one.name for one in said.regions if _holds_others(one, said.regions)}
    parts: dict[str, None] = {}
    for index, hit in _regions_by_chunk(said, chunks).items():
        start, stop = index * said.chunk_size, min((index + 1) * said.chunk_size, said.size)
        leaves = [region for region in hit if region.name not in holders]
        exact = [one for one in leaves if one.crc is not None and _differs(model, one)]
        filling = [
            one
            for one in leaves
            if one.crc is None and one.offset <= start and stop <= one.offset + one.size
        ]
        explained = [_spoken(model, region.name) for region in exact + filling]
        structure = [f"{_spoken(model, r.name)} (HDF5 structure)" for r in hit if r.name in holders]
        parts.update(dict.fromkeys(explained or structure or [_structure_name(model)]))
    return tuple(parts)


def _regions_by_chunk(said: Statement, chunks: list[int]) -> dict[int, list[Region]]:
    """The regions that each of the ``chunks`` (ascending) has bytes of."""
    found: dict[int, list[Region]] = {index: [] for index in chunks}
    for region in said.regions:
        if region.size:
            last = (region.offset + region.size - 1) // said.chunk_size
            low = bisect_left(chunks, region.offset // said.chunk_size)
            for index in chunks[low : bisect_right(chunks, last)]:
                found[index].append(region)
    return found


def _holds_others(region: Region, regions: tuple[Region, ...]) -> bool:
    if not region.name.endswith(".h5"):
        return False
    prefix = region.name + INSIDE
    return any(other.name.startswith(prefix) for other in regions)


def _differs(model: ModelFile, region: Region) -> bool:
    try:
        return zlib.crc32(model.content.read(region.offset, region.size)) != region.crc
    except (DamagedFileError, OSError):
        return True


def _spoken(model: ModelFile, name: str) -> str:
    """``layers/dense/vars/0``; in a set with the file before it."""
    if model.files is None:
        return name.rpartition(INSIDE)[2]
    member, _, variable = name.partition(INSIDE)
    with contextlib.suppress(MalformedSealError):
        member = file_set.shown(file_set.name_of(model.files.place, member))
    return f"{member}: {variable}" if variable else member


def _structure_name(model: ModelFile) -> str:
    if model.container == "keras-zip":
        return "the archive's directory or headers"
    if model.container == "hdf5":
        return "the HDF5 structure (names, shapes, attributes)"
    return "the model's files"


def _sentence(parts: tuple[str, ...]) -> str:
    named = ", ".join(parts[:_NAMED_AT_MOST])
    more = len(parts) - _NAMED_AT_MOST
    return f"{named} and {more} more" if more > 0 else named
