# SPDX-License-Identifier: Apache-2.0
"""The map of names to byte ranges that a seal carries, made when the content is known good."""

from __future__ import annotations

import zlib

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
    named = [_with_crc(layout.content, one, chunk_size) for one in kept]
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


def _with_crc(content: Content, region: Region, chunk_size: int) -> Region:
    # A larger region holds at least one chunk of its own, or most of one: the table locates it.
    if region.size >= chunk_size:
        return region
    return region._replace(crc=zlib.crc32(content.read(region.offset, region.size)))
