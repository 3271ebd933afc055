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
SIGNATURE_SUFFIX = ".sig"
"""The same beside a model."""
SUMMARIES_SUFFIX = ".vsa.intoto.jsonl"
"""What vetters say of a model, beside it: in-toto's name for attestations, one on a line."""
VOUCHERS = (SIGNATURE_SUFFIX, SUMMARIES_SUFFIX)
"""How the names of files end that vouch for a model beside them."""
GRAPHS = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")
"""One of these holds the graph of a SavedModel."""
BACKUP_METADATA, BACKUP_WEIGHTS = "training_metadata.json", "latest.weights.h5"
CHECKPOINT_FILE = re.compile(r"\.index|\.data-\d{5}-of-\d{5}")
_SHARD = re.compile(r"_\d{5,}\.weights\.h5")


def _never(name: str) -> bool:
    return False


def _nothing_else(stem: str, name: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of set.

    Attributes:
        container: its name in a statement.
        whole_directory: the model is a directory; else it is files of one name in a directory.
        seal: the seal's path below the directory; for a stem, what follows the stem in its name.
        heads: the files whose presence says that the model is there whole: its loader opens one of
            them first, so they are written last and removed first. Spelt as ``seal`` is.
        is_read: of a whole directory, whether a loader could read a file of this relative path.
        is_written: of a stem, whether a save of it writes the file of this name, given the stem.
        of_weights: it holds nothing but weights, of which nothing is run.
        loader: the package that loads it in a sandbox, see ``isolation.hosts``; empty where none
            can by itself.
    """

    container: str
    whole_directory: bool
    seal: str
    heads: tuple[str, ...]
    is_read: Callable[[str], bool] = _never
    is_written: Callable[[str, str], bool] = _nothing_else
    of_weights: bool = False
    loader: str = "keras"


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

    @property
    def heads(self) -> tuple[str, ...]:
        """The names below the directory of the kind's ``heads``."""
        return tuple(self.stem + name for name in self.kind.heads)

    @property
    def head(self) -> str | None:
        """The file of a stem that its loader opens first; None for a whole directory."""
        return None if self.kind.whole_directory else self.heads[0]

    def owns(self, name: str) -> bool:
        """Whether a file beside a set of one stem, by its name, is one that a save of it writes."""
        return name in (self.stem, self.seal) or self.kind.is_written(self.stem, name)


def _read_of_keras_directory(name: str) -> bool:
    # The upload to a hub draws a plot into assets/ after the save; no loader asks for it.
    name = name.casefold()
    top = {"config.json", "metadata.json", "model.weights.h5", "model.weights.npz"}
    return name in top or (name.startswith("assets/") and name != "assets/summary_plot.png")


def _read_of_saved_model(name: str) -> bool:
    name = name.casefold()
    top = {"fingerprint.pb", "keras_metadata.pb", *GRAPHS}
    return name in top or name.startswith(("variables/", "assets/", "debug/"))


def _read_of_orbax(name: str) -> bool:
    return name != SIGNATURE_NAME


def _read_of_preset(name: str) -> bool:
    name = name.casefold()
    if name.startswith("assets/"):
        return True
    return "/" not in name and name.endswith((".json", ".weights.h5", ".weights.json.seal"))


def _written_for_shards(index: str, name: str) -> bool:
    stem = index.removesuffix(".json").replace(".weights", "")
    return name == index or bool(name.startswith(stem) and _SHARD.fullmatch(name[len(stem) :]))


def _written_for_checkpoint(prefix: str, name: str) -> bool:
    return bool(name.startswith(prefix) and CHECKPOINT_FILE.fullmatch(name[len(prefix) :]))


def _written_for_backup(metadata: str, name: str) -> bool:
    return name in (metadata, BACKUP_WEIGHTS)


KERAS_DIRECTORY = Kind(
    *("keras-directory", True, SEAL_NAME),
    heads=("config.json",),
    is_read=_read_of_keras_directory,
)
SAVED_MODEL = Kind(
    *("saved-model", True, f"assets.extra/{SEAL_NAME}"),
    heads=GRAPHS,
    is_read=_read_of_saved_model,
    loader="tensorflow",
)
KERAS_HUB_PRESET = Kind(
    # A name of its own: a preset's files are named as those of an unzipped Keras model are.
    *("keras-hub-preset", True, "keras_integrity_preset.seal"),
    heads=("metadata.json", "config.json"),
    is_read=_read_of_preset,
    loader="",
)
ORBAX = Kind(
    *("orbax", True, SEAL_NAME),
    heads=(
        "commit_success.txt",  # which goes up last: where Orbax writes it, it asks for nothing else
        "_CHECKPOINT_METADATA",
        "orbax.checkpoint",
        "pytree.orbax-checkpoint",
    ),
    is_read=_read_of_orbax,
)
# What is handed to these loaders holds the listed files alone: no other file can be read.
KERAS_SHARDS = Kind(
    *("keras-shards", False, SEAL_SUFFIX),
    heads=("",),
    is_written=_written_for_shards,
    of_weights=True,
)
TF_CHECKPOINT = Kind(
    *("tf-checkpoint", False, SEAL_SUFFIX),
    heads=(".index",),
    is_written=_written_for_checkpoint,
    of_weights=True,
)
KERAS_BACKUP = Kind(
    *("keras-backup", False, SEAL_SUFFIX),
    heads=("",),
    is_written=_written_for_backup,
    of_weights=True,
)
# A single file and the seal beside it: opened as a file, but put in place together as sets are.
SIDECAR = Kind("single-file", False, SEAL_SUFFIX, heads=("",))
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
"""By their names in a statement."""


def beside(name: str) -> tuple[str, ...]:
    """The names of files that, in its directory, say something of the single file ``name``."""
    return (*(name + end for end in (SEAL_SUFFIX, *VOUCHERS)), SIGNATURE_NAME)
