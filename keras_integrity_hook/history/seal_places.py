# SPDX-License-Identifier: Apache-2.0
"""Where the seal of what is remembered would be, and whether what is there is still the same."""

from __future__ import annotations

import os

from keras_integrity_hook.containers.kinds import KINDS, Place
from keras_integrity_hook.files import local_copies
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.history.seen import FILE
from keras_integrity_hook.sealing.statement import FILES

Identity = tuple[int, ...]
"""Which file it is, and in which state: device, inode, size, time of the last change (ns)."""


def kind_of(container: str) -> str:
    """What a model in ``container`` is remembered as."""
    return FILE if container in FILES else container


def seal_place(path: str, kind: str) -> str:
    """Where the seal of a model of this kind at ``path`` is looked for: a single file itself."""
    form = KINDS.get(kind)
    if form is None:
        return path
    folder, stem = (path, "") if form.whole_directory else os.path.split(path)
    return place_of_seal(Place(form, folder, stem))


def place_of_seal(place: Place) -> str:
    """Where the seal of a set is."""
    return os.path.join(place.directory, place.seal)


def is_sealed_as(path: str, kind: str) -> bool:
    """Whether something lies where the seal of such a model at ``path`` would."""
    where = local_copies.copy_of(seal_place(path, kind))
    return os.path.isfile(where) if kind == FILE else os.path.lexists(where)


def identity_at(path: str) -> Identity | None:
    """The file at ``path``, or the copy of a URL that is here; None for none."""
    try:
        return identity_of(system.stat(local_copies.copy_of(path)))
    except (OSError, ValueError):
        return None


def identity_of(status: os.stat_result) -> Identity:
    """The file of which ``status`` tells."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def is_same(one: Identity | None, other: Identity | None) -> bool:
    """Whether it is one file, whatever else became of it: attributes are carried over."""
    return one == other or (one is not None and other is not None and one[:2] == other[:2])
