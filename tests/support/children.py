# SPDX-License-Identifier: Apache-2.0
"""Processes of a test: as another user, where other things are mounted, or killed."""

from __future__ import annotations

import codecs
import ctypes
import os
import pickle
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

_NEW_MOUNTS = 0x00020000  # CLONE_NEWNS (clone(2))


def let_others_in(folder: Path) -> None:
    """Let every user reach ``folder``, however deep pytest has put it below its private ones."""
    top = Path(tempfile.gettempdir()).resolve()
    for one in (folder, *folder.resolve().parents):
        if one in (top, *top.parents):
            return
        one.chmod(one.stat().st_mode | 0o055)


def as_user(uid: int, work: Callable[[], None], *, groups: Sequence[int] = ()) -> None:
    """Do ``work`` as the user and group ``uid``; what it raises is raised here."""

    def become() -> None:
        # Where Python itself lies in root's home, nobody else can import a codec any more.
        codecs.lookup("utf-16-be")
        os.setgroups(list(groups))
        os.setgid(uid)
        os.setuid(uid)
        os.umask(0o022)
        work()

    _in_child(become)


def in_mount_namespace(commands: Sequence[Sequence[str]], work: Callable[[], None]) -> None:
    """Do ``work`` after mounting with ``commands`` where nobody else sees it.

    Skips the test where a mount is not to be had.
    """
    script = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x20000) != 0)"
    if subprocess.run([sys.executable, "-S", "-c", script], check=False).returncode:
        pytest.skip("a mount namespace is not to be had")

    def mounted() -> None:
        ctypes.CDLL(None).unshare(_NEW_MOUNTS)
        for command in [["mount", "--make-rprivate", "/"], *commands]:
            subprocess.run(command, check=True)
        work()

    _in_child(mounted)


def _in_child(work: Callable[[], None]) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _run(work, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    assert answer, "the child was killed"
    error = pickle.loads(answer)
    if error is not None:
        raise error


def _run(work: Callable[[], None], writer: int) -> NoReturn:
    error: BaseException | None = None
    try:
        work()
    except BaseException as raised:
        traceback.print_exc()
        error = raised
    try:
        answer = pickle.dumps(error)
    except Exception:
        answer = pickle.dumps(AssertionError(repr(error)))
    os.write(writer, answer)
    os._exit(0)


@contextmanager
def one_killed(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Two processes of ``command``, which prints "made" and waits: one is killed, one yielded."""
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as living,
    ):
        try:
            for one in (killed, living):
                assert one.stdout is not None
                assert one.stdout.readline() == "made\n"
            killed.kill()
            killed.wait()
            yield living
        finally:
            for one in (killed, living):
                one.kill()
                one.wait()
