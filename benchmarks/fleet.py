# SPDX-License-Identifier: Apache-2.0
"""What an audit of many models costs, by their number and by the number of workers.

    python -m benchmarks.fleet models 1000 10000 100000   # in a store without delay
    python -m benchmarks.fleet workers 1 2 4 8 16 32        # in a store with delay
    python -m benchmarks.fleet coordination 1000000         # no model is read: all the rest

The store is simulated (``benchmarks/fleet_store.py``), the rest is real: Dask's processes, TLS
between them, private copies, digests, inspection, Parquet. For each run: models a second, and the
most memory that the process had that writes the results, and its workers (VmHWM), in MB.
``coordination`` says how many workers one such process has work for.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_DELAY = 60.0  # milliseconds; a store in the same region takes 20 to 100 for a request
_EACH = 100  # models for each worker, so that each run takes as long


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for, each in a process of its own, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("by", choices=("models", "workers", "coordination"))
    parser.add_argument("numbers", type=int, nargs="+")
    parser.add_argument("--delay", type=float, default=None, help="milliseconds of each request")
    parser.add_argument("--each", type=int, default=_EACH, help="models for each worker")
    parser.add_argument("--workers", type=int, default=4, help="where their number is not varied")
    given = parser.parse_args(arguments)
    first = None
    for number in given.numbers:
        if given.by != "workers":
            is_read = given.by == "models"
            found = _measured(number, given.delay or 0.0, given.workers, is_read=is_read)
            told = f"{number:>9,} models, {given.workers} workers"
        else:
            delay = _DELAY if given.delay is None else given.delay
            found = _measured(number * given.each, delay, number)
            first = first or found["rate"] / number
            told = f"{number:>9,} workers, {found['rate'] / number / first:7.1%} of linear"
        print(
            f"{told}: {found['rate']:8.1f} models/s in {found['seconds']:.1f} s, "
            f"{found['memory']:.0f} MB here, {found['workers_memory']:.0f} MB in each worker",
            flush=True,
        )


def _measured(count: int, delay: float, workers: int, *, is_read: bool = True) -> dict[str, Any]:
    from benchmarks import fleet_store

    with tempfile.TemporaryDirectory() as folder:
        model = _model(Path(folder))
        environment = {
            **os.environ,
            fleet_store.MODEL_VARIABLE: str(model),
            "DASK_DISTRIBUTED__WORKER__PRELOAD": "benchmarks.fleet_store",
            fleet_store.UNREAD_VARIABLE: "" if is_read else "1",
            "XDG_CONFIG_HOME": folder,
            "XDG_STATE_HOME": folder,
        }
        code = (
            "import sys\nfrom benchmarks import fleet\nif __name__ == '__main__':\n"
            f"    fleet.run({count}, {delay}, {workers}, {folder!r})\n"
        )
        script = Path(folder) / "run.py"
        script.write_text(code)
        environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
        done = subprocess.run(
            [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, check=True
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def run(count: int, delay: float, workers: int, folder: str) -> None:
    """One audit, in this process; what it cost is printed as JSON."""
    from benchmarks import fleet_store
    from keras_integrity_hook.fleet import audit
    from keras_integrity_hook.fleet.options import Options

    fleet_store.register()
    most: dict[int, float] = {}

    def watch(progress: audit.Progress) -> None:
        if progress.examined % 100 < 20:
            for pid in _family():
                most[pid] = max(most.get(pid, 0.0), _peak(pid))

    url = fleet_store.url(count, delay)
    _, progress = audit.audit([url], Options(), f"{folder}/out", number=workers, watch=watch)
    assert progress.outcomes == {"passed": count}, progress.outcomes
    here = _peak(os.getpid())
    others = [memory for pid, memory in most.items() if pid != os.getpid()]
    seconds = count / progress.rate
    told = {"rate": progress.rate, "seconds": seconds, "memory": here}
    print(json.dumps(told | {"workers_memory": max(others, default=0.0)}))


def _family() -> list[int]:
    import psutil

    own = psutil.Process()
    return [own.pid, *(one.pid for one in own.children(recursive=True))]


def _peak(pid: int) -> float:
    """The most memory that a process had, in MB."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as file:
        found = re.search(r"VmHWM:\s+(\d+) kB", file.read())
        return int(found[1]) / 1000 if found else 0.0
    return 0.0


def _model(folder: Path) -> Path:
    """A small sealed model."""
    import io
    import zipfile

    import h5py
    import numpy as np

    from keras_integrity_hook import api

    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/dense/vars/0"] = np.ones((64, 16), "float32")
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.15.1"}')
        archive.writestr("config.json", '{"class_name": "Sequential"}')
        archive.writestr("model.weights.h5", weights.getvalue())
    api.seal(path)
    return path


if __name__ == "__main__":
    main()
