# SPDX-License-Identifier: Apache-2.0
"""Workers that are started here work for who started them, and for nobody else on the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook.errors import ConfigurationError
from keras_integrity_hook.files import portable
from keras_integrity_hook.fleet import workers

pytest.importorskip("distributed")


STRANGER = """
import sys, distributed
from distributed.security import Security

address = sys.argv[1]
for target, security in (
    (address, None), (address, Security.temporary()), (address.replace("tls:", "tcp:"), None)
):
    try:
        with distributed.Client(target, security=security, timeout=2) as client:
            print("ran", client.submit(sum, [1, 2]).result(timeout=5))
    except Exception as error:
        print("refused")
"""


def test_a_stranger_who_finds_the_port_gets_no_work_done() -> None:
    with workers.started(2) as client:
        address = str(client.scheduler.address) if client.scheduler else ""
        assert address.startswith("tls://127.0.0.1:")
        assert workers.number_of(client) == 2
        assert all(one.startswith("tls://127.0.0.1:") for one in client.nthreads())
        done = subprocess.run(
            [sys.executable, "-c", STRANGER, address], capture_output=True, text=True, check=False
        )
        assert done.stdout.split() == ["refused"] * 3, done
        for port in client.scheduler_info().get("services", {}).values():
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5)
            caught.value.close()
            assert caught.value.code == 404


@pytest.mark.parametrize(("number", "cores", "processes"), [(1, 2, 1), (8, 2, 2), (3, 2, 1)])
def test_processes_divide_the_number_that_is_asked_for(
    number: int, cores: int, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "cores", lambda: cores)
    assert workers._processes(number) == processes


def test_a_package_that_is_missing_is_named_with_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import importlib.util

    plain = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pyarrow" else plain(name)
    )
    with pytest.raises(ConfigurationError, match="pyarrow") as caught:
        workers.require()
    assert "extra 'fleet' brings: pip install pyarrow" in caught.value.remedy()


INTERRUPTED = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests may have it ignored
from keras_integrity_hook.fleet import workers

with workers.started(2) as client:
    print("started", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no groups of processes")
def test_interrupt_of_a_terminal_ends_workers_in_silence_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert told.count("KeyboardInterrupt") == 1, told  # its own
    assert "distributed" not in told, told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("starts", "patience"), [(100, 30.0), (0, 1.0)], ids=["again", "given up"])
def test_nobody_waits_for_ever_for_workers_whose_keepers_have_given_up(
    monkeypatch: pytest.MonkeyPatch, starts: int, patience: float
) -> None:
    monkeypatch.setattr(workers, "_LOOKS", 0.5)
    monkeypatch.setattr(workers, "_SECONDS_WITHOUT", patience)
    monkeypatch.setattr(workers, "_STARTS", starts)

    async def give_up(keepers: list[Any]) -> None:
        for keeper in keepers:
            await keeper.close()

    with workers.started(1) as client:
        cluster: Any = client.cluster
        client.sync(give_up, list(cluster.workers.values()))
        future = client.submit(abs, -1, pure=False)
        with workers.looked_after(client):
            if starts:
                assert future.result() == 1
            else:
                with pytest.raises(CancelledError):
                    future.result()
