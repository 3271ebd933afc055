# SPDX-License-Identifier: Apache-2.0
"""Paths and files that are no model: one typed error each, at once and for little memory.

Every case goes through ``verify`` and through Keras's own loaders.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.sealing import block, canonical, envelope, statement
from tests.support.models import archive_bytes, hdf5_bytes

SUFFIXES = (".keras", ".weights.h5", ".h5")
MEMORY = 64 << 20  # bytes a refusal may take at its peak
# A wait for a FIFO's writer or a read of all of /dev/zero must fail, not hang.
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def model(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential([layers.Input((8,)), layers.Dense(16), layers.Dense(3)])


def loaders(keras: Any, model: Any, path: Path) -> list[Callable[[Path], Any]]:
    """What a user could call with ``path``."""
    if path.name.endswith(".weights.h5"):
        return [kih.verify, model.load_weights]
    return [kih.verify, keras.models.load_model, model.load_weights]


def refused(
    keras: Any, model: Any, path: Path, kind: type[kih.IntegrityError], match: str
) -> kih.IntegrityError:
    """Every loader refuses ``path`` with this error, and changes nothing of the model."""
    before = model.get_weights()
    for load in loaders(keras, model, path):
        with bounded_memory(), pytest.raises(kih.IntegrityError, match=match) as caught:
            load(path)
        assert type(caught.value) is kind, load
        assert caught.value.path == str(path)
        assert caught.value.remedy()
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))
    return caught.value


@contextlib.contextmanager
def bounded_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


# Paths that are no regular file


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_directory_is_refused(keras: Any, model: Any, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    path.mkdir()
    (path / "notes.txt").touch()
    refused(keras, model, path, kih.UnreadableFileError, "is a directory")


def test_directory_that_keras_loads_is_left_to_it(keras: Any, tmp_path: Path) -> None:
    """Keras loads an Orbax checkpoint whatever it is called; here it finds this one empty."""
    path = tmp_path / "m.keras"
    path.mkdir()
    (path / "orbax.checkpoint").touch()
    with pytest.raises(Exception, match=r".") as caught:
        keras.models.load_model(path)
    assert not isinstance(caught.value, kih.IntegrityError)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_fifo_is_refused_without_waiting(
    keras: Any, model: Any, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"m{suffix}"
    os.mkfifo(path)
    refused(keras, model, path, kih.UnreadableFileError, "is a FIFO")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_socket_is_refused(
    keras: Any, model: Any, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path may have 107 bytes at most
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"m{suffix}")
        refused(keras, model, Path(f"m{suffix}"), kih.UnreadableFileError, "is a socket")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_device_is_refused(keras: Any, model: Any, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    path.symlink_to("/dev/zero")
    refused(keras, model, path, kih.UnreadableFileError, "is a character device")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("target", ["nowhere", "itself"])
def test_dangling_symlink_is_refused(
    keras: Any, model: Any, tmp_path: Path, suffix: str, target: str
) -> None:
    path = tmp_path / f"m{suffix}"
    path.symlink_to(path if target == "itself" else tmp_path / target)
    refused(keras, model, path, kih.UnreadableFileError, "symbolic link")


def test_missing_file_is_a_typed_error_of_verify(tmp_path: Path) -> None:
    """What Keras says of one is its own affair; see test_errors_of_keras_stay_its_own."""
    with pytest.raises(kih.UnreadableFileError, match="no such file"):
        kih.verify(tmp_path / "missing.keras")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_name_no_file_can_have_is_refused(
    keras: Any, model: Any, tmp_path: Path, suffix: str
) -> None:
    for name in ("n" * 300, "nul\0"):
        path = tmp_path / f"{name}{suffix}"
        refused(keras, model, path, kih.UnreadableFileError, "cannot be opened")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_name_below_a_file_is_that_of_no_file(
    keras: Any, model: Any, tmp_path: Path, suffix: str
) -> None:
    """What is not there is Keras's affair, as any missing file."""
    (tmp_path / "file").touch()
    path = tmp_path / "file" / f"below{suffix}"
    with pytest.raises(kih.UnreadableFileError):
        kih.verify(path)
    for load in loaders(keras, model, path)[1:]:
        with pytest.raises((OSError, ValueError)):
            load(path)


