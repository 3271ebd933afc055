# SPDX-License-Identifier: Apache-2.0
"""HDF5 files: the seal is found or refused, and the walk over unchecked metadata always ends."""

from __future__ import annotations

import io
from collections.abc import Iterator

import h5py

from keras_integrity_hook.containers import hdf5, hdf5_map
from keras_integrity_hook.saving import seal_writer
from keras_integrity_hook.sealing.content import FileContent
from keras_integrity_hook.sealing.statement import Region
from tests.fuzz.harness import file_of, fuzz


def check(data: bytes) -> None:
    with file_of(data) as fd:
        for region in whole(fd, len(data)):
            assert 0 <= region.offset <= region.offset + region.size <= len(data)
        found = hdf5.locate(fd, len(data))
        assert isinstance(found.content, FileContent)
        assert found.content.start + found.content.size == len(data)


def whole(fd: int, size: int) -> tuple[Region, ...]:
    """The map of a file that is all HDF5."""
    return hdf5_map.datasets(FileContent(fd, 0, size), 0, size, hdf5_map.Budget())


def weights(user_block: int) -> bytes:
    """A weights file in miniature, laid out as Keras does."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", userblock_size=user_block) as file:
        for layer in ("dense", "dense_1"):
            variables = file.create_group(f"layers/{layer}/vars")
            variables["0"], variables["1"] = [[1.0, 2.0]], [3.0]
    return stream.getvalue()


def seeds() -> Iterator[bytes]:
    """A plain file and a sealed one."""
    yield weights(0)
    with file_of(weights(8192)) as fd:
        seal_writer.seal_in_place(fd, subject="model.weights.h5")
        with open(fd, "rb", closefd=False) as file:
            file.seek(0)
            yield file.read()


if __name__ == "__main__":
    fuzz(check, list(seeds()))
