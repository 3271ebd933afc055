# SPDX-License-Identifier: Apache-2.0
"""Models that take all there is, end their process, or answer what nobody asked: the program
outside goes on, with an error that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook import sandbox
from keras_integrity_hook.limits import KIB, MIB
from keras_integrity_hook.sandbox import SandboxLimits
from tests.support.sandboxes import needs_sandbox, with_code

pytestmark = needs_sandbox

LIMITS = SandboxLimits(
    seconds=20, cpu_seconds=8, memory=1024 * MIB, disk=8 * MIB, output=256 * KIB, threads=200
)
# Finds the socket to the parent and says what it wants by that.
_CHANNEL = """
import json, os, socket
for name in os.listdir("/proc/self/fd"):
    link = f"/proc/self/fd/{name}"
    if os.path.islink(link) and os.readlink(link).startswith("socket:"):
        there = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, os.dup(int(name)))
def say(**message): there.send(json.dumps(message).encode())
"""
TAKES = {
    "memory": ("kept = [bytearray(1 << 28) for _ in range(64)]", "memory"),
    "time": ("import time\nwhile True: time.sleep(1)", "seconds"),
    "processors": ("while True: pass", "cpu_seconds"),
    "disk in one file": (
        "import os\nfile = open(os.environ['TMPDIR'] + '/a', 'wb')\n"
        "for _ in range(64): file.write(bytes(1 << 20))",
        "disk",
    ),
    "disk in many files": (
        "import os, time\nfor n in range(64):\n"
        "    open(os.environ['TMPDIR'] + f'/{n}', 'wb').write(bytes(1 << 20))\ntime.sleep(60)",
        "disk",
    ),
    "output": ("while True: print('x' * 1000)", "output"),
    "threads": (
        "import threading, time\n"
        "for _ in range(400): threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "time.sleep(60)",
        "threads",
    ),
}
ENDS = {
    "exit": "import os; os._exit(0)",
    "kill": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "crash": "import ctypes; ctypes.string_at(0)",
    "calls of another architecture": (
        "import ctypes; ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 | 39))"
    ),
    "recursion": "import sys; sys.setrecursionlimit(10**9)\nf = lambda n: f(n + 1)\nf(0)",
    "no JSON": _CHANNEL + "there.send(b'{')\nimport time; time.sleep(9)",
    "a deep answer": _CHANNEL + "there.send(b'[' * 100_000)\nimport time; time.sleep(9)",
    "an answer of another kind": _CHANNEL + "say(kind='watched')\nimport time; time.sleep(9)",
    "an answer without its fields": _CHANNEL + "say(kind='answer')\nimport time; time.sleep(9)",
    "arrays that are not there": _CHANNEL
    + "say(kind='answer', value={'outputs': {'leaf': 7}}, arrays=[''], bytes=1 << 60)\n"
    + "import time; time.sleep(9)",
    "room for too much": _CHANNEL + "say(kind='room', bytes=1 << 62)\nimport time; time.sleep(9)",
    "room for less than nothing": _CHANNEL
    + "say(kind='room', bytes=-1)\nimport time; time.sleep(9)",
    "descriptors that nobody wants": _CHANNEL
    + "import array\n"
    + "fds = array.array('i', [os.open('/dev/null', 0) for _ in range(100)])\n"
    + "there.sendmsg([b'{}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])\n"
    + "import time; time.sleep(9)",
}


OFTEN = ("memory", "output", "exit", "arrays that are not there")
"""Each costs a process that imports Keras: the others are tried every night."""


def cases(table: dict[str, Any]) -> list[Any]:
    """Each name of ``table``, with the mark that it is to have."""
    often = [pytest.param(name) for name in table if name in OFTEN]
    return often + [
        pytest.param(name, marks=pytest.mark.nightly) for name in table if name not in OFTEN
    ]


def asked(path: Path) -> Any:
    """What the model at ``path`` answers; its code runs when it is asked."""
    import numpy as np

    with sandbox.load_model(path, safe_mode=False, limits=LIMITS) as model:
        return model.predict_on_batch(np.zeros((1, 4), "float32"))


@pytest.mark.parametrize("what", cases(TAKES))
def test_model_that_takes_too_much(keras: Any, models: Path, what: str) -> None:
    code, limit = TAKES[what]
    path = with_code(code, models / "bomb.keras")
    with pytest.raises(kih.IntegrityError) as caught:
        asked(path)
    error = caught.value
    # To be told OSError by the system is an end, too, where a file is over the limit.
    assert isinstance(error, kih.SandboxLimitError | kih.SandboxedModelError), error
    if isinstance(error, kih.SandboxLimitError):
        # On a machine that is busy the clock on the wall may be the first to say it.
        assert error.limit in (limit, "seconds"), error
    assert error.path == str(path)


@pytest.mark.parametrize("what", cases(ENDS))
def test_model_that_ends_its_process_or_attacks_by_its_answers(
    keras: Any, models: Path, what: str
) -> None:
    path = with_code(ENDS[what], models / "bomb.keras")
    with pytest.raises(kih.IntegrityError) as caught:
        asked(path)
    kinds = kih.SandboxedModelError | kih.SandboxLimitError | kih.SandboxViolationError
    assert isinstance(caught.value, kinds), caught.value
    assert caught.value.path == str(path)
