# SPDX-License-Identifier: Apache-2.0
"""What is digested while it is written has the digests that it would have afterwards."""

from __future__ import annotations

import gc
import hashlib
import io
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_integrity_hook import verify
from keras_integrity_hook.files import freeing, portable
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.saving import digested_writer
from keras_integrity_hook.saving.digested_writer import DigestedWriter
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.content import FileContent
from tests.support import descriptors
from tests.support.children import in_mount_namespace
from tests.support.overwriting import LARGE_UNITS, UNITS, model_of

SIZE = 6 * MIB
START = 8192
LARGE = ("large.keras", "large.weights.h5", "large.h5")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")

WRITES = st.tuples(st.just("write"), st.integers(0, SIZE), st.integers(0, 3 * MIB))
CUTS = st.tuples(st.just("truncate"), st.integers(0, SIZE), st.just(0))
READS = st.tuples(st.just("read"), st.integers(0, SIZE), st.integers(0, MIB))


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one, nothing is digested meanwhile."""
    monkeypatch.setattr(portable, "cores", lambda: 2)


@pytest.fixture(name="digested")
def _digested(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many chunks were known when each file was sealed."""
    counts: list[int] = []
    original = digested_writer.ChunkDigests.known

    def counted(*args: Any) -> Mapping[int, bytes]:
        known = original(*args)
        counts.append(len(known))
        return known

    monkeypatch.setattr(digested_writer.ChunkDigests, "known", counted)
    return counts


def save(model: Any, path: Path) -> None:
    """Save ``model``, or its weights, as the suffix asks."""
    if path.name.endswith(".weights.h5"):
        model.save_weights(path, overwrite=True)
    else:
        model.save(path)


def values_at(path: Path, units: int) -> set[float]:
    """Load ``path``, and return every distinct number among its weights."""
    import keras

    if path.name.endswith(".weights.h5"):
        model = model_of(0, units)
        model.load_weights(path)
    else:
        model = keras.models.load_model(path)
    return {float(value) for weight in model.get_weights() for value in np.unique(weight)}


def opened(folder: Path, start: int = 0) -> tuple[int, DigestedWriter]:
    """A new file, by a descriptor of its own and as a writer."""
    path = folder / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    return os.open(path, os.O_RDONLY), DigestedWriter(
        fd, name=str(path), start=start, algorithm="sha256"
    )


def content_of(fd: int, start: int = 0) -> FileContent:
    """All of the file behind ``fd`` from ``start`` on."""
    return FileContent(fd, start, max(os.fstat(fd).st_size - start, 0))


def table(content: FileContent, known: Mapping[int, bytes]) -> bytes:
    """The digests of all chunks, some of which are known."""
    return tree.table(content, chunk_size=MIB, algorithm="sha256", known=known)


@pytest.mark.parametrize("start", [0, START])
@given(steps=st.lists(st.one_of(WRITES, WRITES, CUTS, READS), max_size=12), pause=st.booleans())
@settings(max_examples=60, deadline=None)
def test_whatever_is_written_in_whatever_order_has_the_digests_of_the_file(
    start: int, steps: list[tuple[str, int, int]], pause: bool, tmp_path_factory: Any
) -> None:
    fd, writer = opened(tmp_path_factory.mktemp("any"), start)
    try:
        for number, (what, at, length) in enumerate(steps):
            if what == "write":
                writer.seek(at)
                assert writer.write(bytes([number + 1]) * length) == length
            elif what == "truncate":
                writer.truncate(at)
            else:
                writer.seek(at)
                assert writer.readinto(bytearray(length)) is not None
            if pause:
                threading.Event().wait(0.002)  # so that some are digested before they are changed
        content = content_of(fd, start)
        known = writer.digests.known(content, MIB, "sha256")
        assert table(content, known) == table(content, {})
    finally:
        writer.abandon()
        os.close(fd)


def test_a_long_write_is_digested_and_what_is_changed_later_is_not(tmp_path: Path) -> None:
    fd, writer = opened(tmp_path)
    writer.write(bytes(5 * MIB + 1))
    while len(writer.digests._digests) < 5:
        threading.Event().wait(0.001)
    writer.seek(2 * MIB)
    writer.write(b"x")
    known = writer.digests.known(content_of(fd), MIB, "sha256")
    assert set(known) == {0, 1, 3, 4}
    assert known[0] == hashlib.sha256(bytes(MIB)).digest()
    writer.abandon()
    os.close(fd)


def test_digests_are_given_for_nothing_else_than_what_was_written(tmp_path: Path) -> None:
    fd, writer = opened(tmp_path)
    writer.write(bytes(2 * MIB))
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    os.ftruncate(other, 2 * MIB)
    digests = writer.digests
    assert digests.known(FileContent(other, 0, 2 * MIB), MIB, "sha256") == {}
    assert digests.known(FileContent(fd, 512, MIB), MIB, "sha256") == {}
    assert digests.known(content_of(fd), 2 * MIB, "sha256") == {}
    assert digests.known(content_of(fd), MIB, "sha512") == {}
    assert set(digests.known(FileContent(fd, 0, MIB), MIB, "sha256")) <= {0}
    writer.abandon()
    os.close(other)
    os.close(fd)


