# SPDX-License-Identifier: Apache-2.0
"""Where a damaged copy differs from a good one: which variable, which number, by how much."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import keras_integrity_hook
from keras_integrity_hook.errors import NotAModelError, UnreadableFileError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.verification.comparison import compare_paths
from keras_integrity_hook.verification.differences import STRUCTURE
from tests.support import model_kinds
from tests.support.models import CONTAINERS, archive_bytes, hdf5_bytes, write_model

KERNEL = np.arange(8 * 16, dtype="float32")


@pytest.fixture(params=CONTAINERS)
def good(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A sealed model with a kernel that counts, in each kind of single file."""
    path = write_model(tmp_path, request.param)
    keras_integrity_hook.seal(path)
    return path


def copied(good: Path, change: Any) -> Path:
    """A copy of ``good`` whose bytes ``change``, a function of a bytearray, has altered."""
    path = good.with_name("bad" + good.name)
    data = bytearray(good.read_bytes())
    change(data)
    path.write_bytes(data)
    return path


def test_a_copy_is_the_same(good: Path) -> None:
    found = compare_paths(str(good), str(copied(good, lambda data: None)))
    assert found.differences == ()
    assert found.is_laid_out_alike
    assert found.parts >= 4


def test_a_flipped_bit_is_told_with_its_number_and_place(good: Path) -> None:
    at = good.read_bytes().index(KERNEL.tobytes()) + 4 * 37 + 3  # exponent of number 37: row 2

    def flip(data: bytearray) -> None:
        data[at] ^= 0x40

    (found,) = compare_paths(str(good), str(copied(good, flip))).differences
    assert found.name == "layers/dense/vars/0"
    assert (found.kind, found.bits, found.bytes, found.values) == ("changed", 1, 1, 1)
    assert found.at == at
    assert found.part.shape == (8, 16)
    assert found.part.dtype == "float32"
    assert found.largest is not None
    assert found.largest.index == (2, 5)
    assert found.largest.before == 37.0
    assert found.largest.after < 1e-30 or found.largest.after > 1e30


def test_numbers_that_are_none_any_more_are_counted(good: Path) -> None:
    old = KERNEL.tobytes()
    broken = KERNEL.copy()
    broken[3:6] = np.nan, np.inf, -np.inf

    def write(data: bytearray) -> None:
        at = data.index(old)
        data[at : at + len(old)] = broken.tobytes()

    (found,) = compare_paths(str(good), str(copied(good, write))).differences
    assert (found.values, found.not_finite) == (3, 3)
    assert found.largest is None


def test_a_file_that_is_no_model_any_more_is_compared_byte_by_byte(good: Path) -> None:
    signature = good.read_bytes().find(b"\x89HDF", 1)

    def break_structure(data: bytearray) -> None:
        if good.suffix == ".keras":
            data[-22:-18] = b"XXXX"  # its end record is gone
        else:
            data[signature : signature + 4] = b"XXXX"

    found = compare_paths(str(good), str(copied(good, break_structure)))
    (structure,) = found.differences
    assert found.damage
    assert structure.name == STRUCTURE
    assert structure.bytes == 4


def test_a_truncated_file_tells_which_variables_are_cut_off(good: Path) -> None:
    kernel = good.read_bytes().rindex(KERNEL.tobytes())  # of the second layer

    def cut(data: bytearray) -> None:
        del data[kernel + 10 :]

    found = compare_paths(str(good), str(copied(good, cut)))
    kinds = {one.name: one.kind for one in found.differences}
    assert kinds["layers/dense_1/vars/0"] == "cut off"
    assert "layers/dense/vars/0" not in kinds


def test_other_shapes_and_variables_are_named(tmp_path: Path) -> None:
    first, second = tmp_path / "a.weights.h5", tmp_path / "b.weights.h5"
    with h5py.File(first, "w") as file:
        file["same"], file["gone"], file["grown"] = np.ones(3), np.ones(3), np.ones((2, 3))
    with h5py.File(second, "w") as file:
        file["same"], file["new"], file["grown"] = np.ones(3), np.ones(3), np.ones((2, 4))
    found = compare_paths(str(first), str(second))
    kinds = {one.name: one.kind for one in found.differences}
    assert kinds == {"gone": "missing", "new": "added", "grown": "reshaped"}
    assert not found.is_laid_out_alike


def test_a_configuration_that_moves_the_variables_is_not_the_same(tmp_path: Path) -> None:
    """It may name another layer, with code in it, and leave all variables as they are."""
    paths = tmp_path / "a.h5", tmp_path / "b.h5"
    for path, config in zip(paths, ("{}", "{" + "x" * 6000 + "}"), strict=True):
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = config
            file["model_weights/a/kernel"] = np.ones(3)
    found = compare_paths(*map(str, paths))
    assert [(one.name, one.kind) for one in found.differences] == [(STRUCTURE, "rearranged")]
    assert found.differences[0].is_structure


