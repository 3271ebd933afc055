# SPDX-License-Identifier: Apache-2.0
"""The progress bar as a person sees it: commands under a pseudo-terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.models import hdf5_bytes
from tests.support.processes import environment

CONTROL = re.compile(r"\x1b\[(\??\d*(?:;\d+)*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")
LONG = 160 << 20  # two files of this size are long work


def in_terminal(
    *arguments: str | Path, columns: int = 100, piped: Path | None = None, **variables: str
) -> str:
    """What a command writes on a terminal, with its control sequences."""
    command = [sys.executable, "-m", "keras_integrity_hook.cli", *map(str, arguments)]
    variables = {"TERM": "xterm", "LC_ALL": "C.UTF-8", "COLUMNS": str(columns), **variables}
    ours, theirs = pty.openpty()
    with open(piped or os.devnull, "wb") as pipe:
        process = subprocess.Popen(
            command,
            env=environment(**variables),
            stdin=theirs,
            stdout=pipe if piped else theirs,
            stderr=theirs,
        )
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while data := os.read(ours, 65536):
            written += data
    os.close(ours)
    assert process.wait(60) == 0, written
    return written.decode()


def screen(written: str) -> list[str]:
    """The lines that stand on the terminal in the end."""
    lines, row, column = [""], 0, 0
    for code, final, back, feed, text in CONTROL.findall(written):
        if text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
        elif back:
            column = 0
        elif feed:
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif final == "A":
            row -= int(code or 1)
        elif final == "K":
            lines[row] = ""
        else:
            assert final in "mhl", f"unknown control sequence {code}{final}"
    return [line.rstrip() for line in lines if line.strip()]


@pytest.fixture
def long_work(tmp_path: Path) -> list[Path]:
    """Two large sparse files in a folder of a long name; without a seal nothing is hashed."""
    folder = tmp_path / ("a long name " * 12)
    folder.mkdir()
    paths = [folder / "a.weights.h5", folder / "b.weights.h5"]
    for path in paths:
        path.write_bytes(hdf5_bytes())
        os.truncate(path, LONG)
    return paths


def lines_about(paths: list[Path]) -> list[str]:
    number = len(paths)
    return [
        *(f"{'unsealed':<15} {path}" for path in paths),
        f"{number} models: {number} unsealed; 335.5 MB in TIME s",
        f"{number} have no seal, so a change would go unnoticed. Seal what you trust: "
        "keras-integrity seal PATH",
    ]


def words(lines: list[str]) -> list[str]:
    """What is said, however it is broken into lines."""
    said = " ".join(" ".join(lines).split())
    return re.sub(r"in (less than )?[0-9.]+ s\b", "in TIME s", said).split()


@pytest.mark.parametrize("columns", [40, 100])
def test_bar_shows_up_and_leaves_nothing_but_the_results(
    long_work: list[Path], columns: int
) -> None:
    written = in_terminal("verify", long_work[0].parent, columns=columns)
    assert "Verifying" in written
    shown = screen(written)
    assert words(shown) == words(lines_about(long_work))
    assert all(len(line) <= columns for line in shown if str(long_work[0].parent) not in line)
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor stays hidden"


def test_bar_counts_every_byte_once(long_work: list[Path]) -> None:
    """Also where a file is named twice."""
    written = in_terminal("verify", *long_work, long_work[0])
    steps = re.findall(r"([\d.]+)/([\d.]+) MB", re.sub(r"\x1b\[[\d;]*m", "", written))
    assert steps[0] == ("0.0", "503.3")
    assert steps[-1] == ("503.3", "503.3")
    assert {total for _, total in steps} == {"503.3"}
    assert "3 models: 3 unsealed; 503.3 MB in" in "\n".join(screen(written))


def test_bar_counts_the_files_of_a_set(long_work: list[Path]) -> None:
    """A directory's own few kilobytes are not what takes the time."""
    folder = long_work[0].parent / "unzipped"
    folder.mkdir()
    for name in ("config.json", "metadata.json"):
        (folder / name).write_text("{}")
    for path, name in zip(long_work, ("model.weights.h5", "assets/more.bin"), strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        path.rename(folder / name)
    assert "/335.5 MB" in re.sub(r"\x1b\[[\d;]*m", "", in_terminal("verify", folder))


def test_no_bar_where_results_are_piped_away(long_work: list[Path], tmp_path: Path) -> None:
    piped = tmp_path / "out.txt"
    assert in_terminal("verify", long_work[0].parent, piped=piped) == ""
    assert [line.split()[0] for line in piped.read_text().splitlines()[:2]] == ["unsealed"] * 2


def test_no_bar_where_nothing_is_long(long_work: list[Path]) -> None:
    for command in ("inspect", "verify"):
        paths = long_work if command == "inspect" else long_work[:1]
        written = in_terminal(command, *paths)
        assert "\x1b[?25l" not in written
        assert "MB" not in written


def test_no_bar_on_a_terminal_that_cannot_redraw(long_work: list[Path]) -> None:
    written = in_terminal("verify", long_work[0].parent, TERM="dumb")
    assert "Verifying" not in written
    assert words(screen(written)) == words(lines_about(long_work))
    assert "\r\n\r\n" not in written


@pytest.mark.parametrize(("value", "coloured"), [("1", False), ("", True)])
def test_colours_can_be_taken_away(tmp_path: Path, value: str, coloured: bool) -> None:
    path = tmp_path / "a.weights.h5"
    path.write_bytes(hdf5_bytes())
    written = in_terminal("verify", path, NO_COLOR=value)
    assert "unsealed" in written
    assert ("\x1b" in written) is coloured


def test_what_was_not_checked_is_not_green(tmp_path: Path) -> None:
    path = tmp_path / "a.weights.h5"
    path.write_bytes(hdf5_bytes())
    in_terminal("seal", path)
    green = "\x1b[32m"
    assert green not in in_terminal("inspect", path)
    assert green in in_terminal("verify", path)


def test_a_terminal_gets_lines_that_fit_and_a_pipe_gets_them_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.weights.h5"
    path.write_bytes(hdf5_bytes())
    for columns in (80, 120):
        lines = screen(in_terminal("verify", path, path, columns=columns, NO_COLOR="1"))
        assert all(len(line) <= columns for line in lines if str(path) not in line)
    piped = tmp_path / "piped"
    in_terminal("verify", path, path, columns=40, piped=piped)
    assert len(piped.read_text().splitlines()) == 4
