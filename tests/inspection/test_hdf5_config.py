# SPDX-License-Identifier: Apache-2.0
"""Configurations in HDF5, as h5py and others write them: read without libhdf5, or refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from keras_integrity_hook.inspection import hdf5_config
from keras_integrity_hook.inspection.pieces import Memory

FINE = {"class_name": "Sequential", "config": {"name": "m", "layers": []}}
EVIL = {**FINE, "module": "os"}


def rules(path: Path) -> set[str]:
    return {one.rule for one in hdf5_config.inspect(Memory(path.read_bytes()), path.name)}


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110", "latest"])
@pytest.mark.parametrize("attribute", ["model_config", "training_config"])
@pytest.mark.parametrize("kind", [str, lambda text: text.encode(), np.bytes_])
def test_configuration_is_found_however_h5py_writes_it(
    tmp_path: Path, libver: str, attribute: str, kind: Any
) -> None:
    path = tmp_path / "model.h5"
    for value, expected in ((FINE, set()), (EVIL, {"foreign-object"})):
        with h5py.File(path, "w", libver=libver) as file:
            file.attrs[attribute] = kind(json.dumps(value))
            file.create_group("model_weights")
        assert rules(path) == expected


def test_large_configuration_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    layers = [{"class_name": "Dense", "config": {"name": f"d{n}", "units": 1}} for n in range(5000)]
    value = {**FINE, "config": {"name": "m", "layers": [*layers, EVIL]}}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(value)
    assert rules(path) == {"foreign-object"}


def test_attributes_that_are_not_read_here_are_not_taken_for_none(tmp_path: Path) -> None:
    """Over eight of them go into a heap of their own, where the newest format is asked for."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(20):
            file.attrs[f"a{number}"] = 1
        file.attrs["model_config"] = json.dumps(EVIL)
    assert rules(path) == {"opaque-hdf5"}


def test_weights_alone_have_nothing_to_judge(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.zeros((3, 3))
    assert rules(path) == set()


def test_what_is_no_hdf5_is_left_to_whoever_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(b"{}")
    assert rules(path) == set()


def test_damaged_headers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(FINE)
    data = path.read_bytes()
    path.write_bytes(data[:96] + b"\xff" * 64 + data[160:])
    assert rules(path) == {"opaque-hdf5"}


class TestTwoReadings:
    """Files in which libhdf5 finds another configuration than a careless reader does."""

    LENGTH = 0x7D7B  # as bytes that begin with "{}", which is a configuration by itself

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        with h5py.File(tmp_path / "model.h5", "w") as file:
            file.attrs["model_config"] = json.dumps(EVIL).ljust(self.LENGTH)
        return tmp_path / "model.h5"

    def _with_heap(self, path: Path, *pieces: bytes) -> None:
        """Give the configuration another heap, at the end of the file."""
        data = bytearray(path.read_bytes())
        old, end = data.index(b"GCOL"), len(data) + (-len(data) % 8)
        objects = b"".join(pieces)
        size = 16 + len(objects) + 16
        free = struct.pack("<HHIQ", 0, 0, 0, 16)
        reference = data.index(struct.pack("<IQI", self.LENGTH, old, 1))
        struct.pack_into("<IQI", data, reference, self.LENGTH, end, 1)
        data = data.ljust(end, b"\0") + b"GCOL\1\0\0\0" + struct.pack("<Q", size) + objects + free
        struct.pack_into("<Q", data, 40, len(data))  # the end of the file, as its superblock has it
        path.write_bytes(data)

    def _text(self, value: Any, index: int = 1) -> bytes:
        text = json.dumps(value).encode().ljust(self.LENGTH)
        return struct.pack("<HHIQ", index, 1, 0, len(text)) + text + bytes(-len(text) % 8)

    def _of_library(self, path: Path) -> Any:
        with h5py.File(path) as file:
            return json.loads(file.attrs["model_config"])

    def test_heap_of_its_own_is_read(self, path: Path) -> None:
        self._with_heap(path, self._text(FINE, 2), self._text(EVIL))
        assert self._of_library(path) == EVIL
        assert rules(path) == {"foreign-object"}

    def test_of_two_texts_with_one_number_none_is_believed(self, path: Path) -> None:
        self._with_heap(path, self._text(FINE), self._text(EVIL))
        assert self._of_library(path) == EVIL
        assert rules(path) == {"opaque-hdf5"}

    def test_free_space_in_the_middle_hides_no_text(self, path: Path) -> None:
        """The library steps over 32 bytes, and over what the text behind them is hidden in."""
        free = struct.pack("<HHIQ", 0, 0, 0, 32) + bytes(16)
        shown = self._text(FINE)
        bridge = struct.pack("<HHIQ", 7, 1, 0, len(shown))
        self._with_heap(path, free, bridge, shown, self._text(EVIL))
        assert self._of_library(path) == EVIL
        assert rules(path) == {"opaque-hdf5"}

    def test_text_with_two_lengths_is_not_believed(self, path: Path) -> None:
        data = bytearray(path.read_bytes())
        reference = data.index(struct.pack("<IQI", self.LENGTH, data.index(b"GCOL"), 1))
        struct.pack_into("<I", data, reference, self.LENGTH - 8)
        path.write_bytes(data)
        assert rules(path) == {"opaque-hdf5"}

    @pytest.mark.parametrize("libver", ["earliest", "v110", "latest"])
    def test_reference_to_a_type_is_not_taken_for_the_type(
        self, tmp_path: Path, libver: str
    ) -> None:
        """A reference of version 3 to a place between 0x20000 and 0x2FFFF reads like a text of two
        characters."""
        path = tmp_path / "model.h5"
        with h5py.File(path, "w", libver=libver) as file:
            place = 0
            while not 0x20000 <= place < 0x30000:
                name = f"text{len(file)}"
                file[name] = h5py.string_dtype()
                place = h5py.h5o.get_info(file[name].id).addr
            scalar = h5py.h5s.create(h5py.h5s.SCALAR)
            attribute = h5py.h5a.create(file.id, b"model_config", file[name].id, scalar)
            text = json.dumps(EVIL).ljust(self.LENGTH)
            attribute.write(np.array(text, dtype=h5py.string_dtype()))
        data = bytearray(path.read_bytes())
        at = data.index(place.to_bytes(8, "little"), data.index(b"model_config\0")) - 2
        data[at : at + 2] = b"\3\2"
        if libver == "earliest":  # the others' headers have a checksum
            path.write_bytes(data)
        assert self._of_library(path) == EVIL
        assert rules(path) == {"opaque-hdf5"}
