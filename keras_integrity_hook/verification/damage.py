# SPDX-License-Identifier: Apache-2.0
"""Which parts of a model were hit: the errors for content that does not match its seal.

The map of the parts comes from the seal itself, which may be hostile: telling what was hit costs at
most one more reading of the content, whatever the map says.
"""

from __future__ import annotations

import contextlib
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.formats import FORMATS
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.containers.regions import INSIDE, crc32
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    DamagedFileError,
    DamagedRange,
    MalformedSealError,
    printable,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.sealing.statement import Region, Statement

_NAMED_AT_MOST = 5


def mismatch(model: SealedModel, chunks: list[int]) -> ChecksumMismatchError:
    """The error for the damaged ``chunks`` (indexes, ascending) of ``model``."""
    statement = model.seal.statement
    parts = _damaged_parts(model, chunks)
    error = ChecksumMismatchError(
        f"the content does not match its seal{_sidecar(model)}; damaged: {_sentence(parts)}",
        path=model.path,
        container=model.container,
        damaged=tuple(_ranges(chunks, statement.chunk_size, statement.size)),
        parts=parts,
    )
    error.sealed = statement.origin()
    return error


def size_mismatch(model: SealedModel) -> ChecksumMismatchError:
    """The error for a ``model`` whose content has another size than its seal says."""
    stated, actual = model.seal.statement.size, model.content.size
    difference = (
        f"{stated - actual} bytes shorter" if actual < stated else f"{actual - stated} bytes longer"
    )
    regions = model.seal.statement.regions
    holders = _holders(regions)
    cut_off = [r for r in regions if r.offset + r.size > actual and r.name not in holders]
    lost = tuple(dict.fromkeys(_readable(model, region.name) for region in cut_off))
    cut = f"; cut off: {_sentence(lost)}" if lost else ""
    error = ChecksumMismatchError(
        f"the content is {difference} than its seal{_sidecar(model)} says{cut}",
        path=model.path,
        container=model.container,
        damaged=(DamagedRange(min(stated, actual), max(stated, actual)),),
        parts=lost,
    )
    error.sealed = model.seal.statement.origin()
    return error


def _sidecar(model: SealedModel) -> str:
    """Which file the seal is, where it is one: it may be another model's or an older one."""
    sidecar = model.seal.sidecar
    return f" '{printable(os.path.basename(sidecar.path))}'" if sidecar else ""


def _ranges(chunks: list[int], chunk_size: int, size: int) -> Iterator[DamagedRange]:
    start = previous = chunks[0]
    for index in [*chunks[1:], -1]:
        if index != previous + 1:
            yield DamagedRange(start * chunk_size, min((previous + 1) * chunk_size, size))
            start = index
        previous = index


def _damaged_parts(model: SealedModel, chunks: list[int]) -> tuple[str, ...]:
    """The most specific regions that explain each damaged chunk; the structure if none does."""
    statement = model.seal.statement
    holders = _holders(statement.regions)
    crcs = _Crcs(model.content)
    parts: dict[str, None] = {}
    for index, regions in _regions_by_chunk(statement, chunks).items():
        start = index * statement.chunk_size
        stop = min(start + statement.chunk_size, statement.size)
        explaining = [
            region
            for region in regions
            if region.name not in holders
            and (
                crcs.differs(region)
                if region.crc is not None
                else region.offset <= start and stop <= region.offset + region.size
            )
        ]
        named = [_readable(model, region.name) for region in explaining] or [
            f"{_readable(model, region.name)} (HDF5 structure)"
            for region in regions
            if region.name in holders
        ]
        parts.update(dict.fromkeys(named or [_structure_name(model)]))
    return tuple(parts)


def _regions_by_chunk(statement: Statement, chunks: list[int]) -> dict[int, list[Region]]:
    """The regions that each of the ``chunks`` (ascending) has bytes of.

    Parts of a model lie side by side, or one in another: where they are said to overlap beyond all
    measure the rest of the map is left out.
    """
    by_chunk: dict[int, list[Region]] = {index: [] for index in chunks}
    room = LIMITS.damage_overlaps
    for region in statement.regions:
        if region.size:
            last = (region.offset + region.size - 1) // statement.chunk_size
            low = bisect_left(chunks, region.offset // statement.chunk_size)
            hit = chunks[low : bisect_right(chunks, last)]
            room -= len(hit)
            if room < 0:
                break
            for index in hit:
                by_chunk[index].append(region)
    return by_chunk


def _holders(regions: tuple[Region, ...]) -> frozenset[str]:
    """The names of the HDF5 files whose variables are regions of their own."""
    outer = {region.name.partition(INSIDE)[0] for region in regions if INSIDE in region.name}
    return frozenset(name for name in outer if name.endswith(".h5"))


class _Crcs:
    """Whether regions still have the CRC that the seal states: each is read once, and no more bytes
    in all than the content has."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._room = content.size
        self._answers: dict[Region, bool] = {}

    def differs(self, region: Region) -> bool:
        """Whether the bytes of ``region`` are not those of its CRC; False where nobody can tell."""
        answer = self._answers.get(region)
        if answer is None:
            answer = self._answers[region] = self._computed(region)
        return answer

    def _computed(self, region: Region) -> bool:
        self._room -= region.size
        if self._room < 0:
            return False
        try:
            return crc32(self._content, region.offset, region.size) != region.crc
        except (DamagedFileError, OSError):
            return True


def _readable(model: SealedModel, name: str) -> str:
    """``layers/dense/vars/0``; in a set with the file before it."""
    if model.files is None:
        return name.rpartition(INSIDE)[2]
    member, _, variable = name.partition(INSIDE)
    with contextlib.suppress(MalformedSealError):
        member = file_set.shown(file_set.name_of(model.files.place, member))
    return f"{member}: {variable}" if variable else member


def _structure_name(model: SealedModel) -> str:
    return FORMATS[model.container].structure if model.files is None else "the model's files"


def _sentence(parts: tuple[str, ...]) -> str:
    named = ", ".join(parts[:_NAMED_AT_MOST])
    more = len(parts) - _NAMED_AT_MOST
    return f"{named} and {more} more" if more > 0 else named
