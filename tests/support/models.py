# SPDX-License-Identifier: Apache-2.0
"""Small real files for the tests that need no Keras, and ways to damage them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

CONTAINERS = ("model.keras", "model.weights.h5")


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


def write_model(directory: Path, name: str) -> Path:
    """A small unsealed model file called ``name``."""
    path = directory / name
    path.write_bytes(archive_bytes() if name.endswith(".keras") else hdf5_bytes())
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
