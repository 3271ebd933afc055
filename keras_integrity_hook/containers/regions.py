# SPDX-License-Identifier: Apache-2.0
"""The map of names to byte ranges that a seal carries, made when the content is known good."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from keras_integrity_hook.containers import hdf5_map
from keras_integrity_hook.containers.layout import Layout
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.sealing.statement import Region

INSIDE = "!/"


def name_regions(layout: Layout, chunk_size: int) -> tuple[Region, ...]:
    """ZIP members and HDF5 variables with their ranges in the original content (bytes)."""
    if layout.container == "hdf5":
        found = list(hdf5_map.datasets(layout.content, 0, layout.content.size))
    else:
        found = []
        for member in layout.members:
            found.append(member)
            if member.name.endswith(".h5"):
                inner = hdf5_map.datasets(layout.content, member.offset, member.size)
                found += [one._replace(name=f"{member.name}{INSIDE}{one.name}") for one in inner]
    kept = _within_limits(found)
    named = [piece for one in kept for piece in _with_crcs(layout.content, one, chunk_size)]
    return tuple(sorted(named, key=lambda one: (one.offset, -one.size)))


def _within_limits(found: list[Region]) -> list[Region]:
    """As many as the seal has room for; what is left out is only not named when damaged."""
    kept = []
    text = 0
    for one in found[: LIMITS.regions]:
        text += len(one.name.encode())
        if text > LIMITS.region_names:
            break
        kept.append(one)
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
            crc = zlib.crc32(content.read(start, end - start))
            yield Region(region.name, start, end - start, crc)
