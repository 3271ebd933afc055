# SPDX-License-Identifier: Apache-2.0
"""Which files make up each kind of model that is more than one file, and where its seal lies.

A rule answers two questions: what of a directory is covered when it is sealed, and which unlisted
file a loader could read, so that it must not be there. Anything else beside the model (a README, a
licence, warm-up requests) is tolerated and reported.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from keras_integrity_hook.errors import DamagedFileError, LimitExceededError
from keras_integrity_hook.limits import LIMITS

SEAL_SUFFIX = ".seal"
SEAL_NAME = "keras_integrity.seal"
SIGNATURE_NAME = "model.sig"
"""A detached signature in a directory (OpenSSF Model Signing), which is made after the seal."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of set.

    Attributes:
        container: its name in a statement.
        whole_directory: the model is a directory; else it is files of one name in a directory.
        seal: the seal's path below the directory; for a stem, without the stem before it.
        is_read: whether a loader could read a file of this relative path (whole directories).
    """

    container: str
    whole_directory: bool
    seal: str
    is_read: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a set lies: its kind, its directory, and its stem ("" for a whole directory)."""

    kind: Kind
    directory: str
    stem: str

    @property
    def seal(self) -> str:
        """The seal's path below the directory."""
        return self.stem + self.kind.seal

    @property
    def path(self) -> str:
        """What a user calls it by: the directory, or the stem in it."""
        return os.path.join(self.directory, self.stem) if self.stem else self.directory

    def owns(self, name: str) -> bool:
        """Whether a file beside a set of one stem, by its name, is one that a save of it writes."""
        if name in (self.stem, self.seal):
            return True
        if self.kind is SIDECAR:
            return False
        if self.kind is KERAS_BACKUP:
            return name == _BACKUP_WEIGHTS
        shards = self.kind is KERAS_SHARDS
        stem = _shard_stem(self.stem) if shards else self.stem
        if not name.startswith(stem):
            return False
        return bool((_SHARD if shards else _CHECKPOINT_FILE).fullmatch(name[len(stem) :]))

    @property
    def head(self) -> str | None:
        """The file of a stem that its loader opens first; None for a whole directory."""
        if self.kind.whole_directory:
            return None
        return f"{self.stem}.index" if self.kind is TF_CHECKPOINT else self.stem


def _read_of_keras_directory(name: str) -> bool:
    # The upload to a hub draws a plot into assets/ after the save; no loader asks for it.
    name = name.casefold()
    top = {"config.json", "metadata.json", "model.weights.h5", "model.weights.npz"}
    return name in top or (name.startswith("assets/") and name != "assets/summary_plot.png")


def _read_of_saved_model(name: str) -> bool:
    name = name.casefold()
    top = {"fingerprint.pb", "keras_metadata.pb", *(f"saved_model.{x}" for x in _MODEL_SUFFIXES)}
    return name in top or name.startswith(("variables/", "assets/", "debug/"))


def _read_of_orbax(name: str) -> bool:
    return name != SIGNATURE_NAME


def _read_of_preset(name: str) -> bool:
    name = name.casefold()
    if name.startswith("assets/"):
        return True
    return "/" not in name and name.endswith((".json", ".weights.h5", ".weights.json.seal"))


def _never(name: str) -> bool:
    return False


_MODEL_SUFFIXES = ("pb", "pbtxt", "cpb")
KERAS_DIRECTORY = Kind("keras-directory", True, SEAL_NAME, _read_of_keras_directory)
SAVED_MODEL = Kind("saved-model", True, f"assets.extra/{SEAL_NAME}", _read_of_saved_model)
# A name of its own: a preset's files are named as those of an unzipped Keras model are.
KERAS_HUB_PRESET = Kind("keras-hub-preset", True, "keras_integrity_preset.seal", _read_of_preset)
ORBAX = Kind("orbax", True, SEAL_NAME, _read_of_orbax)
# What is handed to these loaders holds the listed files alone: no other file can be read.
KERAS_SHARDS = Kind("keras-shards", False, SEAL_SUFFIX, _never)
TF_CHECKPOINT = Kind("tf-checkpoint", False, SEAL_SUFFIX, _never)
KERAS_BACKUP = Kind("keras-backup", False, SEAL_SUFFIX, _never)
# A single file and the seal beside it: opened as a file, but put in place together as sets are.
SIDECAR = Kind("single-file", False, SEAL_SUFFIX, _never)
KINDS = {
    kind.container: kind
    for kind in (
        KERAS_DIRECTORY,
        KERAS_HUB_PRESET,
        SAVED_MODEL,
        ORBAX,
        KERAS_SHARDS,
        TF_CHECKPOINT,
        KERAS_BACKUP,
    )
}
_ORBAX_MARKS = (
    "_CHECKPOINT_METADATA",
    "commit_success.txt",
    "orbax.checkpoint",
    "pytree.orbax-checkpoint",
)
_BACKUP_METADATA, _BACKUP_WEIGHTS = "training_metadata.json", "latest.weights.h5"
_CHECKPOINT_FILE = re.compile(r"\.index|\.data-\d{5}-of-\d{5}")
_SHARD = re.compile(r"_\d{5,}\.weights\.h5")


def _shard_stem(index: str) -> str:
    return index.removesuffix(".json").replace(".weights", "")


def recognise(path: str) -> Place | None:
    """The set that ``path`` names by its form, or None; a seal alone does not make one."""
    parent, stem = os.path.split(path)
    if os.path.isdir(path):
        kind = _kind_of_directory(path)
        return Place(kind, path, "") if kind else None
    if stem.endswith(".weights.json"):
        return Place(KERAS_SHARDS, parent or ".", stem)
    if stem == _BACKUP_METADATA and os.path.lexists(os.path.join(parent, _BACKUP_WEIGHTS)):
        return Place(KERAS_BACKUP, parent or ".", stem)
    if stem and not os.path.lexists(path) and os.path.lexists(path + ".index"):
        return Place(TF_CHECKPOINT, parent or ".", stem)
    return None


def _kind_of_directory(path: str) -> Kind | None:
    def holds(*names: str) -> bool:
        return any(os.path.lexists(os.path.join(path, name)) for name in names)

    # A sealed directory that lost the file it is known by is still one of its kind: damaged.
    if holds(*(f"saved_model.{suffix}" for suffix in _MODEL_SUFFIXES), SAVED_MODEL.seal):
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
    if place.kind is KERAS_BACKUP:
        return [name for name in (place.stem, _BACKUP_WEIGHTS) if name in present]
    rest = [name.removeprefix(place.stem) for name in present if name.startswith(place.stem)]
    return [place.stem + end for end in rest if _CHECKPOINT_FILE.fullmatch(end)]


def shards_in(index: bytes) -> list[str]:
    """The file names in the index of sharded weights.

    Raises:
        DamagedFileError: it is not such an index, or names a file elsewhere.
        LimitExceededError: it names more files than a set may have.
    """
    try:
        weight_map = json.loads(index)["weight_map"]
        named = [v if isinstance(v, list) else [v] for v in weight_map.values()]
        names = sorted({str(name) for some in named for name in some})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedFileError("the index of the weights is not one that Keras wrote") from error
    if len(names) > LIMITS.set_files:
        raise LimitExceededError(f"the index of the weights names {len(names)} files")
    if any("/" in name or name in ("", ".", "..") for name in names):
        raise DamagedFileError("the index of the weights names a file outside its directory")
    return names
