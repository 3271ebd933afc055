# SPDX-License-Identifier: Apache-2.0
"""Weights that are loaded by themselves although they are one file of a set.

``load_weights("dir/model.weights.h5")`` reads a file of an unzipped model, and a shard can be named
as any file can. Such a file has no seal: the set's covers it. So the set is checked, and the rules
for the set hold as well as those for the file. A file that was saved by itself since then, over the
old one, has a seal of its own and is judged by that.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

from keras_integrity_hook.containers.kinds import (
    KERAS_DIRECTORY,
    KERAS_HUB_PRESET,
    KERAS_SHARDS,
    Place,
)
from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.verification import verified_directory

_SHARD = re.compile(r"(.+)_\d{5}\.weights\.h5")


@contextlib.contextmanager
def checked_with_its_set(path: str | None) -> Iterator[str | None]:
    """Where to load the weights at ``path`` from: a checked copy, or there if in no sealed set.

    Raises:
        IntegrityError: the set is not what its seal says, or the policy does not admit it.
    """
    place = None if path is None or verified_directory.is_verified(path) else _set_of(path)
    if path is None or place is None or _has_seal(path):
        yield path
        return
    folder, name = os.path.split(path)
    whole = os.path.join(folder, place.stem) if place.stem else folder or "."
    with load.verified_set(whole, place, named=path) as checked:
        is_covered = checked is not None and name in checked.names
        yield os.path.join(checked.path, name) if checked is not None and is_covered else path


def _set_of(path: str) -> Place | None:
    folder, name = os.path.split(path)
    shard = _SHARD.fullmatch(name)
    places = [
        Place(kind, folder or ".", "")
        for kind in (KERAS_DIRECTORY, KERAS_HUB_PRESET)
        if kind.is_read(name)
    ]
    if shard is not None:
        places.append(Place(KERAS_SHARDS, folder or ".", f"{shard[1]}.weights.json"))
    return next((place for place in places if _is_sealed(place)), None)


def _is_sealed(place: Place) -> bool:
    return os.path.lexists(os.path.join(place.directory, place.seal))


def _has_seal(path: str) -> bool:
    try:
        with open_model(path) as model:
            return model.seal is not None
    except IntegrityError:
        return True  # whatever is wrong with it is said where it is loaded
    except OSError:
        return True
