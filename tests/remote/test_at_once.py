# SPDX-License-Identifier: Apache-2.0
"""Several things at once: each is done, and what fails is raised."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from keras_integrity_hook.remote import at_once

NAMES = [f"n{number}" for number in range(40)]


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_each_is_done_once(count: int) -> None:
    done: list[str] = []
    at_once.each(NAMES[:count], done.append)
    assert sorted(done) == sorted(NAMES[:count])


def test_eight_are_at_work_at_once_and_no_more() -> None:
    all_here = threading.Barrier(8)
    at_work, most = set[int](), []

    def do(name: str) -> None:
        at_work.add(threading.get_ident())
        most.append(len(at_work))
        all_here.wait(60)
        at_work.discard(threading.get_ident())

    at_once.each(NAMES, do)
    assert max(most) == 8


def test_what_failed_is_raised() -> None:
    def do(name: str) -> None:
        if name == "n3":
            raise PermissionError(name)

    with pytest.raises(PermissionError, match="n3"):
        at_once.each(NAMES, do)


def test_what_failed_in_the_background_is_raised_by_who_waits_for_it() -> None:
    def fail() -> None:
        raise PermissionError("no more")

    job = at_once.InBackground(fail)
    job.wait()
    with pytest.raises(PermissionError, match="no more"):
        job.finish()


AT_EXIT = """
import atexit
from keras_integrity_hook.remote import at_once

def save():
    done = []
    at_once.each(["a", "b", "c"], done.append)
    job = at_once.InBackground(lambda: done.append("d"))
    job.finish()
    print(sorted(done))

atexit.register(save)
"""


def test_it_works_when_the_interpreter_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['a', 'b', 'c', 'd']\n"
