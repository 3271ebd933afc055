# SPDX-License-Identifier: Apache-2.0
"""Clocks, the unit L and peak memory: everything the cases measure with."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

CHUNK = 1 << 20
"""Bytes a thread hashes at a time; the size below which threads start to cost more."""

Samples = dict[str, list[float]]
"""Seconds per round, by the name of what was timed; index i of every list is round i."""


def cores() -> int:
    """Number of cores this process may use (not the number the machine has)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def reference_pass(path: Path) -> bytes:
    """The unit L: SHA-256 of every 1 MiB chunk of ``path`` with all cores, and nothing else.

    Returns the concatenated chunk digests, so that no interpreter could skip the work.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        chunks = -(-size // CHUNK)
        digests = [b""] * chunks
        # next() on one counter is atomic under the GIL: it deals chunks out without a lock, and
        # a thread that gets a slow core simply takes fewer.
        numbers = itertools.count()

        def work() -> None:
            buffer = bytearray(CHUNK)
            view = memoryview(buffer)
            while (number := next(numbers)) < chunks:
                read = os.preadv(descriptor, [buffer], number * CHUNK)
                digests[number] = hashlib.sha256(view[:read]).digest()

        threads = min(cores(), chunks) or 1
        with ThreadPoolExecutor(threads) as pool:
            for future in [pool.submit(work) for _ in range(threads)]:
                future.result()
    finally:
        os.close(descriptor)
    return b"".join(digests)


def timed(action: Callable[[], object]) -> float:
    """Seconds of wall clock that ``action()`` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def interleaved(
    actions: Mapping[str, Callable[[], float]], runs: int, *, settle: bool = True
) -> Samples:
    """Time every action once per round, ``runs`` rounds after one that is thrown away.

    Each action prepares what it needs and returns its own seconds. Rounds, not blocks, because a
    machine that slows down for a minute must not decide which of two is faster. Each round has an
    order of its own (the same in every run of the benchmark): with a fixed one, whichever save came
    right after another large one was seen to pay up to 0.7 s more, sealed or not.
    ``settle`` writes dirty pages out between actions, so that nobody pays for another's save.
    """
    samples: Samples = {name: [] for name in actions}
    for round_number in range(runs + 1):
        order = random.Random(round_number).sample(list(actions), len(actions))
        for name in order:
            if settle:
                os.sync()
            seconds = actions[name]()
            if round_number:
                samples[name].append(seconds)
    return samples


def difference(samples: Samples, name: str, baseline: str) -> float:
    """Median over the rounds of ``name`` minus ``baseline`` in the same round, in seconds."""
    pairs = zip(samples[name], samples[baseline], strict=True)
    return statistics.median(value - base for value, base in pairs)


def peak_memory() -> int:
    """Peak resident bytes of this process since it was exec'ed."""
    # Linux carries ru_maxrss of the forking parent over an exec; VmHWM starts afresh.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def in_fresh_process(arguments: Sequence[str], environment: Mapping[str, str]) -> Any:
    """Run ``python -m benchmarks.child ARGUMENTS`` and return the JSON value it prints last."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.child", *arguments],
        env={**os.environ, **environment},
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])
