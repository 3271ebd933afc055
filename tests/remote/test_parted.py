# SPDX-License-Identifier: Apache-2.0
"""Large files that come in parts, by several readers: whole, digested, and of one moment."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.files import portable
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.remote import at_once, parted, sources, spool
from keras_integrity_hook.remote.arrivals import Cut, Noted
from keras_integrity_hook.remote.sources import Source
from tests.remote.conftest import Place
from tests.support.buckets import Bucket, Web

SIZE = 20 * MIB + 12_345
DATA = os.urandom(1000) * (SIZE // 1000 + 1)

by_fsspec = pytest.mark.parametrize("place", ["memory"], indirect=True)
by_tensorflow = pytest.mark.parametrize("place", ["ram"], indirect=True)


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portable, "cores", lambda: 2)


class Target:
    """What is put together of the parts."""

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)
        self.pieces: list[int] = []

    def put(self, data: bytes, at: int) -> None:
        """Keep ``data`` at ``at``; no byte comes twice."""
        self.data[at : at + len(data)] = data
        self.pieces.append(len(data))  # by several threads, which a sum would be lost among


@pytest.mark.parametrize("size", [1, MIB, 8 * MIB, 8 * MIB + 1, SIZE])
@pytest.mark.parametrize("first", [0, 512, MIB - 1, 9 * MIB])
@pytest.mark.parametrize("readers", [1, 2, 5])
@by_fsspec
def test_parts_are_the_file_and_have_the_digests_of_its_chunks(
    place: Place, size: int, first: int, readers: int
) -> None:
    data = DATA[:size]
    place.write("m", data)
    with sources.open_source(f"{place.url}/m") as source:
        target = Target(size)
        came = parted.fetch(source, target.put, lambda head: Cut("sha256", MIB, first), readers)
    assert bytes(target.data) == data
    assert sum(target.pieces) == size
    assert came.digests == {
        at: hashlib.sha256(data[at : at + MIB]).digest() for at in range(first, size - MIB + 1, MIB)
    }


def test_each_reader_of_a_bucket_asks_for_parts_and_no_byte_comes_twice(
    bucket: Bucket,
) -> None:
    bucket.write("m.keras", DATA)
    bucket.requests()
    with (
        sources.open_source(f"{bucket.url}/m.keras") as source,
        spool.fetched(source, algorithm="sha256") as local,
    ):
        assert Path(local).read_bytes() == DATA
    got = [one for one in bucket.requests() if one.method == "GET"]
    assert sum(one.sent for one in got) == len(DATA)
    assert len(got) == 3
    assert all(one.ranged != "-" for one in got)


class _Replaced(Source):
    """A file that somebody replaces as soon as its second part is asked for."""

    def again(self) -> Source:
        self.replace()
        return super().again()

    def replace(self) -> None:
        raise NotImplementedError


def test_file_of_a_bucket_that_is_replaced_between_two_parts_is_refused(
    bucket: Bucket,
) -> None:
    url = bucket.write("m.keras", DATA)

    class Replaced(_Replaced):
        def replace(self) -> None:
            bucket.write("m.keras", DATA[::-1])

    with sources.open_source(url) as found:
        source = Replaced(url, found._store, found._entry)
        with pytest.raises(kih.RemoteChangedError), spool.fetched(source, algorithm="sha256"):
            pass


@by_tensorflow
def test_what_cannot_tell_that_it_was_replaced_comes_by_one_reader_unless_it_is_sealed(
    place: Place,
) -> None:
    """``ram://`` keeps no times: parts of two files of one size would pass for one."""
    place.write("m.keras", DATA)
    with sources.open_source(f"{place.url}/m.keras") as source:
        assert source.parts is not None
        assert parted.readers_of(source) == 1
        assert parted.readers_of(source, is_sealed=True) == 2
        assert parted.readers_of(source, 1, is_sealed=True) == 1


def test_web_server_is_read_as_a_stream(web: Web) -> None:
    web.files["/m.keras"] = b"x" * 100
    with sources.open_source(f"{web.url}/m.keras") as source:
        assert parted.readers_of(source, is_sealed=True) == 1


@by_fsspec
def test_reader_that_fails_ends_the_others_and_the_fetch(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place.write("m.keras", DATA)
    before = sorted(os.listdir("/proc/self/fd"))
    with sources.open_source(f"{place.url}/m.keras") as source:
        read = Source.read

        def failing(self: Source, offset: int, length: int) -> bytes:
            if offset >= 16 * MIB:
                raise kih.RemoteUnavailableError("the line is dead", path=self.url)
            return read(self, offset, length)

        monkeypatch.setattr(Source, "read", failing)
        with pytest.raises(kih.RemoteUnavailableError, match="the line is dead"):
            spool.fetch(
                source,
                str(tmp_path / "m.keras"),
                manner=spool.Manner(Noted(), lambda head: None, 3),
            )
    assert sorted(os.listdir("/proc/self/fd")) == before


@by_tensorflow
@pytest.mark.parametrize("kind", ["SavedModel", "checkpoint"])
def test_large_set_comes_in_parts_is_loaded_and_refused_if_damaged(
    place: Place, kind: str, keras: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tf = pytest.importorskip("tensorflow")
    model = keras.Sequential([keras.Input((2048,)), keras.layers.Dense(2560)])
    calls: list[int] = []
    fetch = parted.fetch

    def counted(source: Source, put: Any, cut_of: Any, readers: int) -> parted.Came:
        calls.append(readers)
        return fetch(source, put, cut_of, readers)

    monkeypatch.setattr(parted, "fetch", counted)
    if kind == "SavedModel":
        model.export(f"{place.url}/m", verbose=False)
        name = "m/variables/variables.data-00000-of-00001"

        def load() -> Any:
            loaded = tf.saved_model.load(f"{place.url}/m")
            return loaded.serve(np.ones((1, 2048), "float32"))

    else:
        tf.train.Checkpoint(model=model).write(f"{place.url}/m")
        name = "m.data-00000-of-00001"

        def load() -> Any:
            other = keras.models.clone_model(model)
            tf.train.Checkpoint(model=other).read(f"{place.url}/m").assert_consumed()
            return other(np.ones((1, 2048), "float32"))

    assert np.allclose(load(), model(np.ones((1, 2048), "float32")))
    assert calls == [2]
    data = bytearray(place.read(name))
    data[len(data) // 2] ^= 1
    place.write(name, bytes(data))
    with pytest.raises(kih.ChecksumMismatchError):
        load()
    assert calls == [2, 2]


def test_tasks_are_shared_by_no_more_threads_than_they_may() -> None:
    import threading

    seen: set[int] = set()
    at_once.each(range(50), lambda task: seen.add(threading.get_ident()), 1)
    assert seen == {threading.get_ident()}
