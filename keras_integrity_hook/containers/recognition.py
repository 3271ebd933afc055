# SPDX-License-Identifier: Apache-2.0
"""Which set of files a path names, by what lies there."""

from __future__ import annotations

import os

from keras_integrity_hook.containers.kinds import (
    BACKUP_METADATA,
    BACKUP_WEIGHTS,
    KERAS_BACKUP,
    KERAS_DIRECTORY,
    KERAS_HUB_PRESET,
    KERAS_SHARDS,
    MODEL_SUFFIXES,
    ORBAX,
    SAVED_MODEL,
    TF_CHECKPOINT,
    Kind,
    Place,
)
from keras_integrity_hook.limits import LIMITS

_ORBAX_MARKS = (
    "_CHECKPOINT_METADATA",
    "commit_success.txt",
    "orbax.checkpoint",
    "pytree.orbax-checkpoint",
)


def recognise(path: str) -> Place | None:
    """The set that ``path`` names by its form, or None; a seal alone does not make one."""
    parent, stem = os.path.split(path)
    if os.path.isdir(path):
        kind = _kind_of_directory(path)
        return Place(kind, path, "") if kind else None
    if stem.endswith(".weights.json"):
        return Place(KERAS_SHARDS, parent or ".", stem)
    if stem == BACKUP_METADATA and os.path.lexists(os.path.join(parent, BACKUP_WEIGHTS)):
        return Place(KERAS_BACKUP, parent or ".", stem)
    if stem and not os.path.lexists(path) and os.path.lexists(path + ".index"):
        return Place(TF_CHECKPOINT, parent or ".", stem)
    return None


def _kind_of_directory(path: str) -> Kind | None:
    def holds(*names: str) -> bool:
        return any(os.path.lexists(os.path.join(path, name)) for name in names)

    # A sealed directory that lost the file it is known by is still one of its kind: damaged.
    if holds(*(f"saved_model.{suffix}" for suffix in MODEL_SUFFIXES), SAVED_MODEL.seal):
        return SAVED_MODEL
    if holds(*_ORBAX_MARKS):
        return ORBAX
    if holds(KERAS_HUB_PRESET.seal):
        return KERAS_HUB_PRESET
    if not holds(KERAS_DIRECTORY.seal) and _is_unsealed_preset(path):
        return KERAS_HUB_PRESET
    if holds("config.json", KERAS_DIRECTORY.seal):
        return KERAS_DIRECTORY
    return None


def _is_unsealed_preset(path: str) -> bool:
    # Its files are named as those of an unzipped Keras model are, so its metadata has to tell.
    try:
        fd = os.open(os.path.join(path, "metadata.json"), os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return b'"keras_hub_version"' in os.read(fd, LIMITS.small_member)
    except OSError:
        return False
    finally:
        os.close(fd)
