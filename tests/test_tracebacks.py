# SPDX-License-Identifier: Apache-2.0
"""What a traceback shows: the user's line, the frames of Keras, and none of this package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook
from keras_integrity_hook import tracebacks
from keras_integrity_hook.errors import ChecksumMismatchError, UnreadableFileError

PACKAGE = str(Path(keras_integrity_hook.__file__).parent)

SET_UP = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras_integrity_hook
keras_integrity_hook.activate()
import keras, tensorflow, tf_keras

def damage(path):
    data = bytearray(open(path, "rb").read())
    data[len(data) // 2] ^= 1
    open(path, "wb").write(data)

def build(package):
    return package.Sequential([package.layers.Input((3,)), package.layers.Dense(2)])

model = build(keras)
model.save("good.keras")
"""

# Each line is the user's; what it raises is looked at.
CASES = """
keras.saving.load_model("bad.keras")
keras.saving.load_model("bad.h5")
model.load_weights("bad.weights.h5")
tensorflow.saved_model.load("bad")
tf_keras.models.load_model("tf_bad.keras")
tf_keras.models.load_model("tf_bad.h5")
keras_integrity_hook.verify("bad.keras")
keras.saving.load_model("good.keras", kompile=True)
keras.saving.load_model()
keras.saving.load_model("good.keras", custom_objects=7)
keras.saving.load_model("nothing.keras")
keras.saving.load_model("nothing.h5")
tensorflow.saved_model.load("nothing")
tf_keras.models.load_model("nothing.keras")
tf_keras.models.load_model("good.keras", kompile=True)
model.save("no/directory/here.keras")
model.save()
build(keras).save_weights("wrong.name")
keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(7)]).load_weights("good.weights.h5")
"""

ALL = f"""
import json, traceback
{SET_UP}
for name in ("bad.keras", "bad.h5", "bad.weights.h5", "good.weights.h5"):
    (model.save_weights if "weights" in name else model.save)(name)
model.export("bad", verbose=False)
for name in ("tf_bad.keras", "tf_bad.h5"):
    build(tf_keras).save(name)
for name in (
    "bad.keras", "bad.h5", "bad.weights.h5", "bad/saved_model.pb", "tf_bad.keras", "tf_bad.h5"
):
    damage(name)

def chain(error):
    frames = []
    while error is not None:
        frames += [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return frames

found = {{}}
for line in sys.stdin.read().split("\\n"):
    if not line:
        continue
    try:
        exec(line)
    except Exception as error:
        found[line] = [type(error).__name__, str(error), chain(error)]
print(json.dumps(found))
"""


def ran(code: str, cwd: Path, *command: str, given: str = "") -> subprocess.CompletedProcess[str]:
    variables = {"XDG_CONFIG_HOME": str(cwd), "TF_CPP_MIN_LOG_LEVEL": "3", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, *(command or ("-c", textwrap.dedent(code)))],
        cwd=cwd,
        env={**os.environ, **variables},
        input=given,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_no_error_of_a_load_or_save_shows_a_frame_of_this_package(tmp_path: Path) -> None:
    done = ran(ALL, tmp_path, given=CASES)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == len(CASES.split("\n")) - 2, found.keys()
    shown = {
        line: frames
        for line, (_, _, frames) in found.items()
        if any(name.startswith(PACKAGE) or name.endswith("contextlib.py") for name in frames)
    }
    assert shown == {}
    assert all("<string>" in frames for _, _, frames in found.values()), "the user's line is gone"
    kinds = [kind for kind, _, _ in found.values()]
    assert kinds[:2] == ["ChecksumMismatchError", "ChecksumMismatchError"]
    wrong = found['keras.saving.load_model("good.keras", kompile=True)']
    assert wrong[:2] == ["TypeError", "load_model() got an unexpected keyword argument 'kompile'"]


SCRIPT = f"""
{SET_UP}
damage("good.keras")
keras.saving.load_model("good.keras")
"""


