# SPDX-License-Identifier: Apache-2.0
"""What people do wrong at the command line: one error that says what, its exit status, no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from tests.support.models import write_model

CLI = [sys.executable, "-m", "keras_integrity_hook.cli"]
DIGEST = "0" * 64

pytestmark = pytest.mark.usefixtures("home")


def cli(
    *arguments: object, code: int, preexec: Callable[[], None] | None = None, **options: Any
) -> str:
    """Both outputs of a command that ends with ``code``, without a traceback."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **options}
    variables = options.pop("variables", {})
    done = subprocess.run(
        [*CLI, *map(_word, arguments)],
        env={**os.environ, **variables},
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
        preexec_fn=preexec,
        **options,
    )
    told: str = ((done.stdout or b"") + done.stderr).decode()
    assert done.returncode == code, told
    assert "Traceback" not in told
    return told


def _word(argument: object) -> str | bytes:
    return argument if isinstance(argument, bytes) else str(argument)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """An ECDSA key without a passphrase, its public half beside it."""
    cli("keygen", "--no-passphrase", "--type", "ecdsa", tmp_path / "key", code=0)
    return tmp_path / "key"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = write_model(tmp_path, "model.keras")
    kih.seal(path)
    return path


def _missing(path: Path) -> None:
    pass


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(3000))


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize("make", [_missing, Path.mkdir, Path.touch, _fifo, _garbage, _huge])
def test_a_file_that_is_not_what_it_should_be_is_refused(
    tmp_path: Path, model: Path, key: Path, make: Callable[[Path], None]
) -> None:
    bad = tmp_path / "bad"
    make(bad)
    cli("bundle", "sign", model, "--key", key, code=0)
    commands = [
        ("trust", "add", "ann", bad),
        ("bundle", "verify", model, "--public-key", bad),
        ("bundle", "verify", model, "--bundle", bad),
        ("bundle", "sign", model, "--key", key, "--certificates", bad),
        ("revoke", "model", bad, "--reason", "x"),
        ("sign", model, "--key", bad),
    ]
    for command in commands:
        assert str(bad) in cli(*command, code=1), command
    told = cli("bundle", "verify", model, "--certificates", bad, code=_status_of_roots(bad))
    assert str(bad) in told


def _status_of_roots(bad: Path) -> int:
    """What can be read and holds no certificates is a mistake in the command line."""
    return 2 if bad.is_file() and bad.stat().st_size < 1 << 30 else 1


@pytest.mark.parametrize("text", ["", " ", "two\nlines", "\x1b[31m", b"\xff"])
def test_names_comments_and_reasons_are_one_line_of_text(
    key: Path, home: Path, text: str | bytes
) -> None:
    public = f"{key}.pub"
    cli("trust", "add", text, public, code=2)
    cli("revoke", "key", DIGEST, "--reason", text, code=2)
    cli("revoke", "model", DIGEST, "--reason", text, code=2)
    if text:
        cli("trust", "add", "ann", public, "--comment", text, code=2)
    assert not (home / "trust.toml").exists()


def test_a_passphrase_that_is_no_utf_8_works_as_it_is(tmp_path: Path, model: Path) -> None:
    variables = {"KERAS_INTEGRITY_KEY_PASSPHRASE": os.fsdecode(b"p\xff")}
    cli("keygen", tmp_path / "key", code=0, variables=variables)
    cli("sign", model, "--key", tmp_path / "key", code=0, variables=variables)
    variables["KERAS_INTEGRITY_KEY_PASSPHRASE"] = "p"
    assert "wrong" in cli("sign", model, "--key", tmp_path / "key", code=1, variables=variables)


def test_with_no_standard_input_nobody_is_asked(tmp_path: Path, model: Path, key: Path) -> None:
    def close_input() -> None:
        os.close(0)

    told = cli("keygen", tmp_path / "other", code=1, preexec=close_input)
    assert "KERAS_INTEGRITY_KEY_PASSPHRASE_FILE" in told
    cli("sign", model, "--key", key, code=0, preexec=close_input)
    cli("bundle", "sign", model, "--key", key, code=0, preexec=close_input)


def test_with_no_standard_error_the_work_is_done(model: Path) -> None:
    cli("verify", model, code=0, preexec=lambda: os.close(2))


def test_a_full_disk_behind_the_output_is_one_line(model: Path) -> None:
    with open("/dev/full", "wb") as full:
        for command in (("verify", model), ("trust", "list"), ("policy", "show", "--json")):
            told = cli(*command, code=1, stdout=full)
            assert told.splitlines() == ["Error: [Errno 28] No space left on device"]


def test_a_key_that_could_not_be_written_is_said_before_a_passphrase_is_asked_for(
    tmp_path: Path, key: Path
) -> None:
    assert "exists" in cli("keygen", key, code=1)
    assert "no such directory" in cli("keygen", tmp_path / "none" / "key", code=1)


def test_the_file_at_fault_is_named_where_it_is_not_the_model(tmp_path: Path, model: Path) -> None:
    assert f"{tmp_path}/no: the key" in cli("sign", model, "--key", f"{tmp_path}/no", code=1)
    variables = {"KERAS_INTEGRITY_KEY_PASSPHRASE_FILE": "/no"}
    cli("keygen", tmp_path / "key", code=0, variables={"KERAS_INTEGRITY_KEY_PASSPHRASE": "x"})
    told = cli("sign", model, "--key", tmp_path / "key", code=1, variables=variables)
    assert "/no: the passphrase file cannot be opened" in told


def test_a_mistake_in_a_setting_is_a_wrong_setting_in_every_command(model: Path) -> None:
    variables = {"KERAS_INTEGRITY_REQUIRE": "seald"}
    for command in ("verify", "seal", "sign", "inspect"):
        told = cli(command, model, "--json", code=2, variables=variables)
        assert json.loads(told)["ok"] is False
    variables = {"KERAS_INTEGRITY_TRUST": "/no"}
    assert "trust add --file" in cli("verify", model, code=2, variables=variables)


def test_a_word_that_is_refused_is_not_suggested(model: Path) -> None:
    told = cli("verify", model, code=2, variables={"KERAS_INTEGRITY_REQUIRE": "registered"})
    assert "did you mean" not in told


def test_a_seal_that_is_named_as_if_it_were_a_model_is_told_to_be_one(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    kih.seal(path, store="sidecar")
    told = cli("verify", path, f"{path}.seal", code=1)
    assert "this is the seal of a model, and not the model" in told
    assert "1 sealed, 1 not-a-model" in told
