# SPDX-License-Identifier: Apache-2.0
"""What of a model may be verified ahead of its reader, and what before anything is read of it.

Configuration, names, shapes and archives' directories are verified before anything is parsed. What
remains are the numbers: the chunks of which every byte is one variable's, by the map in the seal.
A map that lies loses nothing: what is not verified before is verified when it is read.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from keras_integrity_hook.containers import hdf5, kinds
from keras_integrity_hook.containers.file_set import OpenSet, Part
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.containers.regions import INSIDE
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import tree


def chunks_of_data(model: SealedModel) -> bytes:
    """For each chunk of ``model`` 1 if it holds numbers of one variable alone, else 0."""
    statement = model.seal.statement
    size = statement.chunk_size
    starts, stops = _ranges(model)
    found = bytearray(tree.chunk_count(statement.size, size))
    for region in statement.regions:
        first, stop = -(-region.offset // size), (region.offset + region.size) // size
        is_variable = INSIDE in region.name or model.container == hdf5.CONTAINER
        at = bisect_right(starts, region.offset) - 1
        is_ours = at >= 0 and region.offset + region.size <= stops[at]
        if is_variable and is_ours and first < stop:
            found[first:stop] = b"\1" * (stop - first)
    return bytes(found)


def is_read_by_us(files: OpenSet, part: Part) -> bool:
    """Whether Keras gets the bytes of ``part`` of a set from a file object of ours alone: the
    weights in HDF5. What else there is, is opened by its path by whoever likes."""
    if files.place.kind is kinds.KERAS_DIRECTORY:
        return part.name == "model.weights.h5"
    return files.place.kind is kinds.KERAS_SHARDS and part.name.endswith(".weights.h5")


def _ranges(model: SealedModel) -> tuple[list[int], list[int]]:
    """Where the bytes that may be verified ahead begin and end, in order."""
    files = model.files
    if files is None:
        return [0], [model.content.size]
    stops = list(accumulate(part.content.size for part in files.parts))
    ours = [
        (stop - part.content.size, stop)
        for part, stop in zip(files.parts, stops, strict=True)
        if is_read_by_us(files, part)
    ]
    return [start for start, _ in ours], [stop for _, stop in ours]


def fits(model: SealedModel) -> bool:
    """Whether chunks of ``model`` are small enough to be held in memory, some at a time."""
    return model.seal.statement.chunk_size <= LIMITS.ahead_unleased // 4
