# SPDX-License-Identifier: Apache-2.0
"""Does the content match its seal, and if not, what of the model was damaged?"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from keras_integrity_hook.containers.base import ModelFile
from keras_integrity_hook.containers.regions import INSIDE
from keras_integrity_hook.errors import ChecksumMismatchError, DamagedFileError, DamagedRange
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.statement import Region

_NAMED_AT_MOST = 5


def check_content(model: ModelFile) -> None:
    """Recompute every chunk digest of a sealed ``model`` and compare.

    Raises:
        ChecksumMismatchError: with the damaged ranges and the parts of the model they hit.
        DamagedFileError: the file became shorter while it was read.
    """
    assert model.seal is not None
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
        raise mismatch(model, chunks)


def mismatch(model: ModelFile, chunks: list[int]) -> ChecksumMismatchError:
    """The error for the damaged ``chunks`` (indexes) of a sealed model."""
    assert model.seal is not None
    said = model.seal.statement
    damaged = tuple(_merged(chunks, said.chunk_size, said.size))
    parts = _damaged_parts(model, damaged)
    return ChecksumMismatchError(
        f"the content does not match its seal; damaged: {_sentence(parts)}",
        path=model.path,
        container=model.container,
        damaged=damaged,
        parts=parts,
    )


def _size_mismatch(model: ModelFile) -> ChecksumMismatchError:
    assert model.seal is not None
    said, actual = model.seal.statement.size, model.content.size
    change = f"{said - actual} bytes shorter" if actual < said else f"{actual - said} bytes longer"
    lost = tuple(
        _spoken(one.name)
        for one in model.seal.statement.regions
        if one.offset + one.size > actual and not _holds_others(one, model.seal.statement.regions)
    )
    cut = f"; cut off: {_sentence(lost)}" if lost else ""
    return ChecksumMismatchError(
        f"the content is {change} than its seal says{cut}",
        path=model.path,
        container=model.container,
        damaged=(DamagedRange(min(said, actual), max(said, actual)),),
        parts=lost,
    )


def _merged(chunks: list[int], chunk_size: int, size: int) -> Iterator[DamagedRange]:
    start = previous = chunks[0]
    for index in [*chunks[1:], -1]:
        if index != previous + 1:
            yield DamagedRange(start * chunk_size, min((previous + 1) * chunk_size, size))
            start = index
        previous = index


def _damaged_parts(model: ModelFile, damaged: tuple[DamagedRange, ...]) -> tuple[str, ...]:
    """The most specific regions that explain each damaged range; the directory if none does."""
    assert model.seal is not None
    regions = model.seal.statement.regions
    parts: dict[str, None] = {}
    for one in damaged:
        hit = [r for r in regions if r.offset < one.stop and one.start < r.offset + r.size]
        leaves = [region for region in hit if not _holds_others(region, regions)]
        small = [region for region in leaves if region.crc is not None]
        exact = [region for region in small if _differs(model, region)]
        large = [region for region in leaves if region.crc is None]
        structure = [f"{r.name} (HDF5 structure)" for r in hit if _holds_others(r, regions)]
        if exact or large:
            # A damaged chunk that borders on a large variable may be explained by a small one.
            whole = [r for r in large if not exact or _fills_chunk(r, one)]
            names = [_spoken(region.name) for region in exact + whole]
        else:
            names = structure or [_structure_name(model)]
        parts.update(dict.fromkeys(names))
    return tuple(parts)


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


def _fills_chunk(region: Region, damaged: DamagedRange) -> bool:
    overlap = min(region.offset + region.size, damaged.stop) - max(region.offset, damaged.start)
    return 2 * overlap > damaged.stop - damaged.start


def _spoken(name: str) -> str:
    """``layers/dense/vars/0``, whichever member of the archive it is in."""
    return name.rpartition(INSIDE)[2]


def _structure_name(model: ModelFile) -> str:
    return (
        "the archive's directory or headers"
        if model.container == "keras-zip"
        else ("the HDF5 structure (names, shapes, attributes)")
    )


def _sentence(parts: tuple[str, ...]) -> str:
    named = ", ".join(parts[:_NAMED_AT_MOST])
    more = len(parts) - _NAMED_AT_MOST
    return f"{named} and {more} more" if more > 0 else named
