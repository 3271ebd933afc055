# SPDX-License-Identifier: Apache-2.0
"""Which sets of files a path names, by what lies there.

A directory is a set where all is there that such a set cannot do without, or where its seal is, or
a detached signature with some of it: a file called ``config.json`` is in half of all directories,
and a set that lost a file is damaged. What a set is taken for decides nothing about the files
beside it (see ``fleet.discovery``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from keras_integrity_hook.containers.kinds import (
    BACKUP_METADATA,
    BACKUP_WEIGHTS,
    CHECKPOINT_FILE,
    KERAS_BACKUP,
    KERAS_DIRECTORY,
    KERAS_HUB_PRESET,
    KERAS_SHARDS,
    MODEL_SUFFIXES,
    ORBAX,
    SAVED_MODEL,
    SIGNATURE_NAME,
    TF_CHECKPOINT,
    Kind,
    Place,
)
from keras_integrity_hook.files import portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import LIMITS

_ORBAX_MARKS = (
    "_CHECKPOINT_METADATA",
    "commit_success.txt",
    "orbax.checkpoint",
    "pytree.orbax-checkpoint",
)
# What holds values in an Orbax checkpoint: in it, or in the directory of one of its items.
_ORBAX_VALUES = ("_METADATA", "manifest.ocdbt", "checkpoint", "metadata", "_sharding", "d")
_KERAS_FILES = ("config.json", "metadata.json")
_KERAS_WEIGHTS = ("model.weights.h5", "model.weights.npz")


def recognise(path: str) -> Place | None:
    """The set that ``path`` names; the first where a directory is several, None where it is none.

    A named stem (the index of shards, the prefix of a checkpoint) is taken by its form alone.
    """
    if os.path.isdir(path):
        kind = next(_kinds_of_directory(path), None)
        return None if kind is None else Place(kind, path, "")
    parent, stem = os.path.split(path)
    if stem.endswith(".weights.json"):
        return Place(KERAS_SHARDS, parent or ".", stem)
    if stem == BACKUP_METADATA and os.path.lexists(os.path.join(parent, BACKUP_WEIGHTS)):
        return Place(KERAS_BACKUP, parent or ".", stem)
    if stem and not os.path.lexists(path) and os.path.lexists(path + ".index"):
        return Place(TF_CHECKPOINT, parent or ".", stem)
    return None


def sets_in_directory(path: str) -> list[Place]:
    """Everything that the directory ``path`` is, as a whole: two kinds may lie in one."""
    return [Place(kind, path, "") for kind in _kinds_of_directory(path)]


def stems_among(folder: str, names: list[str]) -> Iterator[Place]:
    """The sets of one stem in the directory ``folder``, which holds the files ``names``."""
    present = set(names)
    for name in names:
        if name.endswith(".weights.json"):
            yield Place(KERAS_SHARDS, folder, name)
        elif name == BACKUP_METADATA and BACKUP_WEIGHTS in present:
            yield Place(KERAS_BACKUP, folder, name)
    for stem in {name.removesuffix(".index") for name in names if name.endswith(".index")}:
        # Indexes of other programs end so, too: what has values or a seal is a checkpoint.
        place = Place(TF_CHECKPOINT, folder, stem)
        if stem and stem not in present and (place.seal in present or _has_data(stem, names)):
            yield place


def _has_data(stem: str, names: list[str]) -> bool:
    rest = (name[len(stem) :] for name in names if name.startswith(stem + ".data-"))
    return any(CHECKPOINT_FILE.fullmatch(end) for end in rest)


def _kinds_of_directory(path: str) -> Iterator[Kind]:
    def holds(*names: str) -> bool:
        return any(os.path.lexists(os.path.join(path, name)) for name in names)

    # A SavedModel is what has this file: TensorFlow asks for no other.
    if holds(*(f"saved_model.{suffix}" for suffix in MODEL_SUFFIXES), SAVED_MODEL.seal):
        yield SAVED_MODEL
    has_seal = holds(KERAS_DIRECTORY.seal)  # and that of an Orbax checkpoint
    is_orbax = holds(*_ORBAX_MARKS) and (has_seal or _has_orbax_values(path))
    if is_orbax:
        yield ORBAX
    is_preset = holds(KERAS_HUB_PRESET.seal) or (not has_seal and _is_unsealed_preset(path))
    if is_preset:
        yield KERAS_HUB_PRESET
    is_whole = all(map(holds, _KERAS_FILES)) and holds(*_KERAS_WEIGHTS)
    is_signed = holds(SIGNATURE_NAME) and holds(*_KERAS_FILES, *_KERAS_WEIGHTS)
    is_sealed = has_seal and not is_orbax and not _holds_seal_of_saved_model(path)
    if ((is_whole or is_signed) and not is_preset) or is_sealed:
        yield KERAS_DIRECTORY


def _holds_seal_of_saved_model(path: str) -> bool:
    """Whether ``path`` is where the SavedModel that is the directory above it keeps its seal."""
    try:
        return os.path.samefile(
            os.path.join(path, KERAS_DIRECTORY.seal), os.path.join(path, "..", SAVED_MODEL.seal)
        )
    except OSError:
        return False


def _has_orbax_values(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return False
    return any(
        os.path.lexists(os.path.join(folder, name))
        for folder in (path, *below)
        for name in _ORBAX_VALUES
    )


def _is_unsealed_preset(path: str) -> bool:
    # Its files are named as those of an unzipped Keras model are, so its metadata has to tell.
    try:
        fd = system.open(os.path.join(path, "metadata.json"), os.O_RDONLY | portable.O_NONBLOCK)
    except OSError:
        return False
    try:
        return b'"keras_hub_version"' in os.read(fd, LIMITS.small_member)
    except OSError:
        return False
    finally:
        os.close(fd)
