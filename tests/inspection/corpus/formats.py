# SPDX-License-Identifier: Apache-2.0
"""A configuration written as a model of each format, by hand."""

from __future__ import annotations

import functools
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.inspection.corpus.configs import Json

Writer = Callable[[Path], None]

KERAS = {"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}


@functools.cache
def weights(rows: int = 4) -> bytes:
    """What Keras's weight store writes for one dense layer."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("layers/dense/vars")
        group["0"] = np.zeros((rows, 3), "float32")
        group["1"] = np.zeros(3, "float32")
    return buffer.getvalue()


def text(config: Json) -> bytes:
    """The JSON text of ``config``; bytes are taken as they are."""
    return config if isinstance(config, bytes) else json.dumps(config).encode()


def archive(
    config: Json, members: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED
) -> Writer:
    """A ``.keras`` file; ``members`` come instead of or besides the usual ones."""

    def write(path: Path) -> None:
        usual = {"metadata.json": text(KERAS), "config.json": text(config)}
        with zipfile.ZipFile(path, "w", compression) as file:
            for name, data in {**usual, "model.weights.h5": weights(), **(members or {})}.items():
                file.writestr(name, data)

    return write


def directory(config: Json, members: dict[str, bytes] | None = None) -> Writer:
    """The same as a directory."""
    usual = {"metadata.json": text(KERAS), "config.json": text(config)}
    return files({**usual, "model.weights.h5": weights(), **(members or {})})


def files(contents: dict[str, bytes]) -> Writer:
    """A directory of files."""

    def write(path: Path) -> None:
        for name, data in contents.items():
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)

    return write


def hdf5(config: Json, training: Json = None, **attributes: Any) -> Writer:
    """A legacy HDF5 file with the configuration in an attribute."""

    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            # Through numpy.bytes_ and not str: that is what Keras writes.
            file.attrs["keras_version"], file.attrs["backend"] = "3.15.1", "tensorflow"
            _set(file, "model_config", text(config))
            if training is not None:
                _set(file, "training_config", text(training))
            for name, value in attributes.items():
                file.attrs[name] = value
            file.create_group("model_weights").attrs["layer_names"] = np.array([], "S1")

    return write


def _set(file: h5py.File, name: str, value: bytes) -> None:
    # An attribute of more than 64 kB goes into a heap of its own, as Keras's own do.
    kept = h5py.string_dtype("utf-8", len(value)) if len(value) < 64_000 else h5py.string_dtype()
    file.attrs.create(name, value.decode(), dtype=kept)


def preset(config: Json, members: dict[str, bytes] | None = None) -> Writer:
    """A preset of KerasHub."""
    metadata = {**KERAS, "keras_hub_version": "0.32.0", "parameter_count": 15}
    usual = {"metadata.json": text(metadata), "config.json": text(config)}
    return files({**usual, "model.weights.h5": weights(), **(members or {})})


def raw_file(data: bytes) -> Writer:
    """A file of these bytes."""

    def write(path: Path) -> None:
        path.write_bytes(data)

    return write


def hdf5_file(fill: Callable[[h5py.File], None], **how: Any) -> Writer:
    """A ``.weights.h5`` file that ``fill`` puts things into."""

    def write(path: Path) -> None:
        with h5py.File(path, "w", **how) as file:
            fill(file)

    return write
