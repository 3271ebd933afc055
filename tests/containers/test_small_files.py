# SPDX-License-Identifier: Apache-2.0
"""A small file of any kind is answered for little work and memory, whatever it describes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.containers import member_names
from keras_integrity_hook.detached import bundle
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.settings import toml_file
from keras_integrity_hook.signing import trust_file
from keras_integrity_hook.verification import hdf5_reader
from tests.support import hostile
from tests.support.work import work_of

# A fifth of a microsecond each, on average: counted, because nothing else is the same everywhere.
CALLS = 4_000_000
READ = 128 << 20
MEMORY = 64 << 20
pytestmark = pytest.mark.timeout(120)


def assert_cheap(action: Callable[[], object]) -> None:
    """``action`` ends soon, with an answer or with one of our errors."""

    def answered() -> None:
        with contextlib.suppress(IntegrityError):
            action()

    work = work_of(answered, memory=True)
    assert work.calls < CALLS
    assert work.read < READ
    assert work.memory < MEMORY


@pytest.fixture(params=hostile.FILES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made: Path = tmp_path / str(request.param)
    made.write_bytes(hostile.FILES[request.param]())
    return made


def test_verify_is_cheap(path: Path) -> None:
    assert_cheap(lambda: kih.verify(path))


def test_seal_is_cheap(path: Path) -> None:
    data = path.read_bytes()

    def sealed_anew() -> None:
        path.write_bytes(data)
        kih.seal(path)

    assert_cheap(sealed_anew)


def test_damage_is_found_cheaply(path: Path) -> None:
    with contextlib.suppress(IntegrityError):
        kih.seal(path)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        assert_cheap(lambda: kih.verify(path))


def test_maze_of_links_is_not_walked() -> None:
    with h5py.File(io.BytesIO(hostile.maze_of_links())) as opened:
        assert_cheap(lambda: hdf5_reader.refuse_external(opened, None))
        with pytest.raises(kih.LimitExceededError, match="more links"):
            hdf5_reader.refuse_external(opened, None)


def test_as_many_links_as_a_file_needs_are_followed() -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for number in range(3_000):
            file.create_group(f"layers/{number}/vars")
    with h5py.File(buffer) as opened:
        hdf5_reader.refuse_external(opened, None)


@pytest.mark.parametrize(
    ("parse", "data"),
    [
        (member_names.shards_in, hostile.crowded_index),
        (bundle.decode, hostile.crowded_bundle),
        (lambda data: trust_file.parse(data, "trust.toml"), hostile.deep_toml),
        (lambda data: toml_file.parse(data, "p.toml", toml_file.Layer.USER), hostile.deep_toml),
    ],
    ids=["index of shards", "bundle", "trust file", "policy"],
)
def test_text_is_parsed_cheaply(
    parse: Callable[[bytes], object], data: Callable[[], bytes]
) -> None:
    text = data()
    assert_cheap(lambda: parse(text))


def test_directory_of_many_files_is_sealed_in_steps_that_grow_with_it(tmp_path: Path) -> None:
    calls = []
    for count in (500, 1_000):
        top = tmp_path / f"model{count}"
        top.mkdir()
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            (top / name).touch()
        (top / "assets").mkdir()
        for number in range(count):
            (top / "assets" / f"{number}").touch()
        calls.append(work_of(lambda top=top: kih.seal(top)).calls)  # type: ignore[misc]
    assert calls[1] < 2.5 * calls[0]
