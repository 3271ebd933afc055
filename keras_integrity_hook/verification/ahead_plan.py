# SPDX-License-Identifier: Apache-2.0
"""What of a model may be verified ahead of its reader, and what before anything is read of it.

Configuration, names, shapes and archives' directories are verified before anything is parsed. What
remains are the numbers: the chunks of which every byte is one variable's, by the map in the seal.
A map that lies loses nothing: what is not verified before is verified when it is read.
"""

from __future__ import annotations

from keras_integrity_hook.containers import hdf5
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.containers.regions import INSIDE
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import tree


def chunks_of_data(model: SealedModel) -> bytes:
    """For each chunk of ``model`` 1 if it holds numbers of one variable alone, else 0."""
    statement = model.seal.statement
    size = statement.chunk_size
    found = bytearray(tree.chunk_count(statement.size, size))
    for region in statement.regions:
        first, stop = -(-region.offset // size), (region.offset + region.size) // size
        is_variable = INSIDE in region.name or model.container == hdf5.CONTAINER
        if is_variable and first < stop:
            found[first:stop] = b"\1" * (stop - first)
    return bytes(found)


def fits(model: SealedModel) -> bool:
    """Whether chunks of ``model`` are small enough to be held in memory, some at a time."""
    return model.seal.statement.chunk_size <= LIMITS.ahead_unleased // 4
