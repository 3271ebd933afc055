# SPDX-License-Identifier: Apache-2.0
"""Warnings are shown once, at the user's own line; trouble is logged once and stops nothing."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook
from keras_integrity_hook import notices
from keras_integrity_hook.errors import IntegrityWarning, UnsealedModelWarning


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_seen", {})


@pytest.fixture
def caught() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        yield messages


def texts(caught: list[warnings.WarningMessage]) -> list[str]:
    return [str(message.message) for message in caught]


def test_a_warning_shows_the_line_of_the_user(caught: list[warnings.WarningMessage]) -> None:
    notices.warn("careful")
    assert caught[0].filename == __file__
    assert "notices.warn" in Path(__file__).read_text().splitlines()[caught[0].lineno - 1]
    assert caught[0].category is IntegrityWarning


def test_a_load_through_keras_warns_at_the_line_that_loads(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KERAS_INTEGRITY_UNSEALED", raising=False)
    path = tmp_path / "m.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(path)
    keras_integrity_hook.unseal(path)
    with pytest.warns(UnsealedModelWarning) as caught:
        keras.saving.load_model(path)  # this line
    assert caught[0].filename == __file__
    assert "# this line" in Path(__file__).read_text().splitlines()[caught[0].lineno - 1]


def test_an_import_between_us_and_the_user_does_not_move_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caught: list[warnings.WarningMessage]
) -> None:
    """``warnings.warn`` with a stack level leaves importlib's frames out of its count."""
    (tmp_path / "keras_hub.py").write_text(
        "from keras_integrity_hook import notices\nnotices.warn('from an import')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "keras_hub", raising=False)
    importlib.import_module("keras_hub")
    sys.modules.pop("keras_hub")
    assert caught[0].filename == __file__


def test_one_key_is_warned_about_once(caught: list[warnings.WarningMessage]) -> None:
    for path in ("a", "b", "a"):
        notices.warn(f"unsealed {path}", UnsealedModelWarning, once=path)
    assert texts(caught) == ["unsealed a", "unsealed b"]


def test_another_category_is_another_matter(caught: list[warnings.WarningMessage]) -> None:
    notices.warn("one", UnsealedModelWarning, once="a")
    notices.warn("two", IntegrityWarning, once="a")
    assert texts(caught) == ["one", "two"]


def test_a_set_speaks_for_its_files(caught: list[warnings.WarningMessage]) -> None:
    notices.warn("set", once="d", covers=("d/1", "d/2"))
    notices.warn("file", once="d/2")
    assert texts(caught) == ["set"]


def test_without_a_key_it_is_said_each_time(caught: list[warnings.WarningMessage]) -> None:
    notices.warn("again")
    notices.warn("again")
    assert len(caught) == 2


def test_who_makes_warnings_errors_gets_the_error_each_time() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with pytest.raises(UnsealedModelWarning):
                notices.warn("no seal", UnsealedModelWarning, once="m.keras")


def test_control_characters_are_escaped(
    caught: list[warnings.WarningMessage], caplog: pytest.LogCaptureFixture
) -> None:
    notices.warn("m\x1b[2J\nforged")
    notices.trouble("t\x1b[2J\nforged")
    assert texts(caught) == ["m\\x1b[2J\\nforged", "t\\x1b[2J\\nforged"]
    assert caplog.messages == ["t\\x1b[2J\\nforged"]


def test_trouble_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        notices.trouble("the log is full")
    assert caplog.messages == ["the log is full"]


def test_trouble_survives_a_logging_filter_that_raises() -> None:
    def fails(record: logging.LogRecord) -> bool:
        raise RuntimeError("the program's own")

    logger = logging.getLogger("keras_integrity_hook")
    logger.addFilter(fails)
    try:
        notices.trouble("something")
    finally:
        logger.removeFilter(fails)


def test_of_many_threads_one_is_the_first() -> None:
    gate = threading.Barrier(16)
    firsts: list[bool] = []

    def ask() -> None:
        gate.wait(100)
        firsts.append(notices.first_time("key"))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert sorted(firsts) == [False] * 15 + [True]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_KEYS_KEPT", 10)
    assert all(notices.first_time(number) for number in range(100))
    assert len(notices._seen) == 10
    assert not notices.first_time(99)
    assert notices.first_time(0)  # long forgotten


def test_it_does_not_import_logging_before_there_is_trouble() -> None:
    code = """
        import sys
        from keras_integrity_hook import notices
        notices.warn("careful", once="a")
        assert "logging" not in sys.modules
    """
    done = subprocess.run(
        [sys.executable, "-S", "-c", textwrap.dedent(code)],
        cwd=Path(notices.__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "careful" in done.stderr


MANY = """
import os, shutil
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras_integrity_hook
keras_integrity_hook.activate()
import keras
keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save("0.keras")
keras_integrity_hook.unseal("0.keras")
for number in range(1, 6):
    shutil.copy("0.keras", f"{number}.keras")
refused = 0
for number in range(6):
    path = f"{number}.keras"
    try:
        keras.saving.load_model(path)
    except keras_integrity_hook.UnsealedModelWarning as error:
        refused += path in str(error)
keras.saving.load_model("3.keras") if not refused else None
print(refused)
"""


@pytest.mark.parametrize(
    ("filters", "warned", "named", "refused"),
    [((), 2, 1, 0), (("-W", "always"), 6, 6, 0), (("-W", "error"), 0, 0, 6)],
    ids=["default", "always", "error"],
)
def test_a_second_model_without_a_seal_is_one_line_for_all_that_follow(
    tmp_path: Path, filters: tuple[str, ...], warned: int, named: int, refused: int
) -> None:
    only = [f"{one}::UserWarning" if one != "-W" else one for one in filters]
    (tmp_path / "script.py").write_text(MANY)
    done = subprocess.run(
        [sys.executable, *only, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ours = [line for line in done.stderr.splitlines() if "UnsealedModelWarning" in line]
    assert len(ours) == warned, done.stderr
    assert sum(".keras: the model has no seal" in line for line in ours) == named
    assert done.stdout.split() == [str(refused)]
    if not filters:
        assert "    If you trust where it comes from, seal it with" in done.stderr
        assert "'keras-integrity seal 0.keras'" in done.stderr
        assert "more models without a seal are loaded" in ours[1]


def test_a_fact_in_a_warning_cannot_forge_another(caught: list[warnings.WarningMessage]) -> None:
    notices.warn(["a\nb", "c"])
    assert texts(caught) == ["a\\nb\n    c"]


@pytest.mark.parametrize("action", ["default", "ignore", "once", "module", "error", "always"])
def test_what_comes_later_is_told_each_where_the_filters_show_each(action: Any) -> None:
    def warn(path: str) -> None:
        notices.warn(f"unsealed {path}", UnsealedModelWarning, once=path, rest="and more")

    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter(action)
        for path in "abc":
            if action == "error":
                with pytest.raises(UnsealedModelWarning, match=f"unsealed {path}"):
                    warn(path)
            else:
                warn(path)
    each = ["unsealed a", "unsealed b", "unsealed c"]
    expected = {"always": each, "error": [], "ignore": []}.get(action, [each[0], "and more"])
    assert texts(messages) == expected


def test_the_logger_has_a_handler_and_prints_nothing_by_itself() -> None:
    code = "from keras_integrity_hook import notices; notices.logger().error('a refusal')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stderr == b""


def test_overwriting_in_place_is_spoken_of_once_for_a_set(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("a", "b", "a"):
        notices.overwritten(f"set/{name}", "its owner differs", place="set")
    assert [record.getMessage() for record in caplog.records] == [
        "save set/a: its owner differs, so it is overwritten in place; "
        "a crash now would leave it damaged"
    ]
