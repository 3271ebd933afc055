# SPDX-License-Identifier: Apache-2.0
"""A publisher who signs models, and what somebody without its key can do to the files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.containers import file_set, recognition
from keras_integrity_hook.containers.model_file import Seal
from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.saving import seal_writer
from keras_integrity_hook.sealing import block, envelope
from keras_integrity_hook.sealing.envelope import Envelope
from tests.support import model_kinds
from tests.support.signers import let_trust, make_key

KINDS = ("model.keras", "model.weights.h5", *model_kinds.SETS)
GOOD, EVIL = 1.0, 9.0
"""Every weight of a published model, and of one that an attacker made."""

SIGNED = 'require = "signed"\n'


def build(value: float, name: str = "fraud") -> Any:
    """A model called ``name``, all of whose weights are ``value``."""
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")], name=name)
    model.set_weights([np.full(weight.shape, value, "float32") for weight in model.get_weights()])
    return model


def load(path: Path) -> Any:
    """Load ``path`` as what it is; weights go into a fresh model."""
    if path.name == "legacy.h5":
        import keras

        return keras.models.load_model(path)
    return model_kinds.load(build(0.0), path)


def value_of(path: Path) -> float:
    """The value of the weights that ``path`` gives when it is loaded."""
    loaded = load(path)
    (value,) = {float(value) for weight in loaded.get_weights() for value in np.unique(weight)}
    return value


class Publisher:
    """Saves models and signs them with a key that the user trusts as ``release``."""

    def __init__(self, home: Path) -> None:
        home.mkdir(exist_ok=True)
        self.key = home / "release.key"
        self.public = make_key(self.key, "ecdsa")
        let_trust("release", self.public)

    def publish(
        self, path: Path, value: float = GOOD, *, name: str = "fraud", version: str = "2.0"
    ) -> Path:
        """A signed model at ``path``, of the kind that its name asks for."""
        self.save(path, value, name=name, version=version)
        kih.sign(path, key=str(self.key))
        return path

    def save(
        self, path: Path, value: float = GOOD, *, name: str = "fraud", version: str = "2.0"
    ) -> Path:
        """The same, not signed: whatever anybody with Keras can make."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with kih.provenance(name=name, version=version):
            if path.name == "legacy.h5":
                build(value, name).save(path)
            else:
                model_kinds.save(build(value, name), path)
        return path


def seal_of(path: Path) -> Seal:
    with open_model(path) as model:
        assert model.seal is not None
        return model.seal


def put_seal(path: Path, wrapped: Envelope, table: bytes) -> None:
    """Make this the seal of the model at ``path``, in the place of one that it has."""
    if kih.inspect(path).state == "sealed":
        kih.unseal(path)
    place = recognition.recognise(str(path))
    if place is not None:
        with file_set.open_directory(place) as files:
            seal = block.encode(envelope.encode(wrapped), table)
            seal_writer.put_beside(files.directory, place, seal)
        return
    fd = os.open(path, os.O_RDWR)
    try:
        seal_writer.put_block(fd, seal_writer.plain_layout(fd), envelope.encode(wrapped), table)
    finally:
        os.close(fd)


def put_raw(path: Path, wrapped: bytes, table: bytes) -> None:
    """The same by hand for an archive without a seal, of an envelope that may be none."""
    data, seal = path.read_bytes(), block.encode(wrapped, table)
    (at,) = struct.unpack_from("<I", data, len(data) - 6)
    ended = bytearray(data[:at] + seal + data[at:])
    struct.pack_into("<I", ended, len(ended) - 6, at + len(seal))
    path.write_bytes(ended)


def framed(body: bytes) -> bytes:
    """``body`` with the digest and the trailer that a block has."""
    size = len(body) + 32 + block.TRAILER_SIZE
    return body + hashlib.sha256(body).digest() + struct.pack("<Q8s", size, block.MAGIC)


def point_elsewhere(path: Path, other: Path, how: str) -> None:
    """Let a weight of the HDF5 file at ``path`` be one that lies in the file ``other``."""
    with h5py.File(other, "w") as file:
        file["v"] = np.full((4, 3), EVIL, "float32")
    with h5py.File(path, "r+") as file:
        group = file["layers/dense/vars"]
        del group["0"]
        if how == "external link":
            group["0"] = h5py.ExternalLink(str(other), "/v")
        elif how == "external storage":
            group.create_dataset("0", (4, 3), "float32", external=[(str(other), 0, 48)])
        else:
            layout = h5py.VirtualLayout((4, 3), "float32")
            layout[:] = h5py.VirtualSource(str(other), "v", (4, 3))
            group.create_virtual_dataset("0", layout)


def edit(path: Path) -> None:
    """Write other weights over those of the model at ``path``, and nothing else."""
    file = model_kinds.attacked_file(path)
    data = file.read_bytes()
    old, new = (np.full(12, value, "float32").tobytes() for value in (GOOD, EVIL))
    assert old in data
    file.write_bytes(data.replace(old, new))


def members(path: Path) -> Iterator[tuple[zipfile.ZipInfo, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            yield info, archive.read(info)


def rebuilt(path: Path, others: Path, *names: str) -> None:
    """Write the archive at ``path`` anew, its members ``names`` taken from ``others``."""
    taken = {info.filename: data for info, data in members(others)}
    found = [(info, data) for info, data in members(path)]
    with zipfile.ZipFile(path, "w") as archive:
        for info, data in found:
            other = taken[info.filename] if info.filename in names else data
            archive.writestr(info.filename, other)


def swap(one: Path, other: Path) -> None:
    """Exchange two files or directories."""
    between = one.with_name(one.name + ".swap")
    one.rename(between)
    other.rename(one)
    between.rename(other)


def copy(source: Path, target: Path) -> None:
    """Copy a file or a directory."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)


def refused(kind: type[kih.IntegrityError], path: Path, match: str = ".") -> kih.IntegrityError:
    """Loading ``path`` raises exactly this kind of error, naming the model; returns it."""
    with pytest.raises(kih.IntegrityError, match=match) as caught:
        load(path)
    assert type(caught.value) is kind, caught.value
    assert caught.value.path is not None
    return caught.value


def repair_crc(path: Path) -> None:
    """Make the CRCs in the archive at ``path`` those of its members, and change nothing else."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    for info in infos:
        start = info.header_offset
        name, extra = struct.unpack_from("<HH", data, start + 26)
        begin = start + 30 + name + extra
        crc = struct.pack("<I", zlib.crc32(data[begin : begin + info.compress_size]))
        central = data.rindex(info.filename.encode()) - 46
        data[start + 14 : start + 18] = data[central + 16 : central + 20] = crc
    path.write_bytes(data)


@contextlib.contextmanager
def attacked_by(*command: str) -> Iterator[None]:
    """Let another process attack meanwhile; it prints ``ready`` once it has begun."""
    attacker = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert attacker.stdout is not None
        assert attacker.stdout.readline() == b"ready\n"
        yield
        assert attacker.poll() is None, "the attacker died, so nothing was attacked"
    finally:
        attacker.kill()
        attacker.communicate()
