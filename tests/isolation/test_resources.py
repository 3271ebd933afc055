# SPDX-License-Identifier: Apache-2.0
"""What a model takes too much of: its process ends, and the error names the limit."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook.errors import SandboxedModelError, SandboxLimitError
from keras_integrity_hook.isolation.process import ConfinedProcess
from keras_integrity_hook.isolation.sandbox_limits import SandboxLimits
from tests.support.confined import BARE, bare, load, needs_sandbox
from tests.support.mounts import mounted

pytestmark = needs_sandbox

MIB = 1 << 20

BOMBS: dict[str, tuple[str, dict[str, Any]]] = {
    "seconds": ("while True: pass", {"seconds": 0.5}),
    "seconds of sleep": ("import time; time.sleep(100)", {"seconds": 0.5}),
    "memory": ("bytearray(2 << 30)", {"memory": 256 * MIB}),
    "output": ("while True: print('x' * 1000)", {"output": MIB}),
    "disk by one file": ("open('f', 'wb').truncate(1 << 40)", {"disk": MIB}),
    "disk by many bytes": (
        """
        import time
        for number in range(64):
            open(str(number), 'wb').write(bytes(1 << 20))
        time.sleep(60)
        """,
        {"disk": 16 * MIB},
    ),
    "threads": (
        """
        import threading, time
        for _ in range(100):
            threading.Thread(target=time.sleep, args=(60,)).start()
        time.sleep(60)
        """,
        {"threads": 50},
    ),
    "cpu_seconds": (
        "while True: pass",
        {"cpu_seconds": 1},
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_end_by_their_limit(name: str) -> None:
    code, limits = BOMBS[name]
    if name == "disk by one file":
        with pytest.raises(SandboxedModelError, match="File too large"), bare(code, **limits):
            pass
        return
    with pytest.raises(SandboxLimitError) as caught, bare(code, **limits):
        pass
    assert caught.value.limit == name.partition(" ")[0]


WITHOUT_NAMES = """
    import os, time
    for number in range(16):
        name = f"f{number}"
        fd = os.open(name, os.O_CREAT | os.O_RDWR)
        os.unlink(name)
        os.write(fd, bytes(1 << 20))
    time.sleep(20)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="the files of another process are for root to see")
def test_files_without_a_name_count() -> None:
    with pytest.raises(SandboxLimitError) as caught, bare(WITHOUT_NAMES, disk=8 * MIB):
        pass
    assert caught.value.limit == "disk"


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount is needed")
def test_file_system_is_not_filled_by_what_is_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("-t", "tmpfs", "-o", "size=24m", "tmpfs")
    for place in mounted(*options, at=tmp_path / "small"):
        monkeypatch.setattr(tempfile, "tempdir", str(place))
        with (
            pytest.raises(SandboxLimitError, match="are left"),
            bare(WITHOUT_NAMES, disk=20 * MIB),
        ):
            pass


def test_the_process_ends_with_its_owner_and_leaves_nothing() -> None:
    with bare("print('there')") as process:
        home, pid = process._home.path, process._child.pid
    assert not os.path.exists(home)
    assert not os.path.exists(f"/proc/{pid}")


def test_between_questions_nothing_goes_on() -> None:
    code = """
        import threading
        counted = [0]
        def count():
            while True:
                counted[0] += 1
        threading.Thread(target=count, daemon=True).start()
    """
    with bare(code) as process:
        stat = Path(f"/proc/{process._child.pid}/stat")
        while (state := stat.read_text().rpartition(") ")[2][0]) == "R":
            time.sleep(0.01)
        assert state == "T"


def test_a_child_that_another_thread_started_serves_this_one() -> None:
    processes = []

    def start() -> None:
        context = bare("def predict(x): return x")
        processes.append((context, context.__enter__()))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    ((context, process),) = processes
    try:
        answer = process.run("predict", {"list": []}, [], {})
        assert answer.value == {"outputs": {"list": []}}
    finally:
        context.__exit__(None, None, None)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "1", None, True])
def test_a_limit_is_a_number_above_zero(value: Any) -> None:
    with pytest.raises(ValueError, match="seconds must be a number above 0"):
        SandboxLimits(seconds=value)


def test_after_its_end_it_is_asked_in_vain() -> None:
    with bare("text = 'x'") as process:
        process.close()
        with pytest.raises(SandboxedModelError, match="has ended"):
            load(process, "")


def test_one_that_is_forgotten_ends_when_it_is_collected() -> None:
    process = ConfinedProcess(host=BARE, modules=["tests"])
    process.wait_until_ready()
    pid, home = process._child.pid, process._home.path
    del process
    gc.collect()
    assert not os.path.exists(home)
    assert not os.path.exists(f"/proc/{pid}")


def test_it_ends_with_a_parent_that_is_killed() -> None:
    code = """
        import os
        from tests.support.confined import bare
        with bare("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)") as process:
            print(process._child.pid, process._home.path, flush=True)
            os.kill(os.getpid(), 9)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    pid, home = done.stdout.split()
    status = Path(f"/proc/{pid}/status")
    with contextlib.suppress(FileNotFoundError):
        while "State:\tZ" not in status.read_text():
            time.sleep(0.01)
    shutil.rmtree(home)
