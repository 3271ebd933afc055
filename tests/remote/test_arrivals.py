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
from keras_integrity_hook.files import lease, portable, temporary
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.remote import arrivals, sources, spool
from keras_integrity_hook.remote.arrivals import Arriving, Cut
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.content import Content, FileContent, JoinedContent
from tests.remote.conftest import Place

# Of how a store is read this alone matters here: fsspec in large pieces, TensorFlow in small ones.
by_fsspec = pytest.mark.parametrize("place", ["memory"], indirect=True)
by_tensorflow = pytest.mark.parametrize("place", ["ram"], indirect=True)
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


@by_fsspec
def test_what_was_digested_on_arrival_is_known_and_right(fetched: Path) -> None:
    found = _known(fetched)
    data = fetched.read_bytes()
    assert found == {
        index: hashlib.sha256(data[index * MIB : (index + 1) * MIB]).digest()
        for index in range(SIZE // MIB)
    }
    assert not _known(fetched, "sha512")


@by_fsspec
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


@by_fsspec
@pytest.mark.parametrize("attack", [_flip, _exchange])
def test_nothing_is_known_of_a_copy_that_somebody_has_written_to(
    fetched: Path, attack: Callable[[Path], None]
) -> None:
    assert _known(fetched)
    attack(fetched)
    assert not _known(fetched)


FORMS = {"m.keras": "m.keras", "m.weights.h5": "m.weights.h5", "m": "model.weights.h5"}
"""Models of 20 MB, and the large file of each."""


@pytest.fixture(params=FORMS)
def load(request: pytest.FixtureRequest, keras: Any, place: Place) -> Callable[[], Any]:
    """Loads a model of one of the forms that was saved at a URL; its weights are as they were."""
    name: str = request.param
    url = f"{place.url}/{name}"
    model = keras.Sequential([keras.Input((2048,)), keras.layers.Dense(2560, name="d")])
    if name == "m.weights.h5":
        model.save_weights(url)
    else:
        model.save(url, zipped=name != "m")

    def load() -> None:
        if name == "m.weights.h5":
            other = keras.models.clone_model(model)
            other.load_weights(url)
        else:
            other = keras.models.load_model(url)
        assert np.array_equal(other.get_weights()[0], model.get_weights()[0])

    load.__name__ = FORMS[name]
    return load


@by_tensorflow
def test_load_digests_what_has_arrived_once(
    load: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "LARGE", 0)
    tables: list[tuple[int, int]] = []
    table = tree.table

    def noting(content: Content, **options: Any) -> bytes:
        tables.append((content.size // MIB, len(options.get("known", ()))))
        return table(content, **options)

    with temporary.private_folder() as folder:
        fd = os.open(folder, os.O_RDONLY)
        is_kept = lease.is_kept_at(fd)
        os.close(fd)
    monkeypatch.setattr(tree, "table", noting)
    load()
    assert tables
    for chunks, known in tables:
        assert known >= (chunks - 1 if is_kept else 0)


@by_tensorflow
@pytest.mark.parametrize("attack", [_flip, _exchange])
def test_copy_that_is_changed_between_arrival_and_load_is_refused(
    load: Callable[[], Any], attack: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, done = spool.fetch, []

    def fetch_and_attack(source: Any, local: str, **options: Any) -> None:
        fetch(source, local, **options)
        if os.path.basename(local) == load.__name__:
            attack(Path(local))
            done.append(local)

    monkeypatch.setattr(spool, "fetch", fetch_and_attack)
    with pytest.raises(kih.ChecksumMismatchError):
        load()
    assert done
