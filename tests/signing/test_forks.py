# SPDX-License-Identifier: Apache-2.0
"""Processes that are forked while threads sign and verify: no child waits for a lock of OpenSSL's
that nobody gives back."""

from __future__ import annotations

import ast
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

import keras_integrity_hook
from keras_integrity_hook.signing import keys, openssl, private
from keras_integrity_hook.signing.keys import PublicKey
from tests.support import forks

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")

HOME = Path(keras_integrity_hook.__file__).parent


class Pair(NamedTuple):
    public: PublicKey
    sign: Callable[[bytes], bytes]

    def use(self) -> None:
        keys.load.cache_clear()
        assert keys.is_valid(self.public, self.sign(b"data"), b"data")

    def use_in_a_thread(self) -> None:
        """A thread takes a lock once more when it ends."""
        thread = threading.Thread(target=self.use)
        thread.start()
        thread.join()


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    private.write_pair(str(tmp_path / "key"), "ecdsa", None)
    return Pair(*private.read_file(str(tmp_path / "key"), lambda _: ""))


@contextmanager
def over_and_over(*works: Callable[[], None]) -> Iterator[None]:
    """Do each of ``works`` in a thread, again and again, in quick turns with this one."""
    is_over = threading.Event()
    interval = sys.getswitchinterval()

    def repeat(work: Callable[[], None]) -> None:
        while not is_over.is_set():
            work()

    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        yield
    finally:
        sys.setswitchinterval(interval)
        is_over.set()
        for thread in threads:
            thread.join()


def _in_the_child(pair: Pair) -> None:
    pair.use()
    pair.use_in_a_thread()


@pytest.mark.parametrize(
    "number", [100, pytest.param(20_000, marks=pytest.mark.nightly)], ids=["some", "many"]
)
def test_child_forked_while_threads_sign_and_end_can_sign(pair: Pair, number: int) -> None:
    with over_and_over(pair.use, pair.use_in_a_thread, pair.use_in_a_thread):
        for _ in range(number):
            assert forks.ends(lambda: _in_the_child(pair))


def test_process_of_a_pool_that_is_forked_while_threads_sign_can_sign(pair: Pair) -> None:
    """As Keras's own ``use_multiprocessing`` does."""
    context = multiprocessing.get_context("fork")
    with over_and_over(pair.use, pair.use_in_a_thread):
        for _ in range(20):
            process = context.Process(target=_in_the_child, args=(pair,))
            process.start()
            process.join(forks.SECONDS)
            assert process.exitcode == 0


def test_fork_waits_for_who_is_inside(pair: Pair) -> None:
    is_inside, may_leave, is_forked = (threading.Event() for _ in range(3))

    def stay() -> None:
        with openssl.entered():
            is_inside.set()
            may_leave.wait()

    def fork() -> None:
        assert forks.ends(pair.use)
        is_forked.set()

    threads = [threading.Thread(target=work) for work in (stay, fork)]
    try:
        threads[0].start()
        is_inside.wait()
        threads[1].start()
        while not openssl._Used.room._forking:
            threads[1].join(0.001)
        assert not is_forked.is_set()
    finally:
        may_leave.set()
    for thread in threads:
        thread.join()
    assert is_forked.is_set()


AT_THE_FORK = """
import os, sys, threading, time

told = []
# What is registered first is called last before a fork: nothing else is left to be done.
os.register_at_fork(before=lambda: told.append(look()))

from keras_integrity_hook.signing import keys, openssl, private

private.write_pair(sys.argv[1], "ecdsa", None)
public, sign = private.read_file(sys.argv[1], lambda _: "")

def use():
    keys.load.cache_clear()
    assert keys.is_valid(public, sign(b"data"), b"data")

def fork():
    child = os.fork()
    if child == 0:
        use()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""

NOBODY_INSIDE = """
def repeat():
    while len(told) < 20:
        use()

def look():
    found = set()
    for _ in range(50):
        time.sleep(0)
        found |= set(openssl._Used.room._inside)
    return found

sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=repeat) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(20):
    fork()
for thread in threads:
    thread.join()
assert told == [set()] * 20, told
"""

NOBODY_ENDING = """
openssl._PATIENCE = 600
mine = threading.local()
is_ending, may_end = threading.Event(), threading.Event()

class Slow:
    def __del__(self):
        is_ending.set()
        may_end.wait()

def use_and_end_slowly():
    use()
    mine.slow = Slow()

def let_it_end():
    while not openssl._Used.room._forking:
        time.sleep(0.001)
    may_end.set()

def look():
    return os.path.exists(f"/proc/self/task/{thread.native_id}")

thread = threading.Thread(target=use_and_end_slowly)
helper = threading.Thread(target=let_it_end)
thread.start()
is_ending.wait()
helper.start()
fork()
helper.join()
assert told == [False], told
"""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(NOBODY_INSIDE, id="nobody inside"),
        pytest.param(
            NOBODY_ENDING,
            id="nobody ending",
            marks=pytest.mark.skipif(
                not os.path.isdir("/proc/self/task"), reason="threads that end cannot be told"
            ),
        ),
    ],
)
def test_at_the_moment_of_a_fork_openssl_is_left_alone(tmp_path: Path, case: str) -> None:
    command = [sys.executable, "-c", AT_THE_FORK + case, str(tmp_path / "key")]
    subprocess.run(command, check=True, timeout=600)


def test_who_forks_inside_waits_for_nobody(pair: Pair) -> None:
    """A signal handler may do so at any moment."""
    with openssl.entered():
        assert forks.ends(pair.use)
    assert not openssl._Used.room._inside
    assert not openssl._Used.room._forking


def test_a_signer_that_fails_is_not_waited_for(pair: Pair) -> None:
    with pytest.raises(ValueError, match="no"), openssl.entered():
        raise ValueError("no")
    assert not keys.is_valid(pair.public, b"none", b"data")
    assert forks.ends(pair.use)


def test_threads_of_others_are_not_waited_for_after_they_called() -> None:
    """Those of TensorFlow go on when Python is done with them, and come again."""
    import _thread

    is_over = threading.Lock()
    is_over.acquire()

    def call() -> None:
        with openssl.entered():
            pass
        is_over.release()

    _thread.start_new_thread(call, ())
    with is_over:
        assert not openssl._Used.room._ending


LIBRARIES = ("cryptography", "securesystemslib", "sigstore", "tuf")
ERRORS = ("cryptography.exceptions", "securesystemslib.exceptions", "tuf.api.exceptions")
# Of the room itself, and of a command that pulls, which has its process to itself and goes to the
# network in between.
OTHERS = {"signing/openssl.py", "distribution/pulling.py"}


def _imported(source: str) -> set[str]:
    """What the functions of a module import when they are called."""
    return {
        node.module
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and node.module and node.module not in ERRORS
    }


def test_whatever_calls_openssl_does_it_inside() -> None:
    outside = set()
    for path in HOME.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        calls = any(name.partition(".")[0] in LIBRARIES for name in _imported(source))
        if calls and "openssl.entered()" not in source and "@openssl.inside" not in source:
            outside.add(path.relative_to(HOME).as_posix())
    assert outside == OTHERS
