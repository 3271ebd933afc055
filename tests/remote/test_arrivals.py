# SPDX-License-Identifier: Apache-2.0
"""Digests that are computed while a file is fetched, and what is done to the file afterwards."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.files import lease, portable
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.remote import arrivals, sources, spool
from keras_integrity_hook.remote.arrivals import Arriving, Cut
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.content import FileContent, JoinedContent
from tests.remote.conftest import Place

SIZE = 20 * MIB  # above what is worth it


@pytest.mark.parametrize("pieces", [1, 1000, MIB, 3 * MIB + 1, 8 * MIB])
@pytest.mark.parametrize("first", [0, 512, MIB - 1])
@pytest.mark.parametrize("cores", [1, 2, 8])
def test_chunks_have_the_digests_of_their_bytes_however_these_arrive(
    pieces: int, first: int, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "cores", lambda: cores)
    data = os.urandom(1000) * (4096 if pieces > 1 else 8)
    chunk = MIB if pieces > 1 else 4096
    arriving = Arriving(Cut("sha256", chunk, first))
    for start in range(0, len(data), pieces):
        arriving.update(data[start : start + pieces])
    starts = range(first, len(data) - chunk + 1, chunk)
    expected = {at: hashlib.sha256(data[at : at + chunk]).digest() for at in starts}
    assert dict(arriving.finish()) == expected
    arriving.close()


@pytest.fixture
def fetched(place: Place, tmp_path: Path) -> Iterator[Path]:
    """A private copy whose digests were noted when it arrived."""
    place.write("m.keras", os.urandom(1000) * (SIZE // 1000 + 1))
    with (
        sources.open_source(f"{place.url}/m.keras") as source,
        spool.fetched(source, algorithm="sha256") as local,
    ):
        fd = os.open(local, os.O_RDONLY)
        try:
            if not lease.is_kept_at(fd):
                pytest.skip("no leases where temporary files go")
        finally:
            os.close(fd)
        yield Path(local)


def _known(path: Path, algorithm: str = "sha256") -> dict[int, bytes]:
    fd = os.open(path, os.O_RDONLY)
    try:
        content = FileContent(fd, 0, os.fstat(fd).st_size)
        return dict(arrivals.known(content, MIB, algorithm))
    finally:
        os.close(fd)


def test_what_was_digested_on_arrival_is_known_and_right(fetched: Path) -> None:
    found = _known(fetched)
    data = fetched.read_bytes()
    assert found == {
        index: hashlib.sha256(data[index * MIB : (index + 1) * MIB]).digest()
        for index in range(SIZE // MIB)
    }
    assert not _known(fetched, "sha512")


def test_parts_of_a_set_are_known_where_their_chunks_lie(fetched: Path) -> None:
    fd = os.open(fetched, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        files = [FileContent(-1, 0, 0, bytes(MIB)), FileContent(fd, 0, size)]
        content = JoinedContent(files)
        found = arrivals.known(content, MIB, "sha256")
        assert set(found) == set(range(1, 1 + SIZE // MIB))
        table = tree.table(content, chunk_size=MIB, algorithm="sha256")
        assert all(table[index * 32 : index * 32 + 32] == found[index] for index in found)
        shifted = JoinedContent([FileContent(-1, 0, 0, b"x"), FileContent(fd, 0, size)])
        assert not arrivals.known(shifted, MIB, "sha256")
    finally:
        os.close(fd)


def _flip(path: Path) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        byte = os.pread(fd, 1, 5 * MIB)[0]
        os.pwrite(fd, bytes([byte ^ 1]), 5 * MIB)
    finally:
        os.close(fd)


def _exchange(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[5 * MIB] ^= 1
    path.rename(path.with_name("old"))
    path.write_bytes(data)


@pytest.mark.parametrize("attack", [_flip, _exchange])
def test_nothing_is_known_of_a_copy_that_somebody_has_written_to(
    fetched: Path, attack: Callable[[Path], None]
) -> None:
    assert _known(fetched)
    attack(fetched)
    assert not _known(fetched)


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
@pytest.mark.parametrize("attack", [_flip, _exchange])
def test_copy_that_is_changed_between_arrival_and_load_is_refused(
    keras: Any,
    place: Place,
    name: str,
    attack: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = keras.Sequential([keras.Input((2048,)), keras.layers.Dense(2560, name="d")])
    url = f"{place.url}/{name}"
    (model.save_weights if name.endswith(".weights.h5") else model.save)(url)
    fetch, done = spool.fetch, []

    def fetch_and_attack(source: Any, local: str, **options: Any) -> None:
        fetch(source, local, **options)
        if local.endswith(name):
            attack(Path(local))
            done.append(local)

    def load() -> Any:
        if name.endswith(".weights.h5"):
            other = keras.models.clone_model(model)
            other.load_weights(url)
            return other
        return keras.models.load_model(url)

    assert np.array_equal(load().get_weights()[0], model.get_weights()[0])
    monkeypatch.setattr(spool, "fetch", fetch_and_attack)
    with pytest.raises(kih.ChecksumMismatchError):
        load()
    assert done
