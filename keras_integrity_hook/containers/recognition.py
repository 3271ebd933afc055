# SPDX-License-Identifier: Apache-2.0
"""Which sets of files a path names, by what lies there.

A directory is a set where all is there that such a set cannot do without, or where its seal is, or
a detached signature with some of it: a file called ``config.json`` is in half of all directories,
and a set that lost a file is damaged. What a set is taken for decides nothing about the files
beside it (see ``fleet.discovery``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from keras_integrity_hook.containers.kinds import (
    BACKUP_METADATA,
    BACKUP_WEIGHTS,
    CHECKPOINT_FILE,
    KERAS_BACKUP,
    KERAS_DIRECTORY,
    KERAS_HUB_PRESET,
    KERAS_SHARDS,
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

# What holds values in an Orbax checkpoint: in it, or in the directory of one of its items.
_ORBAX_VALUES = ("_METADATA", "manifest.ocdbt", "checkpoint", "metadata", "_sharding", "d")
_KERAS_FILES = ("config.json", "metadata.json")
_KERAS_WEIGHTS = ("model.weights.h5", "model.weights.npz")


class Folder(Protocol):
    """A directory, local or in a store, as far as it tells which sets it is."""

    def holds(self, *names: str) -> bool:
        """Whether one of ``names``, relative paths, is in it."""

    def folders(self) -> Iterable[str]:
        """The names of the directories in it, links aside."""

    def head(self, name: str) -> bytes:
        """How the file ``name`` in it begins; empty where it cannot be read."""

    def holds_seal_of_saved_model(self) -> bool:
        """Whether it is where the SavedModel that is the directory above it keeps its seal."""


def recognise(path: str) -> Place | None:
    """The set that ``path`` names; the first where a directory is several, None where it is none.

    A named stem (the index of shards, the prefix of a checkpoint) is taken by its form alone.
    """
    if os.path.isdir(path):
        kind = next(_kinds_of_directory(path), None)
        return None if kind is None else Place(kind, path, "")
    parent, stem = os.path.split(path)
    kind = kind_of_stem(stem, lambda name: os.path.lexists(os.path.join(parent, name)))
    return None if kind is None else Place(kind, parent or ".", stem)


def kind_of_stem(stem: str, is_there: Callable[[str], bool]) -> Kind | None:
    """The set that ``stem`` names among the files of a directory, which is asked about each name;
    None where it is none."""
    if stem.endswith(".weights.json"):
        return KERAS_SHARDS
    if stem == BACKUP_METADATA and is_there(BACKUP_WEIGHTS):
        return KERAS_BACKUP
    if stem and not is_there(stem) and is_there(stem + ".index"):
        return TF_CHECKPOINT
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


def kinds_of(folder: Folder) -> Iterator[Kind]:
    """Everything that ``folder`` is, as a whole; see the module."""
    holds = folder.holds
    # A SavedModel is what has this file: TensorFlow asks for no other.
    if holds(*SAVED_MODEL.heads, SAVED_MODEL.seal):
        yield SAVED_MODEL
    has_seal = holds(KERAS_DIRECTORY.seal)  # and that of an Orbax checkpoint
    is_orbax = holds(*ORBAX.heads) and (has_seal or _has_orbax_values(folder))
    if is_orbax:
        yield ORBAX
    is_preset = holds(KERAS_HUB_PRESET.seal) or (not has_seal and _is_unsealed_preset(folder))
    if is_preset:
        yield KERAS_HUB_PRESET
    is_whole = all(map(holds, _KERAS_FILES)) and holds(*_KERAS_WEIGHTS)
    is_signed = holds(SIGNATURE_NAME) and holds(*_KERAS_FILES, *_KERAS_WEIGHTS)
    is_sealed = has_seal and not is_orbax and not folder.holds_seal_of_saved_model()
    if ((is_whole or is_signed) and not is_preset) or is_sealed:
        yield KERAS_DIRECTORY


def _has_orbax_values(folder: Folder) -> bool:
    return folder.holds(*_ORBAX_VALUES) or any(
        folder.holds(*(f"{below}/{name}" for name in _ORBAX_VALUES)) for below in folder.folders()
    )


def _is_unsealed_preset(folder: Folder) -> bool:
    # Its files are named as those of an unzipped Keras model are, so its metadata has to tell.
    return b'"keras_hub_version"' in folder.head("metadata.json")


def _kinds_of_directory(path: str) -> Iterator[Kind]:
    return kinds_of(_LocalFolder(path))


class _LocalFolder:
    """See :class:`Folder`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def holds(self, *names: str) -> bool:
        return any(os.path.lexists(os.path.join(self._path, name)) for name in names)

    def folders(self) -> Iterable[str]:
        try:
            with os.scandir(self._path) as entries:
                return [one.name for one in entries if one.is_dir(follow_symlinks=False)]
        except OSError:
            return []

    def head(self, name: str) -> bytes:
        try:
            path = os.path.join(self._path, name)
            fd = system.open(path, os.O_RDONLY | portable.O_NONBLOCK)
        except OSError:
            return b""
        try:
            return os.read(fd, LIMITS.small_member)
        except OSError:
            return b""
        finally:
            os.close(fd)

    def holds_seal_of_saved_model(self) -> bool:
        try:
            return os.path.samefile(
                os.path.join(self._path, KERAS_DIRECTORY.seal),
                os.path.join(self._path, "..", SAVED_MODEL.seal),
            )
        except OSError:
            return False
