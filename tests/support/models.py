# SPDX-License-Identifier: Apache-2.0
"""Small real files for the tests that need no Keras, and ways to damage them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from keras_integrity_hook.containers.formats import FORMATS, HDF5


def hdf5_bytes(rows: int = 8) -> bytes:
    """What Keras's weight store writes: groups of layers with float32 datasets."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for layer in ("dense", "dense_1"):
            group = file.create_group(f"layers/{layer}/vars")
            group["0"] = np.arange(rows * 16, dtype="float32").reshape(rows, 16)
            group["1"] = np.ones(16, dtype="float32")
    return buffer.getvalue()


def archive_bytes(
    weights: bytes | None = None,
    config: bytes = b'{"class_name": "Sequential"}',
    metadata: bytes = b'{"keras_version": "3.15.1"}',
) -> bytes:
    """What ``model.save`` writes: three stored members. The same bytes whenever it is asked, so
    without the time."""
    members = {
        "metadata.json": metadata,
        "config.json": config,
        "model.weights.h5": hdf5_bytes() if weights is None else weights,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


class Sample(NamedTuple):
    """A small unsealed model.

    Attributes:
        name: what it is called, in its directory.
        files: the bytes of its files, by their names below ``name`` where that is a directory.
        is_directory: whether it is.
    """

    name: str
    files: dict[str, bytes]
    is_directory: bool = False

    def write(self, directory: Path) -> Path:
        """Put it into ``directory``; the path that it is called by."""
        for name, data in self.files.items():
            file = self.top(directory) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return directory / self.name

    def top(self, directory: Path) -> Path:
        """The directory that the files of the one in ``directory`` are named below."""
        return directory / self.name if self.is_directory else directory


SINGLE = {
    "keras-zip": Sample("model.keras", {"model.keras": archive_bytes()}),
    "hdf5": Sample("model.weights.h5", {"model.weights.h5": hdf5_bytes()}),
}
"""One of each form of ``containers.formats``."""

_CONFIG = b'{"class_name": "Sequential", "config": {"name": "s", "layers": []}}'
_INDEX = b'{"metadata": {}, "weight_map": {"/dense/vars": ["w_00000.weights.h5"]}}'
SETS = {
    "keras-directory": Sample(
        "model",
        {
            "config.json": _CONFIG,
            "metadata.json": b'{"keras_version": "3.15.1"}',
            "model.weights.h5": hdf5_bytes(),
        },
        is_directory=True,
    ),
    "keras-hub-preset": Sample(
        "preset",
        {
            "config.json": _CONFIG,
            "metadata.json": b'{"keras_version": "3.15.1", "keras_hub_version": "0.25.0"}',
            "model.weights.h5": hdf5_bytes(),
            "assets/tokenizer/vocabulary.txt": b"a\nb\n",
        },
        is_directory=True,
    ),
    "saved-model": Sample(
        "exported",
        {
            "saved_model.pb": b"\x08\x01",
            "variables/variables.index": b"index",
            "variables/variables.data-00000-of-00001": bytes(64),
        },
        is_directory=True,
    ),
    "orbax": Sample(
        "7",
        {
            "_CHECKPOINT_METADATA": b"{}",
            "pytree/_METADATA": b"{}",
            "pytree/manifest.ocdbt": b"manifest",
            "pytree/d/0123": bytes(64),
        },
        is_directory=True,
    ),
    "keras-shards": Sample(
        "w.weights.json", {"w.weights.json": _INDEX, "w_00000.weights.h5": hdf5_bytes()}
    ),
    "tf-checkpoint": Sample(
        "ckpt-1", {"ckpt-1.index": b"index", "ckpt-1.data-00000-of-00001": bytes(64)}
    ),
    "keras-backup": Sample(
        "training_metadata.json",
        {"training_metadata.json": b'{"epoch": 1}', "latest.weights.h5": hdf5_bytes()},
    ),
}
"""One of each kind of ``containers.kinds``, as far as no loader looks at it."""

CONTAINERS = tuple(sample.name for sample in SINGLE.values())


def write_model(directory: Path, name: str) -> Path:
    """A small unsealed model file called ``name``: of the form that this name ends as, or HDF5."""
    path = directory / name
    forms = (one for one in FORMATS.values() if name.endswith(one.suffixes))
    (data,) = SINGLE[next(forms, HDF5).container].files.values()
    path.write_bytes(data)
    return path


def single_mutations(data: bytes, at: int, bit: int) -> Iterator[tuple[str, bytes]]:
    """One mutation of each kind, around offset ``at``."""
    yield "bit flip", data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]
    yield "truncation", data[:at]
    yield "insertion", data[:at] + b"\x5a" + data[at:]
    yield "deletion", data[:at] + data[at + 1 :]
    yield "appended bytes", data + b"\0" * (bit + 1)
    zeroed = data[:at] + bytes(len(data[at : at + 64])) + data[at + 64 :]
    if zeroed != data:
        yield "zeroed region", zeroed
    half = len(data) // 2
    if half and data[:64] != data[half : half + 64]:
        yield (
            "displaced block",
            data[half : half + 64] + data[64:half] + data[:64] + data[half + 64 :],
        )
