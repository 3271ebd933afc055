# SPDX-License-Identifier: Apache-2.0
"""One audit of a simulated store in this process, and what it costs while it goes on.

What is measured is written to a file as lines of JSON: some seconds apart, at each power of ten,
and at the end. So it is there when the process was killed, and those who resume it add theirs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import fleet_models, fleet_store

LOG = "log.jsonl"
RESULTS = "audit"
_SECONDS_APART = 5.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Meter:
    """What an audit has cost so far.

    CPU seconds are of this start. Memory is in MB, the largest worker's where it is theirs.
    """

    def __init__(self, folder: Path, count: int) -> None:
        """Append to the log in ``folder``; ``count`` models there will be."""
        self._folder, self._count = folder, count
        self._begun = time.monotonic()
        self._told_of, self._is_new = 0.0, True
        self._next = 1_000

    def look(self, examined: int, before: int) -> None:
        """Measure, if it is time to: ``examined`` models, ``before`` of them by earlier starts."""
        event = ""
        if self._is_new:
            event, self._is_new = "known", False
            while self._next <= before:
                self._next *= 10
        elif examined >= self._next:
            event = str(self._next)
            self._next *= 10
        elif time.monotonic() - self._told_of > _SECONDS_APART:
            event = "-"
        if event:
            self.write(event, examined, before)

    def write(self, event: str, examined: int, before: int) -> dict[str, Any]:
        """Measure, and add it to the log."""
        self._told_of = time.monotonic()
        told = {
            "event": event,
            "count": self._count,
            "examined": examined,
            "before": before,
            "seconds": round(self._told_of - self._begun, 2),
            "bytes_read": fleet_store.bytes_read(),
            "parquet": _size_below(self._folder / RESULTS),
            **_processes(),
        }
        with open(self._folder / LOG, "a") as log:
            log.write(json.dumps(told) + "\n")
        return told


def run(count: int, delay: float, workers: int, folder: str, *, resume: bool = False) -> None:
    """One audit of ``count`` models in this process; what it cost in the end is printed."""
    from keras_integrity_hook.fleet import audit
    from keras_integrity_hook.fleet.options import Options

    fleet_store.register()
    meter = Meter(Path(folder), count)

    def watch(progress: audit.Progress) -> None:
        meter.look(progress.examined, progress.before)

    out = os.path.join(folder, RESULTS)
    url = fleet_store.url(count, delay)
    _, progress = audit.audit([url], Options(), out, number=workers, resume=resume, watch=watch)
    expected = fleet_models.outcomes_of(count)
    if {str(one): number for one, number in progress.outcomes.items()} != expected:
        raise RuntimeError(f"{progress.outcomes} and not {expected}")
    told = meter.write("end", progress.examined, progress.before)
    rate = {"rate": progress.rate, "stored": fleet_store.size_of(count)}
    print(json.dumps(told | rate | _most(Path(folder) / LOG)))


def _most(log: Path) -> dict[str, float]:
    """The most memory that there was, of all lines: at the end the workers are gone."""
    told = [json.loads(line) for line in log.read_text().splitlines()]
    return {name: max(one[name] for one in told) for name in ("peak_here", "peak_worker")}


def _processes() -> dict[str, float]:
    found = [_of_process(pid) for pid in _children()]
    here = _of_process(os.getpid())
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu_here": here["cpu"],
        "cpu_workers": round(sum(one["cpu"] for one in found) + ended.ru_utime + ended.ru_stime, 2),
        "rss_here": here["rss"],
        "rss_worker": max((one["rss"] for one in found), default=0.0),
        "peak_here": here["peak"],
        "peak_worker": max((one["peak"] for one in found), default=0.0),
    }


def _children() -> list[int]:
    """The processes that this one has started; to look at all there are would cost more than some
    of what is measured."""
    told = Path("/proc/self/task").glob("*/children")
    return [int(pid) for path in told for pid in path.read_text().split()]


def _of_process(pid: int) -> dict[str, float]:
    cpu = rss = peak = 0.0
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / _TICKS
        status = Path(f"/proc/{pid}/status").read_text()
        rss, peak = (_kilobytes(status, name) / 1000 for name in ("VmRSS", "VmHWM"))
    return {"cpu": cpu, "rss": rss, "peak": peak}


def _kilobytes(status: str, name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    return int(found[1]) if found else 0


def _size_below(folder: Path) -> int:
    return sum(_sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    for at, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                yield os.stat(os.path.join(at, name)).st_size