def test_an_abandoned_file_takes_bytes_and_puts_them_nowhere(tmp_path: Path) -> None:
    fd, writer = opened(tmp_path)
    buffered = io.BufferedWriter(writer)
    buffered.write(b"not written yet")
    number = writer._fd
    writer.abandon()
    heir = os.open(tmp_path / "heir", os.O_RDWR | os.O_CREAT)
    assert heir == number, "another file has to get the descriptor's number for this test"
    buffered.close()
    assert os.fstat(heir).st_size == os.fstat(fd).st_size == 0
    os.close(heir)
    os.close(fd)


@pytest.mark.usefixtures("keras")
@pytest.mark.parametrize("name", LARGE)
def test_a_large_model_is_digested_while_it_is_saved(
    name: str, digested: list[int], tmp_path: Path
) -> None:
    path = tmp_path / name
    for value in (1, 2):
        save(model_of(value, LARGE_UNITS), path)
        assert verify(path).state == "sealed"
    assert values_at(path, LARGE_UNITS) == {2.0}
    assert len(digested) == 2
    assert all(count > 4 for count in digested), digested
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", LARGE)
def test_a_layer_that_cannot_be_saved_leaves_nothing_open(
    name: str, keras: Any, tmp_path: Path
) -> None:
    @keras.saving.register_keras_serializable("tests", "Unsaved")
    class Unsaved(keras.layers.Dense):
        def save_own_variables(self, store: Any) -> None:
            raise RuntimeError("not this one")

        @property
        def weights(self) -> Any:  # what the legacy format asks for
            if threading.current_thread() is saving[0]:
                raise RuntimeError("not this one")
            return super().weights

    saving: list[Any] = [None]
    layers = [keras.layers.Dense(LARGE_UNITS), keras.layers.Dense(LARGE_UNITS)]
    model = keras.Sequential([keras.Input((LARGE_UNITS,)), *layers, Unsaved(LARGE_UNITS)])
    path = tmp_path / name
    before = descriptors.opened()
    if name == "large.h5":
        saving[0] = threading.current_thread()
    with pytest.raises(RuntimeError, match="not this one"):
        save(model, path)
    assert not descriptors.opened_since(before)
    assert os.listdir(tmp_path) == []
    save(model_of(3, LARGE_UNITS), path)
    assert values_at(path, LARGE_UNITS) == {3.0}


@needs_root
@pytest.mark.usefixtures("keras")
@pytest.mark.parametrize("name", LARGE)
def test_a_large_model_that_meets_a_full_disk_leaves_the_old_one(name: str, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    old, new = model_of(1), model_of(2, LARGE_UNITS)

    def saved() -> None:
        save(old, small / name)
        with pytest.raises(OSError, match="No space left"):
            save(new, small / name)
        gc.collect()
        assert verify(small / name).state == "sealed"
        assert os.listdir(small) == [name]

    in_mount_namespace([["mount", "-t", "tmpfs", "-o", "size=20m", "none", str(small)]], saved)


@needs_root
@pytest.mark.usefixtures("keras")
@pytest.mark.parametrize("name", LARGE)
def test_saves_one_after_the_other_need_room_for_two(name: str, tmp_path: Path) -> None:
    """What the one before is rid of in the background is free when the next looks for room."""
    small = tmp_path / "small"
    small.mkdir()
    model = model_of(1, LARGE_UNITS)

    def saved() -> None:
        for _ in range(6):
            save(model, small / name)
            inode = (small / name).stat().st_ino
            assert os.listdir(small) == [name]
            assert verify(small / name).state == "sealed"
        assert inode

    in_mount_namespace([["mount", "-t", "tmpfs", "-o", "size=58m", "none", str(small)]], saved)


def test_what_a_large_file_had_is_freed_by_another_thread(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(9 * MIB))
    directory = os.open(tmp_path, os.O_RDONLY)
    before = descriptors.opened()
    with freeing.later("large", directory):
        path.unlink()
    freeing.settle()
    assert not descriptors.opened_since(before)
    os.close(directory)


def test_nothing_is_freed_before_the_directory_it_lay_in_is_gone(tmp_path: Path) -> None:
    """While ext4 frees what was in a directory nobody can remove that."""
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "large").write_bytes(bytes(9 * MIB))
    before = descriptors.opened()
    directory = os.open(inner, os.O_RDONLY)
    with freeing.afterwards():
        with freeing.later("large", directory), freeing.afterwards():
            (inner / "large").unlink()
        os.close(directory)
        freeing.settle()
        held = descriptors.opened_since(before)
        inner.rmdir()
    assert held
    freeing.settle()
    assert not descriptors.opened_since(before)


@pytest.mark.usefixtures("keras")
@pytest.mark.parametrize("name", ["small.weights.h5", "small.h5"])
def test_hdf5_writes_small_models_without_us(
    name: str, digested: list[int], tmp_path: Path
) -> None:
    """It calls Python for each of its writes otherwise, which has to pay."""
    save(model_of(1), tmp_path / name)
    assert not digested
    assert values_at(tmp_path / name, UNITS) == {1.0}