DENIED = """
import json, os, sys
import keras_integrity_hook as kih
kih.activate()
import keras

model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(3)])
paths = sys.argv[1:]
if os.geteuid() == 0:  # root may read everything
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
said = []
for path in paths:
    weights = path.endswith(".weights.h5")
    for load in (kih.verify, model.load_weights, *([] if weights else [keras.models.load_model])):
        try:
            load(path)
        except Exception as error:
            said.append([path, type(error).__name__, str(error)])
        else:
            said.append([path, "loaded", ""])
print(json.dumps(said))
"""


def test_permission_denied_is_refused(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    paths = [folder / f"m{suffix}" for folder in (tmp_path, closed) for suffix in SUFFIXES]
    for path in paths:
        path.write_bytes(archive_bytes() if path.suffix == ".keras" else hdf5_bytes())
        path.chmod(0o644 if path.parent == closed else 0)
    closed.chmod(0)
    try:
        done = subprocess.run(
            [sys.executable, "-c", DENIED, *map(str, paths)],
            env={**os.environ, "PYTHONPATH": str(Path(kih.__file__).parent.parent)},
            capture_output=True,
            check=True,
            text=True,
        )
    finally:
        closed.chmod(0o700)
    said = json.loads(done.stdout.splitlines()[-1])
    assert {path for path, _, _ in said} == {str(path) for path in paths}
    for path, kind, text in said:
        assert kind == "UnreadableFileError", (path, kind, text)
        assert "Permission denied" in text


# Files that are something else


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "is empty"),
        (b"hello, I am text\n" * 9, "neither a Keras archive nor HDF5"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git-LFS pointer"),
    ],
    ids=["empty", "text", "git-lfs pointer"],
)
def test_file_that_is_no_model_is_called_so(
    keras: Any, model: Any, tmp_path: Path, suffix: str, data: bytes, match: str
) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(data)
    error = refused(keras, model, path, kih.NotAModelError, match)
    assert ("git lfs pull" in error.remedy()) is (match == "Git-LFS pointer")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_ten_gigabytes_of_nothing_are_refused_at_once(
    keras: Any, model: Any, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"m{suffix}"
    with open(path, "wb") as file:
        file.truncate(10 << 30)
    refused(keras, model, path, kih.NotAModelError, "neither a Keras archive nor HDF5")


def test_ten_gigabytes_behind_the_start_of_an_archive_are_refused_at_once(
    keras: Any, model: Any, tmp_path: Path
) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(archive_bytes())
    os.truncate(path, 10 << 30)
    refused(keras, model, path, kih.DamagedFileError, "bytes were appended")


# Seals that lie


def sealed_with(name: str, payload: bytes | None, wrapped: bytes = b"") -> bytes:
    """A model in a well-formed frame around ``payload``, or around a whole envelope."""
    if payload is not None:
        wrapped = envelope.encode(envelope.Envelope(payload))
    if name.endswith(".keras"):
        data, seal = archive_bytes(), block.encode(wrapped, b"\0" * 32)
        (at,) = struct.unpack_from("<I", data, len(data) - 6)
        whole = bytearray(data[:at] + seal + data[at:])
        struct.pack_into("<I", whole, len(whole) - 6, at + len(seal))
        return bytes(whole)
    bare = len(block.encode(wrapped, b"\0" * 32))
    room = 1 << (bare - 1).bit_length()
    return block.encode(wrapped, b"\0" * 32, room - bare) + hdf5_bytes()


def statement_bytes(container: str, size: int) -> bytes:
    said = statement.Statement(
        "m", "0" * 64, container, "sha256", 1 << 20, 1 << 20, "2026-01-01T00:00:00Z"
    )
    return re.sub(rb'"size":\d+', b'"size":%d' % size, statement.encode(said), count=1)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("power", [52, 80])
def test_seal_that_claims_two_to_the_sixty_chunks_is_refused(
    keras: Any, model: Any, tmp_path: Path, suffix: str, power: int
) -> None:
    """2^80 bytes are 2^60 chunks of 1 MiB; 2^52 bytes are the most JSON can say exactly."""
    path = tmp_path / f"m{suffix}"
    container = "keras-zip" if suffix == ".keras" else "hdf5"
    path.write_bytes(sealed_with(path.name, statement_bytes(container, 1 << power)))
    if power == 52:
        refused(keras, model, path, kih.LimitExceededError, f"claims a content of {1 << 52} bytes")
    else:
        refused(keras, model, path, kih.MalformedSealError, "not an exact integer")


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
def test_seal_that_claims_absurd_lengths_is_refused_without_allocating(
    keras: Any, model: Any, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"m{suffix}"
    header = struct.pack("<8sHHIII", b"KERASEAL", 1, 0, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    path.write_bytes(header + hdf5_bytes())
    refused(keras, model, path, kih.LimitExceededError, "is over")


DEEP = (b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("text", DEEP, ids=["arrays", "objects"])
def test_json_ten_thousand_levels_deep_is_refused(
    keras: Any, model: Any, tmp_path: Path, suffix: str, text: bytes
) -> None:
    with pytest.raises(kih.LimitExceededError):
        canonical.decode(text)
    path = tmp_path / f"m{suffix}"
    for data in (sealed_with(path.name, text), sealed_with(path.name, None, text)):
        path.write_bytes(data)
        refused(keras, model, path, kih.LimitExceededError, "deep")


# Archives that read differently in different readers


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_with_duplicate_names_is_refused(keras: Any, model: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(archive_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", b'{"evil": 1}')
    refused(keras, model, path, kih.DamagedFileError, "two members of one name")


@pytest.mark.parametrize("moved", [True, False])
def test_zip_with_a_prefix_is_refused(keras: Any, model: Any, tmp_path: Path, moved: bool) -> None:
    """With offsets that count the prefix (as a self-extracting archive has) and without."""
    path = tmp_path / "m.keras"
    if moved:
        path.write_bytes(b"PK\x03\x04 prefix")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("config.json", b"{}")
    else:
        path.write_bytes(b"PK\x03\x04 prefix" + archive_bytes())
    refused(keras, model, path, kih.DamagedFileError, "no member" if moved else "does not fit")
    path.write_bytes(b"#!/bin/sh\n" + archive_bytes())
    refused(keras, model, path, kih.NotAModelError, "its start is lost")


# Bytes outside the file


def evil_hdf5(kind: str, secret: Path) -> bytes:
    """Weights of which one lies in ``secret``."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("layers/dense/vars")
        if kind == "external link":
            group["0"] = h5py.ExternalLink(str(secret), "/v")
        elif kind == "external storage":
            group.create_dataset("0", (8, 16), "float32", external=[(str(secret), 0, 512)])
        else:
            layout = h5py.VirtualLayout((8, 16), "float32")
            layout[:] = h5py.VirtualSource(str(secret), "v", (8, 16))
            group.create_virtual_dataset("0", layout)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", ["external link", "external storage", "virtual dataset"])
@pytest.mark.parametrize("sealed", [True, False])
def test_hdf5_that_points_elsewhere_is_refused(
    keras: Any, model: Any, tmp_path: Path, kind: str, sealed: bool, suffix: str
) -> None:
    secret, path = tmp_path / "secret.h5", tmp_path / f"m{suffix}"
    with h5py.File(secret, "w") as file:
        file["v"] = np.ones((8, 16), dtype="float32")
    data = evil_hdf5(kind, secret)
    if suffix == ".keras":
        model.save(path)
        with zipfile.ZipFile(path) as archive:
            config = archive.read("config.json")
        data = archive_bytes(data, config)
    path.write_bytes(data)
    if sealed:
        kih.seal(path)
    before = model.get_weights()
    for load in loaders(keras, model, path)[1:]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(kih.ExternalReferenceError):
                load(path)
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))
