# SPDX-License-Identifier: Apache-2.0
"""Archives and other files of a model: bombs, arrays of objects, pickles and programs."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.errors import LimitExceededError
from keras_integrity_hook.inspection import archives, pickles
from keras_integrity_hook.inspection.inspecting import inspect
from keras_integrity_hook.limits import LIMITS
from tests.support.contents import CountedContent
from tests.support.models import archive_bytes, single_mutations


class Payload:
    def __reduce__(self) -> Any:
        return os.getenv, ("HOME",)


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def rules_of_arrays(data: bytes) -> set[str]:
    return {one.rule for one in archives.inspect_arrays(CountedContent(data), "model.weights.npz")}


def rules_of_file(data: bytes, name: str = "assets/layer/vocabulary.txt") -> set[str]:
    return {one.rule for one in pickles.inspect(CountedContent(data), name)}


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


@pytest.mark.parametrize(
    "values",
    [
        np.ones((3, 4), "float32"),
        np.array([], "int8"),
        np.array(1.0),
        np.array(["ab"]),
        np.zeros(2, [("a", "f4"), ("b", "i2", (3,))]),
        np.zeros(3, "V2"),
        np.array([np.datetime64("2026-01-01")]),
        np.array([True]),
    ],
    ids=repr,
)
def test_plain_arrays_are_fine(values: Any) -> None:
    assert rules_of_arrays(npz(values=values)) == set()


def test_array_of_objects_is_a_pickle() -> None:
    objects = np.array([Payload()], dtype=object)
    record = np.zeros(1, [("a", "f4"), ("b", object)])
    for values in (objects, record):
        assert rules_of_arrays(npz(values=values)) == {"pickle"}
    assert rules_of_arrays(zipped({"layers.npy": pickle.dumps(Payload())})) == {"pickle"}


def test_array_that_declares_more_than_is_stored_is_a_bomb() -> None:
    data = npz(values=np.ones((3, 4), "float32"))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        array = archive.read("values.npy")
    huge = array.replace(b"(3, 4), }" + b" " * 8, b"(300000, 400000)}", 1)
    assert huge != array
    assert rules_of_arrays(zipped({"values.npy": huge})) == {"shape-bomb"}


@pytest.mark.parametrize(
    "header",
    [b"{'descr': '<f4', 'shape': (-1,)}", b"[" * 5000, b"{'descr': 3, 'shape': ()}", b"\xff"],
)
def test_header_that_cannot_be_read_is_refused(header: bytes) -> None:
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    assert rules_of_arrays(zipped({"values.npy": array})) == {"malformed-array"}


def test_archive_that_grows_a_hundredfold_is_a_bomb() -> None:
    zeros = zipped({"values.npy": bytes(300 << 20)}, zipfile.ZIP_DEFLATED)
    assert "archive-bomb" in rules_of_arrays(zeros)


def test_many_small_members_are_a_bomb_together(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    stream = io.BytesIO(archive_bytes())
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"assets/{number}", bytes(15 << 20))
    path.write_bytes(stream.getvalue())
    with open_model(path) as model:
        assert "archive-bomb" in {one.rule for one in inspect(model).findings}


def test_pickle_is_told_whatever_it_is_called() -> None:
    for protocol in range(6):
        data = pickle.dumps([Payload(), "text"] * 3, protocol)
        assert rules_of_file(data) == {"pickle"}, protocol
    assert rules_of_file(b"cos\nsystem\n(S'true'\ntR.") == {"pickle"}
    assert rules_of_file(b"anything", "assets/layer/state.pkl") == {"pickle"}
    assert rules_of_file(zipped({"x/data.pkl": b""}), "assets/layer/state.pt") == {"pickle"}


def test_array_among_the_assets_is_judged_by_its_header(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([Payload()], object))
    plain = io.BytesIO()
    np.save(plain, np.ones(3))
    path = tmp_path / "model.keras"
    path.write_bytes(archive_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/layer/objects.npy", stream.getvalue())
        archive.writestr("assets/layer/plain.npy", plain.getvalue())
    with open_model(path) as model:
        judged = {one.file: one.rule for one in inspect(model).findings}
    assert judged["assets/layer/objects.npy"] == "pickle"
    assert "assets/layer/plain.npy" not in judged


def test_archive_among_the_assets_whose_members_leave_it_is_refused() -> None:
    for name in ("../x", "/etc/x", "a/../../x", "C:/x"):
        content = CountedContent(zipped({name: b""}))
        assert {one.rule for one in archives.inspect(content, "assets/a.zip")} == {"archive-path"}


def test_program_is_told() -> None:
    assert rules_of_file(b"\x7fELF" + bytes(100)) == {"program"}
    assert rules_of_file(b"MZ" + bytes(100) + b"PE\0\0") == {"program"}
    assert rules_of_file(b"#!/bin/sh\n") == {"program"}
    assert rules_of_file(b"print()", "assets/layer/helper.py") == {"program"}


@pytest.mark.parametrize(
    "data",
    [
        b"cat\ndog\n.",
        b"cos\nsystem\neval\nexec\n__import__\nsubprocess\n.",
        b"MZ is a country code",
        b"",
        b"\x80",
        "αβγ\n日本".encode(),
        b"\x80\x03" + bytes(50),
        b"#version: 0.2\na b\n",
        b"{}",
    ],
)
def test_vocabulary_full_of_bad_words_is_fine(data: bytes) -> None:
    assert rules_of_file(data) == set()


def test_plain_model_is_fine_and_every_member_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(archive_bytes(config=b"{}"))
    with open_model(path) as model:
        assert "pickle" not in {one.rule for one in inspect(model).findings}
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/layer/state", pickle.dumps([Payload(), 1]))
    with open_model(path) as model:
        assert [one.file for one in inspect(model).findings if one.rule == "pickle"] == [
            "assets/layer/state"
        ]


def test_every_mutation_is_judged_or_refused_and_none_raises() -> None:
    data = npz(a=np.ones((3, 4), "float32"), b=np.array([1]))
    for at in range(0, len(data), 5):
        for _, mutant in single_mutations(data, at, at % 8):
            rules_of_arrays(mutant)


def test_members_that_are_packed_are_unpacked_up_to_a_limit_together(tmp_path: Path) -> None:
    """Each is small enough, and a thousand times as long as what is stored of it."""
    path = tmp_path / "model.keras"
    text = b"1" + b" " * (LIMITS.inspected_member - 1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(LIMITS.inspected_kept // len(text) + 1):
            archive.writestr(f"{number}.json", text)
    with open_model(str(path)) as model, pytest.raises(LimitExceededError, match="together"):
        inspect(model)
