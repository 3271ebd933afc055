# SPDX-License-Identifier: Apache-2.0
"""Errors say what to do, cannot forge a line, and cross process boundaries in both directions."""

from __future__ import annotations

import base64
import inspect
import pickle
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook
from keras_integrity_hook import errors
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    DamagedRange,
    IntegrityError,
    NotSignedError,
    SigningError,
)

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, IntegrityError)
]

# pickle.dumps of version 0.1.0: a ChecksumMismatchError with evidence, and a SigningError whose
# remedy stands where that version put it.
FROM_0_1_0 = {
    "checksum": (
        "gASV9gAAAAAAAACMG2tlcmFzX2ludGVncml0eV9ob29rLmVycm9yc5SMCF9yZWJ1aWxklJOUaACMFUNo"
        "ZWNrc3VtTWlzbWF0Y2hFcnJvcpSTlIwHY2hhbmdlZJSFlH2UKIwFY2F1c2WUaAWMBHBhdGiUjAdtLmtl"
        "cmFzlIwHaXNfdG9sZJSJjAljb250YWluZXKUjAlrZXJhcy16aXCUjAdkYW1hZ2VklGgAjAxEYW1hZ2Vk"
        "UmFuZ2WUk5RLAEoAABAAhpSBlIWUjAVwYXJ0c5SME2xheWVycy9kZW5zZS92YXJzLzCUhZSMDmNvbnRl"
        "bnRfZGlnZXN0lE51h5RSlC4="
    ),
    "signing": (
        "gASVjwAAAAAAAACMG2tlcmFzX2ludGVncml0eV9ob29rLmVycm9yc5SMCF9yZWJ1aWxklJOUaACMDFNp"
        "Z25pbmdFcnJvcpSTlIwGbm8ga2V5lIWUfZQojAVjYXVzZZRoBYwEcGF0aJSMAWuUjAdpc190b2xklImM"
        "DmRlZmF1bHRfcmVtZWR5lIwJTWFrZSBvbmUulHWHlFKULg=="
    ),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_each_takes_a_remedy_of_its_own(kind: type[IntegrityError]) -> None:
    assert kind("it broke").remedy() == kind.default_remedy
    error = kind("it broke", path="m.keras", remedy="Mend it.")
    assert error.remedy() == "Mend it."
    assert error.in_one_line() == "m.keras: it broke. Mend it."
    assert str(error) == "m.keras: it broke.\n    Mend it."
    assert error.to_dict()["remedy"] == "Mend it."


@pytest.mark.parametrize("kind", CLASSES)
def test_nothing_in_a_message_can_forge_a_line(kind: type[IntegrityError]) -> None:
    hostile = "a\x1b]0;b\x07\r\nERROR: forged\u2028\u202e\ud800"
    error = kind(hostile, path=hostile, remedy=hostile)
    shown = "".join(traceback.format_exception_only(error)).rstrip("\n")
    first, *others = shown.split("\n")
    assert first.startswith(f"keras_integrity_hook.errors.{kind.__name__}: a\\x1b")
    assert all(line.startswith("    ") for line in others)
    assert all(line.isprintable() for line in (first, *others)), shown
    texts = (error.cause, *error.args, error.remedy(), error.in_one_line(), repr(error))
    assert all(text.isprintable() for text in texts)
    assert "\\x1b]0;b\\x07\\r\\nERROR" in error.cause
    assert error.path == hostile  # to be opened, not to be shown


def test_names_of_damaged_parts_come_from_the_file_and_are_escaped() -> None:
    error = ChecksumMismatchError("it broke", parts=("layers/\x1b[2J", "vars"))
    assert error.parts == ("layers/\\x1b[2J", "vars")


def test_what_is_escaped_is_escaped_once() -> None:
    inner = IntegrityError("a\n")
    assert IntegrityError(f"outer: {inner.cause}").cause == "outer: a\\n"


@pytest.mark.parametrize("kind", CLASSES)
def test_pickling_keeps_type_evidence_and_remedy(kind: type[IntegrityError]) -> None:
    error = kind("it broke", path="m.keras", remedy="Mend it.")
    error.is_told = True
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert again.__dict__ == error.__dict__
    assert again.args == error.args
    assert again.to_dict() == error.to_dict()


def test_an_error_of_a_worker_process_arrives_whole(tmp_path: Path) -> None:
    code = """
        import pickle, sys
        from keras_integrity_hook.errors import ChecksumMismatchError, DamagedRange
        error = ChecksumMismatchError(
            "it broke", path="m.h5", container="hdf5", damaged=(DamagedRange(1, 2),), remedy="Mend."
        )
        sys.stdout.buffer.write(pickle.dumps(error))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, timeout=60, check=True
    )
    error = pickle.loads(done.stdout)
    assert isinstance(error, ChecksumMismatchError)
    assert error.evidence()["damaged"] == [[1, 2]]
    assert error.in_one_line() == "m.h5: it broke. Mend."


def test_an_error_pickled_by_an_older_version_is_understood() -> None:
    error = pickle.loads(base64.b64decode(FROM_0_1_0["checksum"]))
    assert type(error) is ChecksumMismatchError
    assert error.damaged == (DamagedRange(0, 1048576),)
    assert error.parts == ("layers/dense/vars/0",)
    assert error.remedy() == ChecksumMismatchError.default_remedy.replace("PATH", "m.keras")
    error = pickle.loads(base64.b64decode(FROM_0_1_0["signing"]))
    assert type(error) is SigningError
    assert error.in_one_line() == "k: no key. Make one."


def test_a_caller_may_still_name_evidence() -> None:
    error = NotSignedError("two are needed", signers=("alice",), needed=2, remedy="Ask bob.")
    assert error.evidence() == {"signers": ["alice"], "needed": 2, "signatures": []}


def test_a_remedy_names_the_real_path_as_a_shell_takes_it() -> None:
    error = ChecksumMismatchError("it broke", path="models/a.keras")
    assert "'keras-integrity reseal --reason TEXT models/a.keras'" in error.remedy()
    error = ChecksumMismatchError("it broke", path="my model.keras")
    assert "`keras-integrity reseal --reason TEXT 'my model.keras'`" in error.remedy()
    assert "reseal --reason TEXT PATH'" in ChecksumMismatchError("it broke").remedy()


def test_an_error_says_what_the_seal_says_of_itself() -> None:
    error = ChecksumMismatchError("it broke", path="m.keras")
    error.sealed = {"created": "2026-01-31T12:00:00Z", "by": "ann on ci-7", "name": "churn"}
    assert str(error).split("\n")[1] == (
        "    Its seal says: this is 'churn', sealed at 2026-01-31T12:00:00Z by ann on ci-7."
    )
    assert error.to_dict()["sealed"] == error.sealed
    assert pickle.loads(pickle.dumps(error)).to_dict() == error.to_dict()


def test_a_refused_load_says_who_sealed_it_and_when(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_PROVENANCE", "user,host")
    path = tmp_path / "my model.keras"
    with keras_integrity_hook.provenance(name="churn", version="3"):
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for check in (keras.saving.load_model, keras_integrity_hook.verify):
        with pytest.raises(ChecksumMismatchError) as caught:
            check(path)
        first, seal, remedy = str(caught.value).split("\n")
        assert first.startswith(f"{path}: the content does not match its seal; damaged: ")
        assert seal.startswith("    Its seal says: this is 'churn 3', sealed at 20")
        assert " by " in seal
        assert f"--reason TEXT '{path}'`" in remedy


def test_a_repr_is_short_and_a_notebooks_is_escaped() -> None:
    error = IntegrityError("x" * 500, path="<script>.keras")
    assert len(repr(error)) < 130
    assert repr(error).startswith("IntegrityError('<script>.keras: xxx")
    assert "<script>" not in error._repr_html_()
    assert "<b>IntegrityError</b>" in error._repr_html_()
