# SPDX-License-Identifier: Apache-2.0
"""Which files make up each kind of model that is more than one file, and where its seal lies.

A rule answers two questions: what of a directory is covered when it is sealed, and which unlisted
file a loader could read, so that it must not be there. Anything else beside the model (a README, a
licence, warm-up requests) is tolerated and reported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

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
            return name == BACKUP_WEIGHTS
        shards = self.kind is KERAS_SHARDS
        stem = _shard_stem(self.stem) if shards else self.stem
        if not name.startswith(stem):
            return False
        return bool((_SHARD if shards else CHECKPOINT_FILE).fullmatch(name[len(stem) :]))

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
    top = {"fingerprint.pb", "keras_metadata.pb", *(f"saved_model.{x}" for x in MODEL_SUFFIXES)}
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


MODEL_SUFFIXES = ("pb", "pbtxt", "cpb")
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
OF_WEIGHTS = frozenset(kind.container for kind in (KERAS_SHARDS, TF_CHECKPOINT, KERAS_BACKUP))
"""Containers of weights alone, of which nothing is run."""
BACKUP_METADATA, BACKUP_WEIGHTS = "training_metadata.json", "latest.weights.h5"
CHECKPOINT_FILE = re.compile(r"\.index|\.data-\d{5}-of-\d{5}")
_SHARD = re.compile(r"_\d{5,}\.weights\.h5")


def _shard_stem(index: str) -> str:
    return index.removesuffix(".json").replace(".weights", "")
