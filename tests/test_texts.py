# SPDX-License-Identifier: Apache-2.0
"""Text for people: what a shell takes as a path, and what fits on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from keras_integrity_hook import texts

PATHS = [
    "models/a.keras",
    "my model.keras",
    "it's.keras",
    "-rf",
    "a\nb.keras",
    "a'b\\\t.keras",
    "$(touch x)`id`;&|.keras",
    "caf\u00e9.keras",
    "\u202eevil\u0007.keras",
    os.fsdecode(b"\xff.keras"),
]


@pytest.mark.parametrize("path", PATHS, ids=ascii)
def test_a_shell_takes_it_for_the_path(path: str, tmp_path: Path) -> None:
    quoted = texts.for_shell(path)
    assert quoted.isprintable()
    done = subprocess.run(
        ["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True, cwd=tmp_path
    )
    assert os.path.normpath(os.fsdecode(done.stdout)) == os.path.normpath(path)
    assert list(tmp_path.iterdir()) == []


def test_a_remedy_pasted_with_its_quotes_runs_nothing_that_a_name_spells(tmp_path: Path) -> None:
    """Backticks around a command are taken along easily; those of a name would end them."""
    remedy = texts.with_path("Seal it with 'true PATH'.", "a b`touch hit`c.keras")
    command = remedy.removeprefix("Seal it with ").removesuffix(".")
    subprocess.run(["bash", "-c", command], check=False, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_remedy_without_a_path_is_left_as_it_is() -> None:
    assert texts.with_path("Seal it with 'x PATH'.", None) == "Seal it with 'x PATH'."
    assert texts.with_path("Mend it.", "a b") == "Mend it."


RAISE = """
from keras_integrity_hook.errors import ChecksumMismatchError
error = ChecksumMismatchError(
    "the content does not match its seal; damaged: layers/dense/vars/0, layers/dense/vars/1",
    path="models/classifier.keras",
)
error.sealed = {"created": "2026-01-31T12:00:00Z", "by": "ann on ci-7"}
raise error
"""


def shown(columns: int, cwd: Path) -> list[str]:
    """What a terminal of so many columns shows of the message."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "NO_COLOR": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", RAISE], stderr=other, stdout=other, cwd=cwd, env=environment
    ):
        os.close(other)
        data = b""
        try:
            while piece := os.read(main, 4096):
                data += piece
        except OSError:  # Linux: the other end is closed
            pass
    os.close(main)
    lines = data.decode().replace("\r\n", "\n").rstrip("\n").split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("keras_integrity_hook"))
    return lines[start:]


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_gets_lines_that_fit_and_whole_commands(columns: int, tmp_path: Path) -> None:
    lines = shown(columns, tmp_path)
    assert all(len(line) <= columns for line in lines), lines
    assert all(line.startswith("    ") for line in lines[1:])
    text = "\n".join(lines)
    assert "'keras-integrity reseal --reason TEXT models/classifier.keras'" in text
    assert "    Its seal says: sealed at 2026-01-31T12:00:00Z by ann on ci-7." in lines


def test_what_is_piped_is_one_fact_a_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RAISE], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert len(done.stderr[done.stderr.index("keras_integrity_hook") :].splitlines()) == 3
