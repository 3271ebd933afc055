# SPDX-License-Identifier: Apache-2.0
"""Attacks by what surrounds a configuration: JSON, ZIP, HDF5, NumPy archives, sets of files."""

from __future__ import annotations

import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from tests.inspection.corpus import formats
from tests.inspection.corpus.case import Case
from tests.inspection.corpus.configs import (
    calling,
    dense,
    function,
    legacy_lambda,
    legacy_sequential,
    sequential,
)
from tests.inspection.corpus.constructs import ELSEWHERE, REFUSE, REVIEW, pickled
from tests.inspection.corpus.formats import archive, hdf5_file, text

_HARMLESS = text(sequential(dense()))
_ATTACK = text(sequential(calling(function("os", "system"))))
_EVIL = text(calling(function("os", "system")))[1:-1]  # the inside of an object


def _escaped(data: bytes) -> bytes:
    """The same JSON, its texts written with escapes only."""
    parts = data.decode().split('"')
    texts = ["".join(f"\\u{ord(letter):04x}" for letter in part) for part in parts[1::2]]
    parts[1::2] = texts
    return '"'.join(parts).encode()


def json_cases() -> Iterator[Case]:
    """JSON that says two things, or takes too much to read."""
    shadow = _HARMLESS.replace(b'"class_name": "Dense"', b'"class_name": "Dense", ' + _EVIL)
    before = _HARMLESS.replace(b'"class_name": "Dense"', _EVIL + b', "class_name": "Dense"')
    nested = '{"class_name": "Sequential", "config": %s}'
    objects = ('{"a":' * 10_000 + "1" + "}" * 10_000).encode()
    lists = ("[" * 10_000 + "]" * 10_000).encode()
    texts: dict[str, bytes] = {
        "key twice, the second attacks": shadow,
        "key twice, the first attacks": before,
        "key twice, once escaped": _HARMLESS.replace(
            b'"class_name": "Dense"', b'"class_name": "Dense", "class\\u005fname": "Lambda"'
        ),
        "ten thousand lists": (nested % lists.decode()).encode(),
        "ten thousand objects": (nested % objects.decode()).encode(),
        "a hundred thousand lists": b"[" * 100_000,
        "integer of a million digits": _HARMLESS.replace(
            b'"units": 3', b'"units": ' + b"9" * 10**6
        ),
        "integer of five thousand digits": _HARMLESS.replace(
            b'"units": 3', b'"units": ' + b"9" * 5000
        ),
        "no JSON": b"\x80\x04" + _HARMLESS,
        # Python's json takes all of these for the encodings that they are.
        "UTF-16": _ATTACK.decode().encode("utf-16"),
        "UTF-32": _ATTACK.decode().encode("utf-32-le"),
        "byte order mark": b"\xef\xbb\xbf" + _ATTACK,
        "every letter escaped": _escaped(_ATTACK),
        "after white space": b" \t\r\n" * 50_000 + _ATTACK,
    }
    for name, data in texts.items():
        yield Case(f"{name}/keras", "model.keras", archive(data), REVIEW)
    for name in ("key twice, the second attacks", "ten thousand objects", "no JSON"):
        yield Case(f"{name}/directory", "model", formats.directory(texts[name]), REVIEW)
    yield Case(
        "key twice in metadata/keras",
        "model.keras",
        archive(_HARMLESS, {"metadata.json": b'{"keras_version": "3", "keras_version": "4"}'}),
        REVIEW,
    )


def _zip(edit: Callable[[zipfile.ZipFile], None]) -> formats.Writer:
    def write(path: Path) -> None:
        archive(_HARMLESS)(path)
        with zipfile.ZipFile(path, "a") as file:
            edit(file)

    return write


def _adding(name: str, data: bytes) -> Callable[[zipfile.ZipFile], None]:
    return lambda file: file.writestr(name, data)