def test_a_script_prints_the_refusal_once(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = ran("", tmp_path, "script.py")
    text = done.stderr[done.stderr.index("Traceback") :]
    assert done.returncode == 1
    assert done.stderr.count("does not match its seal") == 1
    assert "refused:" not in done.stderr
    assert PACKAGE not in text
    assert text.count("  File ") <= 2, text


def test_pytest_shows_none_of_our_frames(tmp_path: Path) -> None:
    body = textwrap.indent(SCRIPT, "    ")
    (tmp_path / "test_it.py").write_text(f"def test_it():\n{body}")
    done = ran("", tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py")
    assert done.returncode == 1
    assert PACKAGE not in done.stdout, done.stdout
    assert "wrapping" not in done.stdout
    assert "Captured log" not in done.stdout or done.stdout.count("refused:") == 1
    assert "test_it.py" in done.stdout


def test_a_notebook_shows_none_of_our_frames(tmp_path: Path) -> None:
    pytest.importorskip("IPython", reason="IPython is not installed")
    (tmp_path / "script.ipy").write_text(SCRIPT)
    done = ran("", tmp_path, "-m", "IPython", "--colors=NoColor", "script.ipy")
    output = done.stdout + done.stderr
    assert "ChecksumMismatchError" in output
    assert PACKAGE not in output, output
    assert output.count("does not match its seal") == 1


def test_the_filter_of_keras_switches_ours_off(tmp_path: Path) -> None:
    script = SCRIPT.replace(
        'damage("good', 'keras.config.disable_traceback_filtering()\ndamage("good'
    )
    (tmp_path / "script.py").write_text(script)
    assert PACKAGE in ran("", tmp_path, "script.py").stderr


def test_a_handler_of_the_program_gets_the_refusal(tmp_path: Path) -> None:
    script = "import logging\nlogging.basicConfig()\n" + SCRIPT
    (tmp_path / "script.py").write_text(script)
    assert "ERROR:keras_integrity_hook:refused: good.keras" in ran("", tmp_path, "script.py").stderr


PRIVATE = f"""
{SET_UP}
model.export("exported", verbose=False)
tensorflow.train.Checkpoint(v=tensorflow.Variable([1.0])).write("checkpoint")
for load in (
    lambda: tensorflow.saved_model.load("exported", tags=["nothing"]),
    lambda: tensorflow.lite.TFLiteConverter.from_saved_model("exported", tags=["nothing"]),
    lambda: tensorflow.train.load_variable("checkpoint", "nothing"),
    lambda: tensorflow.train.Checkpoint(v=tensorflow.Variable([1.0, 2.0])).read("checkpoint"),
):
    try:
        load()
    except Exception as error:
        print("said:", str(error).replace("\\n", " "))
"""


def test_an_error_of_the_host_names_the_users_path_and_not_the_private_one(
    tmp_path: Path,
) -> None:
    done = ran(PRIVATE, tmp_path)
    said = [line for line in done.stdout.splitlines() if line.startswith("said:")]
    assert len(said) == 4, done.stderr[-2000:]
    assert "/proc/self" not in done.stdout
    assert "keras-integrity-" not in done.stdout
    assert [("The SavedModel at exported has one MetaGraph" in line) for line in said[:2]] == [
        True,
        True,
    ]


@tracebacks.left_out
def refuse() -> None:
    try:
        os.stat("/nothing/at/all")
    except OSError as error:
        raise UnreadableFileError("it is gone") from error


def frames(error: BaseException | None) -> list[str]:
    assert error is not None
    names = []
    traceback = error.__traceback__
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    return names


def test_frames_of_others_are_kept() -> None:
    """This module is not of the package: it stands for a program between two calls."""
    with pytest.raises(UnreadableFileError) as caught:
        refuse()
    assert frames(caught.value)[-1] == "refuse"


def test_a_defect_of_ours_keeps_its_frames(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from keras_integrity_hook import api
    from keras_integrity_hook.containers import recognition

    def broken(name: str) -> None:
        raise AttributeError("a defect")

    monkeypatch.setitem(broken.__globals__, "__name__", recognition.__name__)
    monkeypatch.setattr(recognition, "recognise", broken)
    with pytest.raises(AttributeError) as caught:
        api.verify(tmp_path / "m.keras")
    assert {"shortened", "verify", "broken"} <= set(frames(caught.value))


def test_somebody_elses_traceback_is_left_as_it_is() -> None:
    error = ChecksumMismatchError("it differs")
    try:
        raise error
    except ChecksumMismatchError:
        before = error.__traceback__
    tracebacks.leave_out(error)
    assert before is not None
    assert before.tb_frame.f_code.co_name == frames(error)[0]


def test_an_exception_that_will_not_be_looked_at_is_raised_as_it_is() -> None:
    class HostileError(Exception):
        @property
        def __cause__(self) -> BaseException:  # type: ignore[override]
            raise RuntimeError("not this one")

    @tracebacks.left_out
    def fail() -> None:
        raise HostileError("this one")

    with pytest.raises(HostileError, match="this one"):
        fail()
