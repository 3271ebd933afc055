# SPDX-License-Identifier: Apache-2.0
"""The map of names to byte ranges that a seal carries, made when the content is known good."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from keras_integrity_hook.containers import hdf5, hdf5_map
from keras_integrity_hook.containers.layout import Layout
from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.sealing import text
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.sealing.statement import Region

INSIDE = "!/"


def name_regions(layout: Layout, chunk_size: int) -> tuple[Region, ...]:
    """ZIP members and HDF5 variables with their ranges in the original content (bytes)."""
    kept = _within_limits(_named(layout), layout.content.size)
    pieces = [piece for one in kept for piece in _with_crcs(layout.content, one, chunk_size)]
    return tuple(sorted(pieces, key=lambda one: (one.offset, -one.size)))


def crc32(content: Content, offset: int, size: int) -> int:
    """The CRC-32 of ``size`` bytes from ``offset``, read in pieces: chunks may be gigabytes.

    Raises:
        DamagedFileError: the content ends before that. OSError: it cannot be read.
    """
    crc = 0
    stop = offset + size
    while offset < stop:
        piece = content.read(offset, min(MIB, stop - offset))
        crc = zlib.crc32(piece, crc)
        offset += len(piece)
    return crc


def _named(layout: Layout) -> Iterator[Region]:
    budget = hdf5_map.Budget()
    if layout.container == hdf5.CONTAINER:
        yield from hdf5_map.datasets(layout.content, 0, layout.content.size, budget)
        return
    for member in layout.members:
        yield member
        if member.name.endswith(".h5"):
            for one in hdf5_map.datasets(layout.content, member.offset, member.size, budget):
                yield one._replace(name=f"{member.name}{INSIDE}{one.name}")


def _within_limits(named: Iterable[Region], size: int) -> list[Region]:
    """As many as the seal has room for; what is left out is only not named when damaged.

    Args:
        size: of the content, in bytes. Each byte lies in a member and in a variable at most; in
            crafted HDF5 thousands of variables may share the same bytes.
    """
    kept: list[Region] = []
    spelt = covered = 0
    for one in named:
        shown = one._replace(name=text.escaped(one.name))
        spelt += len(shown.name.encode())
        covered += one.size
        full = len(kept) >= LIMITS.regions or spelt > LIMITS.region_names
        if full or covered > LIMITS.region_layers // 2 * size:
            break
        kept.append(shown)
    return kept


def _with_crcs(content: Content, region: Region, chunk_size: int) -> Iterator[Region]:
    """The region, and CRCs of what of it shares a chunk with others: the table tells the rest.

    A region that fills chunks of its own is followed by its two ends under the same name.
    """
    stop = region.offset + region.size
    head_stop = min(-(-region.offset // chunk_size) * chunk_size, stop)
    tail_start = max(stop // chunk_size * chunk_size, head_stop)
    if head_stop == tail_start:  # no whole chunk in between
        pieces = [(region.offset, stop)]
    else:
        yield region
        pieces = [(region.offset, head_stop), (tail_start, stop)]
    for start, end in pieces:
        if start < end:
            yield Region(region.name, start, end - start, crc32(content, start, end - start))