def _linked(file: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("assets/layers/words.txt")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    file.writestr(info, "/etc/passwd")


def _encrypted(path: Path) -> None:
    archive(_HARMLESS)(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    data[6] |= 1
    path.write_bytes(data)


def zip_cases() -> Iterator[Case]:
    """Archives that hold what Keras never puts into one."""
    members = {
        "../../evil.py": b"print()",
        "/tmp/evil.py": b"print()",
        "assets/../../evil.py": b"print()",
        "assets\\..\\..\\evil.py": b"print()",
        "C:\\evil.py": b"print()",
        "evil.py": b"print()",
        "__init__.py": b"print()",
        "keras/__init__.py": b"print()",
        "model.pkl": pickled(),
        "assets/layers/text_vectorization/words.txt": pickled(),
        "assets/data.npy": b"\x93NUMPY\x01\x00" + pickled(),
        "plugin.so": b"\x7fELF" + bytes(60),
        "assets/tool": b"#!/bin/sh\ntrue\n",
        "assets/inner.zip": _nested(),
        "model.weights.npz": _npz(np.array([{}], object)),
    }
    for name, data in members.items():
        least = REFUSE if ".." in name or name.startswith(("/", "C:")) else REVIEW
        yield Case(f"member {name}/keras", "model.keras", _zip(_adding(name, data)), least)
    bomb = archive(_HARMLESS, {"assets/zeros": bytes(80 << 20)}, zipfile.ZIP_DEFLATED)
    yield Case("member that inflates/keras", "model.keras", bomb, REVIEW)
    config = archive(b" " * (80 << 20) + _HARMLESS, compression=zipfile.ZIP_DEFLATED)
    yield Case("configuration that inflates/keras", "model.keras", config, REVIEW)
    yield Case("link as a member/keras", "model.keras", _zip(_linked), REVIEW)
    yield Case("encrypted member/keras", "model.keras", _encrypted, REVIEW)
    many = {f"assets/{n}": b"" for n in range(25_000)}
    yield Case("crowd of members/keras", "model.keras", archive(_HARMLESS, many), REVIEW)


def _nested() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("../evil.py", "print()")
    return buffer.getvalue()


def _npz(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=array)
    return buffer.getvalue()


def npz_case(name: str, array: np.ndarray) -> Case:
    """Weights as a NumPy archive in a ``.keras`` file."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("metadata.json", text(formats.KERAS))
            file.writestr("config.json", _HARMLESS)
            file.writestr("model.weights.npz", _npz(array))

    return Case(f"{name}/npz", "model.keras", write, REVIEW)


def npz_cases() -> Iterator[Case]:
    """Weights of NumPy that are pickles, or claim to be large."""
    yield npz_case("pickled array", np.array([{"a": 1}], object))
    yield npz_case("pickled record", np.zeros(1, [("a", object), ("b", "f4")]))
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 4), }\n"
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    code = "{'descr': __import__('os'), 'fortran_order': False, 'shape': (1,), }\n"
    foreign = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(code)) + code.encode()
    for name, data in {
        "array of a huge shape": head,
        "array with code for a header": foreign,
        "array that is no array": pickled(),
    }.items():
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("weight.npy", data)
        inner = buffer.getvalue()

        def write(path: Path, inner: bytes = inner) -> None:
            with zipfile.ZipFile(path, "w") as file:
                file.writestr("metadata.json", text(formats.KERAS))
                file.writestr("config.json", _HARMLESS)
                file.writestr("model.weights.npz", inner)

        yield Case(f"{name}/npz", "model.keras", write, REVIEW)


# HDF5


def _huge(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/0", (1 << 40, 1 << 20), "float32", chunks=(1024, 1024))


def _huge_contiguous(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/0", (1 << 24, 1 << 14), "float32")


def _compressed(file: h5py.File) -> None:
    shape = (1 << 16, 1 << 10)
    group = file.create_group("layers/dense/vars")
    group.create_dataset(
        "0",
        shape,
        "float32",
        chunks=shape,
        compression="gzip",
        compression_opts=9,
        data=np.zeros(shape, "float32"),
    )


def _fill_value(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/0", (1 << 36,), "float32", chunks=(64,), fillvalue=7)


def _objects(file: h5py.File) -> None:
    group = file.create_group("layers/dense/vars")
    group.create_dataset("0", (2,), h5py.ref_dtype)


def _texts(file: h5py.File) -> None:
    group = file.create_group("layers/dense/vars")
    group.create_dataset("0", data=["text", "more"], dtype=h5py.string_dtype())


def _opaque(file: h5py.File) -> None:
    group = file.create_group("layers/dense/vars")
    data = np.frombuffer(pickled().ljust(128, b"\0"), "V128")
    group.create_dataset("0", data=data)


def _external_link(file: h5py.File) -> None:
    file["layers/dense/vars"] = h5py.ExternalLink(ELSEWHERE + ".h5", "/x")


def _external_storage(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/0", (4, 3), "f4", external=[("/etc/passwd", 0, 48)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(ELSEWHERE + ".h5", "x", (4, 3))
    file.create_virtual_dataset("layers/dense/vars/0", layout)


def _filter(file: h5py.File) -> None:
    """A filter that libhdf5 looks for as a plug-in, which is a library that it loads."""
    low = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    low.set_chunk((4, 3))
    low.set_filter(32_100, h5py.h5z.FLAG_OPTIONAL, (1, 2))
    file.create_group("layers/dense/vars")
    space = h5py.h5s.create_simple((4, 3))
    name = b"layers/dense/vars/0"
    h5py.h5d.create(file.id, name, h5py.h5t.IEEE_F32LE, space, dcpl=low)


_WEIGHTS = {
    "huge shape": (_huge, REFUSE, "CVE-2026-0897"),
    "huge shape, never allocated": (_huge_contiguous, REFUSE, "CVE-2026-0897"),
    "huge fill value": (_fill_value, REFUSE, "CVE-2026-0897"),
    "zeros that inflate": (_compressed, REVIEW, ""),
    "references": (_objects, REVIEW, ""),
    "texts": (_texts, REVIEW, ""),
    "opaque pickle": (_opaque, REVIEW, ""),
    "external link": (_external_link, REFUSE, "CVE-2026-1669"),
    "external storage": (_external_storage, REFUSE, "CVE-2026-1669"),
    "virtual data set": (_virtual, REFUSE, "CVE-2026-12480"),
    "filter of a plug-in": (_filter, REVIEW, ""),
}


def _hdf5_bytes(fill: Callable[[h5py.File], None]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def hdf5_cases() -> Iterator[Case]:
    """Weights that make libhdf5 read elsewhere, load a library, or allocate without end."""
    for name, (fill, least, advisory) in _WEIGHTS.items():
        write = hdf5_file(fill)
        yield Case(f"{name}/weights", "model.weights.h5", write, least, advisory)

        def inside(path: Path, fill: Callable[[h5py.File], None] = fill) -> None:
            members = {"model.weights.h5": _hdf5_bytes(fill)}
            archive(_HARMLESS, members)(path)

        yield Case(f"{name}/keras", "model.keras", inside, least, advisory)

    for name in ("huge shape", "external link", "virtual data set"):
        fill, least, advisory = _WEIGHTS[name]

        def beside(path: Path, fill: Callable[[h5py.File], None] = fill) -> None:
            formats.directory(_HARMLESS, {"model.weights.h5": _hdf5_bytes(fill)})(path)

        yield Case(f"{name}/directory", "model", beside, least, advisory)

        def legacy(path: Path, fill: Callable[[h5py.File], None] = fill) -> None:
            config = {"class_name": "Sequential", "config": {"name": "m", "layers": []}}
            formats.hdf5(config)(path)
            with h5py.File(path, "r+") as file:
                fill(file)

        yield Case(f"{name}/hdf5", "model.h5", legacy, least, advisory)


def hdf5_before_archive(path: Path) -> None:
    """A harmless HDF5 file with an archive after it, which is what ``zipfile`` finds."""
    formats.hdf5({"class_name": "Sequential", "config": {"name": "m", "layers": []}})(path)
    harmless = path.read_bytes()
    archive(_ATTACK)(path)
    path.write_bytes(harmless + path.read_bytes())


def archive_around_hdf5(path: Path) -> None:
    """A harmless archive, 512 bytes into which an HDF5 file begins, where libhdf5 looks for it."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file.attrs["model_config"] = json.dumps(legacy_sequential(legacy_lambda()))
        file.create_group("model_weights")
    attack = path.read_bytes()
    with zipfile.ZipFile(path, "w") as file:
        name = "assets/x"
        file.writestr(name, bytes(512 - 30 - len(name)) + attack[512:])
        file.writestr("metadata.json", text(formats.KERAS))
        file.writestr("config.json", _HARMLESS)
        file.writestr("model.weights.h5", formats.weights())


def _hdf5_attribute(set_config: Callable[[h5py.File, str], None], **how: str) -> formats.Writer:
    """A legacy HDF5 file whose configuration is kept in another way than Keras keeps it."""

    def write(path: Path) -> None:
        with h5py.File(path, "w", **how) as file:
            file.create_group("model_weights")
            set_config(file, json.dumps(legacy_sequential(legacy_lambda())))

    return write


def _among_many(file: h5py.File, config: str) -> None:
    for number in range(20):  # from the ninth on they are in a heap and a B-tree
        file.attrs[f"other {number}"] = number
    file.attrs["model_config"] = config


def _of_committed_type(file: h5py.File, config: str) -> None:
    file["type"] = h5py.string_dtype("utf-8", len(config))
    file.attrs.create("model_config", config, dtype=file["type"])


def _as_opaque(file: h5py.File, config: str) -> None:
    file.attrs["model_config"] = np.void(config.encode())


def _as_variable_text(file: h5py.File, config: str) -> None:
    file.attrs["model_config"] = config.ljust(200_000)


def two_formats_cases() -> Iterator[Case]:
    """Files that are one thing to who inspects and another to who loads."""
    yield Case("HDF5, then ZIP/keras", "model.keras", hdf5_before_archive, REFUSE)
    yield Case("ZIP around HDF5/hdf5", "model.h5", archive_around_hdf5, REFUSE)
    yield Case("ZIP around HDF5/any name", "model.bin", archive_around_hdf5, REFUSE)
    for name, fill in {
        "among many": _among_many,
        "of a committed type": _of_committed_type,
        "as opaque bytes": _as_opaque,
        "as variable text": _as_variable_text,
    }.items():
        for version in ("earliest", "latest"):
            write = _hdf5_attribute(fill, libver=version)
            yield Case(f"configuration {name}, {version}/hdf5", "model.h5", write, REVIEW)


# Sets


def _shards(weight_map: dict[str, str], shard: bytes | None = None) -> formats.Writer:
    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        index = {"metadata": {"total_size": 60}, "weight_map": weight_map}
        path.write_text(json.dumps(index))
        data = formats.weights() if shard is None else shard
        path.with_name("model_00000.weights.h5").write_bytes(data)

    return write


def set_cases() -> Iterator[Case]:
    """Shards, presets and checkpoints."""
    climbing = _shards({"layers/dense/vars": "../../../etc/x.weights.h5"})
    yield Case("shard elsewhere/shards", "shards/model.weights.json", climbing, REFUSE)
    absolute = _shards({"layers/dense/vars": "/etc/x.weights.h5"})
    yield Case("shard by an absolute path/shards", "shards/model.weights.json", absolute, REFUSE)
    bomb = _shards({"layers/dense/vars": "model_00000.weights.h5"}, _hdf5_bytes(_huge))
    yield Case("huge shape/shards", "shards/model.weights.json", bomb, REFUSE, "CVE-2026-0897")
    marks = {"_CHECKPOINT_METADATA": b"{}", "default/_METADATA": b'{"tree_metadata": {}}'}
    orbax = {
        "metadata of ten thousand levels": {
            "default/_METADATA": b'{"a":' * 10_000 + b"1" + b"}" * 10_000
        },
        "metadata twice": {
            "_CHECKPOINT_METADATA": b'{"item_handlers": 1, "item_handlers": "os>system"}'
        },
        "pickle": {"default/state.pkl": pickled()},
        "code": {"default/handler.py": b"print()"},
    }
    for name, members in orbax.items():
        yield Case(f"{name}/orbax", "orbax", formats.files({**marks, **members}), REVIEW)
