# SPDX-License-Identifier: Apache-2.0
"""The models that wait: each once, in bounded memory, and none is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from keras_integrity_hook.errors import FleetResultsError, NotAModelError
from keras_integrity_hook.fleet.targets import Target
from keras_integrity_hook.fleet.waiting import Waiting


def targets(count: int, first: int = 0) -> list[Target]:
    return [Target(f"s3://b/{number}.keras", number, "v") for number in range(first, count)]


def test_each_is_taken_once_in_the_order_in_which_it_was_found(tmp_path: Path) -> None:
    waiting = Waiting(str(tmp_path / "q"))
    waiting.fill([*targets(5), *targets(7)])
    assert waiting.length == 7
    taken = []
    while some := waiting.take(3, 1_000_000):
        taken += some
    assert taken == targets(7)
    assert (waiting.length, waiting.found, waiting.is_complete) == (0, 7, True)
    waiting.close()


def test_what_is_passed_over_is_never_taken(tmp_path: Path) -> None:
    waiting = Waiting(str(tmp_path / "q"))
    assert waiting.pass_over(one.key for one in targets(3)) == 3
    waiting.fill(targets(5))
    assert waiting.take(10, 1_000_000) == targets(5, 3)
    waiting.close()


def test_where_there_is_no_room_for_what_waits_the_remedy_is_told(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    waiting = Waiting(str(tmp_path / "q"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        waiting.fill(targets(20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert waiting.is_complete
    assert isinstance(waiting.error, FleetResultsError)
    assert "TMPDIR" in waiting.error.remedy()
    waiting.close()


def test_a_batch_is_bounded_by_bytes_and_has_one_at_least(tmp_path: Path) -> None:
    waiting = Waiting(str(tmp_path / "q"))
    waiting.fill([Target("a", 60), Target("b", 60), Target("c", 10)])
    assert [one.location for one in waiting.take(10, 50)] == ["a"]
    assert [one.location for one in waiting.take(10, 100)] == ["b", "c"]
    waiting.close()


def test_an_error_that_was_found_waits_like_a_model(tmp_path: Path) -> None:
    waiting = Waiting(str(tmp_path / "q"))
    waiting.fill([Target("x", error=NotAModelError("none here", path="x"))])
    (taken,) = waiting.take(1, 1)
    assert isinstance(taken.error, NotAModelError)
    assert taken.error.path == "x"
    waiting.close()


def test_who_waits_is_woken_when_something_is_found_and_when_nothing_will_be(
    tmp_path: Path,
) -> None:
    waiting = Waiting(str(tmp_path / "q"))
    thread = threading.Thread(target=waiting.fill, args=(targets(2_500),))
    thread.start()
    taken = 0
    while True:
        waiting.wait(30)
        some = waiting.take(100, 10**9)
        taken += len(some)
        if not some and waiting.is_complete:
            break
    thread.join()
    assert taken == 2_500
    waiting.close()


MILLION = """
import resource, sys
from keras_integrity_hook.fleet.targets import Target
from keras_integrity_hook.fleet.waiting import Waiting

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000

waiting = Waiting(sys.argv[1])
of = lambda first, last: (Target(f"s3://b/{n:09}.keras", 1, "v") for n in range(first, last))
waiting.fill(of(0, 50_000))
before = peak()
waiting.fill(of(50_000, 1_000_000))
taken = 0
while some := waiting.take(64, 1 << 40):
    taken += len(some)
print(taken, peak() - before)
"""


@pytest.mark.nightly
def test_a_million_models_wait_in_the_memory_of_fifty_thousand(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MILLION, str(tmp_path / "q")],
        capture_output=True,
        text=True,
        check=True,
    )
    taken, grown = map(int, done.stdout.split())
    assert taken == 1_000_000
    assert grown < 20  # MB
