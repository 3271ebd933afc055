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

import pytest

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
    assert str(error) == "m.keras: it broke. Mend it."
    assert error.to_dict()["remedy"] == "Mend it."


@pytest.mark.parametrize("kind", CLASSES)
def test_nothing_in_a_message_can_forge_a_line(kind: type[IntegrityError]) -> None:
    hostile = "a\x1b]0;b\x07\r\nERROR: forged\u2028\u202e\ud800"
    error = kind(hostile, path=hostile, remedy=hostile)
    shown = "".join(traceback.format_exception_only(error)).rstrip("\n")
    assert shown.isprintable(), shown
    assert all(
        text.isprintable() for text in (error.cause, *error.args, error.remedy(), str(error))
    )
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
    assert str(error) == "m.h5: it broke. Mend."


def test_an_error_pickled_by_an_older_version_is_understood() -> None:
    error = pickle.loads(base64.b64decode(FROM_0_1_0["checksum"]))
    assert type(error) is ChecksumMismatchError
    assert error.damaged == (DamagedRange(0, 1048576),)
    assert error.parts == ("layers/dense/vars/0",)
    assert error.remedy() == ChecksumMismatchError.default_remedy
    error = pickle.loads(base64.b64decode(FROM_0_1_0["signing"]))
    assert type(error) is SigningError
    assert str(error) == "k: no key. Make one."


def test_a_caller_may_still_name_evidence() -> None:
    error = NotSignedError("two are needed", signers=("alice",), needed=2, remedy="Ask bob.")
    assert error.evidence() == {"signers": ["alice"], "needed": 2}