def test_variables_compare_across_containers(tmp_path: Path) -> None:
    archive, weights = tmp_path / "m.keras", tmp_path / "m.weights.h5"
    archive.write_bytes(archive_bytes())
    weights.write_bytes(hdf5_bytes())
    found = compare_paths(str(archive), str(weights))
    assert {one.kind for one in found.differences} == {"missing"}
    assert {one.name for one in found.differences} == {"metadata.json", "config.json"}


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "uint16", "int64", "bool"])
def test_every_type_of_number_is_read(dtype: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.weights.h5" for name in "ab"]
    for number, path in enumerate(paths):
        with h5py.File(path, "w") as file:
            file["v"] = np.array([0, number, 0], dtype)
    (found,) = compare_paths(*map(str, paths)).differences
    assert found.part.dtype == dtype
    assert found.values == 1
    assert found.largest is not None
    assert (found.largest.index, found.largest.before, found.largest.after) == ((1,), 0, 1)


def test_what_is_no_model_is_refused(good: Path, tmp_path: Path) -> None:
    note = tmp_path / "note.keras"
    note.write_text("no model")
    with pytest.raises(NotAModelError):
        compare_paths(str(note), str(good))
    with pytest.raises(UnreadableFileError):
        compare_paths(str(good), str(tmp_path / "absent.keras"))
    with pytest.raises(UnreadableFileError):
        compare_paths(str(good), str(tmp_path))


@pytest.mark.usefixtures("keras")
@pytest.mark.parametrize("name", model_kinds.SETS)
def test_a_number_in_a_file_of_a_set_is_found(name: str, tmp_path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")])
    good, bad = tmp_path / "good" / name, tmp_path / "bad" / name
    model_kinds.save(model, good)
    shutil.copytree(good.parent, bad.parent)
    file = model_kinds.attacked_file(bad)
    old = model.get_weights()[0].tobytes()
    data = bytearray(file.read_bytes())
    at = data.index(old) + 3
    data[at] ^= 0x40
    file.write_bytes(data)
    (found,) = keras_integrity_hook.diff(good, bad).differences
    assert (found.bits, found.bytes) == (1, 1)
    assert found.at == at
    assert file.name in found.name
    if file.suffix == ".h5":
        assert found.largest is not None
        assert found.largest.index == (0, 0)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """The index of weights in two files."""
    folder = tmp_path / "set"
    folder.mkdir()
    for number in range(2):
        (folder / f"m_0000{number}.weights.h5").write_bytes(hdf5_bytes())
    names = {f"/layer{n}/vars": f"m_0000{n}.weights.h5" for n in range(2)}
    (folder / "m.weights.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    return folder / "m.weights.json"


def copy_of(shards: Path) -> Path:
    copy = shards.parent.with_name("copy")
    shutil.copytree(shards.parent, copy)
    return copy / shards.name


@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_file_that_is_lost_or_cut_says_nothing_of_the_others(
    shards: Path, is_sealed: bool
) -> None:
    if is_sealed:
        keras_integrity_hook.seal(shards)
    copy = copy_of(shards)
    lost, cut = (copy.with_name(f"m_0000{number}.weights.h5") for number in range(2))
    cut.write_bytes(cut.read_bytes()[:-10])
    found = compare_paths(str(shards), str(copy))
    assert found.differences
    assert {one.kind for one in found.differences} <= {"cut off", "missing"}
    assert all(one.name.startswith(cut.name) for one in found.differences)
    lost.unlink()
    cut.write_bytes((shards.parent / cut.name).read_bytes())
    found = compare_paths(str(shards), str(copy))
    assert {one.kind for one in found.differences} == {"missing"}
    assert all(one.name.startswith(lost.name) for one in found.differences)
    assert len(found.differences) == 4
    assert bool(found.damage) is not is_sealed


def test_a_set_with_a_broken_seal_or_index_is_compared(shards: Path) -> None:
    keras_integrity_hook.seal(shards)
    copy = copy_of(shards)
    (seal,) = copy.parent.glob("*.seal")
    seal.write_bytes(b"no seal")
    found = compare_paths(str(shards), str(copy))
    assert found.damage
    assert found.differences == ()
    copy.write_bytes(copy.read_bytes().replace(b"{", b"[", 1))
    found = compare_paths(str(shards), str(copy))
    assert [(one.name, one.bytes) for one in found.differences] == [("m.weights.json", 1)]


def test_variables_that_share_all_their_bytes_do_not_multiply_the_reading(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.weights.h5" for name in "ab"]
    large = 1 << 20
    with h5py.File(paths[0], "w") as file:
        file["large"] = np.ones(large, "uint8")
        for number in range(20):
            file[f"small{number}"] = np.full(8, number, "uint8")
        places = [file[f"small{number}"].id.get_offset() for number in range(20)]
        target = file["large"].id.get_offset()
    data = paths[0].read_bytes()
    for place in places:
        data = data.replace(struct.pack("<QQ", place, 8), struct.pack("<QQ", target, large))
    for path in paths:
        path.write_bytes(data)
    report = keras_integrity_hook.inspect(paths[0])
    assert sum(part.size for part in report.parts) <= LIMITS.region_layers // 2 * len(data)
    assert 1 < len(report.parts) < 10
    assert compare_paths(*map(str, paths)).differences == ()
