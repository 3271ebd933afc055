# SPDX-License-Identifier: Apache-2.0
"""Which files of a directory a seal made now has to cover, by their names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from keras_integrity_hook.containers.kinds import KERAS_SHARDS, Place
from keras_integrity_hook.errors import DamagedFileError, LimitExceededError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import canonical


def members_of(place: Place, present: list[str], read: Callable[[str], bytes]) -> list[str]:
    """The names of ``present`` (relative to the directory) that a seal made now has to cover.

    Args:
        read: gives the bytes of one of them (at most ``LIMITS.shard_index``).

    Raises:
        DamagedFileError, LimitExceededError: the index that names the files is not one.
    """
    if place.kind.whole_directory:
        return [name for name in present if name != place.seal and place.kind.is_read(name)]
    if place.kind is KERAS_SHARDS:
        return [place.stem, *shards_in(read(place.stem))]
    return [name for name in present if place.kind.is_written(place.stem, name)]


def shards_in(index: bytes) -> list[str]:
    """The file names in the index of sharded weights.

    Raises:
        DamagedFileError: it is not such an index, or names a file elsewhere.
        LimitExceededError: it spells more values, or names more files, than a set may have.
    """
    canonical.refuse_crowded(index, "index of the weights")
    try:
        weight_map = json.loads(index)["weight_map"]
        named = [v if isinstance(v, list) else [v] for v in weight_map.values()]
        names = sorted({os.fsdecode(os.fsencode(name)) for group in named for name in group})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedFileError("the index of the weights is not one that Keras wrote") from error
    if len(names) > LIMITS.set_files:
        raise LimitExceededError(f"the index of the weights names {len(names)} files")
    if any(len(name) > LIMITS.set_name for name in names):
        raise LimitExceededError("the index of the weights names a file with too long a name")
    if any("/" in name or "\0" in name or name in ("", ".", "..") for name in names):
        raise DamagedFileError("the index of the weights names a file outside its directory")
    return names
