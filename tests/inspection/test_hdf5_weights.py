# SPDX-License-Identifier: Apache-2.0
"""HDF5 weights by their headers: bombs, ways to other files, odd types; and the harmless ones."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest

from keras_integrity_hook.errors import DamagedFileError, IntegrityError
from keras_integrity_hook.inspection import hdf5_messages, hdf5_weights
from keras_integrity_hook.inspection.hdf5_file import Hdf5File
from tests.support.contents import CountedContent
from tests.support.models import hdf5_bytes, single_mutations

MAKERS: dict[str, dict[str, Any]] = {
    "as h5py writes by default": {},
    "with a user block": {"userblock_size": 1024},
    "with the creation order": {"track_order": True},
    "in the latest form": {"libver": "latest"},
}
"""Ways to write an HDF5 file, by their keyword arguments of h5py."""


def hdf5(fill: Callable[[Any], object], **how: Any) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w", **how) as file:
        fill(file)
    return stream.getvalue()


def dataset(**what: Any) -> Callable[[Any], object]:
    return lambda file: file.create_dataset("layers/dense/vars/0", **what)


def rules(data: bytes) -> set[str]:
    return {finding.rule for finding in hdf5_weights.inspect(CountedContent(data), "m.h5")}


@pytest.mark.parametrize("how", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(
    "what",
    [
        {"shape": (1 << 20, 1 << 20), "dtype": "f4", "chunks": (1024, 1024)},
        {"shape": (1 << 24,), "dtype": "f8"},
        {"shape": (1 << 40,), "dtype": "u1", "chunks": (1 << 20,), "compression": "gzip"},
    ],
    ids=["chunks never written", "contiguous and never written", "compressed and never written"],
)
def test_dataset_that_declares_more_than_is_stored_is_a_bomb(
    what: dict[str, Any], how: dict[str, Any]
) -> None:
    assert "shape-bomb" in rules(hdf5(dataset(**what), **how))


def test_many_datasets_each_small_enough_are_a_bomb_together() -> None:
    def fill(file: Any) -> None:
        for number in range(100):
            file.create_dataset(f"layers/{number}", shape=(1 << 18,), dtype="f4")

    assert rules(hdf5(fill)) == {"shape-bomb"}


def test_datasets_that_share_their_bytes_are_a_bomb() -> None:
    def fill(file: Any) -> None:
        for number in range(20):
            file.create_dataset(f"layers/{number}", shape=(777,), dtype="f8")

    nowhere, begin = b"\x03\x01" + b"\xff" * 8, b"\x03\x01" + bytes(8)
    assert rules(hdf5(fill)) == set()
    assert rules(hdf5(fill).replace(nowhere, begin)) == {"shape-bomb"}


@pytest.mark.parametrize("how", MAKERS.values(), ids=MAKERS)
def test_ways_to_other_files_are_refused(how: dict[str, Any]) -> None:
    def virtual(file: Any) -> None:
        layout = h5py.VirtualLayout(shape=(10,), dtype="u1")
        layout[:] = h5py.VirtualSource("/etc/passwd", "data", shape=(10,))
        file.create_virtual_dataset("layers/v", layout)

    def link(file: Any) -> None:
        file["layers/e"] = h5py.ExternalLink("/etc/passwd", "data")

    outside = dataset(shape=(10,), dtype="u1", external=[("/etc/passwd", 0, 10)])
    for fill in (virtual, link, outside):
        assert "hdf5-external" in rules(hdf5(fill, **how))


@pytest.mark.parametrize(
    "kind", [h5py.ref_dtype, h5py.regionref_dtype, h5py.vlen_dtype("i4"), h5py.string_dtype()]
)
def test_values_that_h5py_makes_objects_of_are_told(kind: Any) -> None:
    assert rules(hdf5(dataset(shape=(3,), dtype=kind))) == {"array-type"}


def test_filter_that_is_a_plug_in_is_told() -> None:
    data = hdf5(dataset(data=np.random.default_rng(0).random((64, 64)), compression="lzf"))
    lzf, other = (32000).to_bytes(2, "little"), (32015).to_bytes(2, "little")
    assert rules(data) == set()
    assert rules(data.replace(lzf + b"\x08\0", other + b"\x08\0")) == {"hdf5-filter"}


@pytest.mark.parametrize("how", ["with the creation order", "in the latest form"])
def test_what_is_not_read_is_never_taken_for_harmless(how: str) -> None:
    def fill(file: Any) -> None:
        for number in range(40):  # so many links are kept in a heap
            file[f"layers/{number}"] = [1.0]

    assert rules(hdf5(fill, **MAKERS[how])) == {"hdf5-unread"}


@pytest.mark.parametrize("how", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(
    "values",
    [
        np.arange(12.0).reshape(3, 4),
        np.array([], "float32"),
        np.array(1.0, "float16"),
        np.array([True, False]),
        np.array([1j]),
        np.zeros(3, "V2"),  # how h5py sees bfloat16
        np.zeros((2, 3), ">f4"),
        np.array([b"ab", b"c"]),
        h5py.Empty("f4"),
    ],
    ids=repr,
)
def test_plain_values_are_fine(values: Any, how: dict[str, Any]) -> None:
    assert rules(hdf5(dataset(data=values), **how)) == set()


def test_compressed_zeros_are_fine() -> None:
    zeros = np.zeros((1000, 3000), "float32")
    for compression in ("gzip", "lzf"):
        what = {"data": zeros, "compression": compression, "shuffle": True, "fletcher32": True}
        assert rules(hdf5(dataset(**what))) == set()


def test_attribute_in_the_header_and_in_the_heap_is_read() -> None:
    def fill(file: Any) -> None:
        file.attrs["long"] = "x" * 100_000
        file.attrs["bytes"] = np.bytes_(b"fixed")
        file.create_group("model_weights").attrs["backend"] = "tensorflow"
        file.attrs["numbers"] = [1, 2]

    for how in ({}, MAKERS["with a user block"]):
        file = Hdf5File(CountedContent(hdf5(fill, **how)))
        assert file.attribute("", "long") == b"x" * 100_000
        assert file.attribute("", "bytes") == b"fixed"
        assert file.attribute("model_weights", "backend") == b"tensorflow"
        assert file.attribute("", "none") is None
        with pytest.raises(IntegrityError):
            file.attribute("", "numbers")


def test_large_file_is_not_read_through() -> None:
    content = CountedContent(hdf5(dataset(data=np.ones(1 << 22, "float64"))))
    assert list(hdf5_weights.inspect(content, "m.h5")) == []
    assert content.read_bytes < 64 * 1024


def test_every_mutation_is_judged_or_refused_and_none_raises() -> None:
    data = hdf5_bytes()
    for at in range(0, len(data), 7):
        for _, mutant in single_mutations(data, at, at % 8):
            rules(mutant)


@pytest.mark.parametrize("length", [5, 13, 1 << 33, (1 << 64) - 1])
def test_name_of_a_link_that_ends_nowhere_is_damage_and_takes_no_memory(length: int) -> None:
    name = b"name" + (96).to_bytes(8, "little")
    assert hdf5_messages.link_of(b"\1\3" + (4).to_bytes(8, "little") + name) == ("name", 96)
    with pytest.raises(DamagedFileError):
        hdf5_messages.link_of(b"\1\3" + length.to_bytes(8, "little") + name)
