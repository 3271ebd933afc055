# SPDX-License-Identifier: Apache-2.0
"""What it costs beside plain Keras to save to a URL and to load from one:
``python -m benchmarks.remote [--size MB] [--runs N] [--network]``.

Two processes do the same in turn, one with the hook and one without, in TensorFlow's ``ram://``:
what Keras itself can write to, and a store that takes no time, so that all of what the hook adds is
seen. Peak memory is that of a process of its own for each figure. With ``--network`` the store is
an S3 server behind a line of a stated bandwidth and latency, see :mod:`benchmarks.remote_network`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import remote_network
from benchmarks.measure import Samples, interleaved
from benchmarks.remote_cases import CASES, Case
from benchmarks.results import Result
from keras_integrity_hook.files.closing import Closing

Network = Mapping[str, str]
_NO_NETWORK: Network = {}
_MODES = {"plain": {"KERAS_INTEGRITY": "off"}, "guarded": {}}


class _Process(Closing):
    """Keras in a process of its own, which does what it is told."""

    def __init__(self, mode: str, size: int, network: Mapping[str, str]) -> None:
        given = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **_MODES[mode], **network}
        work = ["--work", "--size", str(size // 1_000_000), *(["--network"] if network else [])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.remote", *work],
            env=given,
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, what: str, case: str) -> float:
        """Seconds that it takes; or, of ``"peak"``, bytes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([what, case]), file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """Let it end, and wait until it has."""
        self._process.communicate()


def remote(
    size: int, runs: int, names: Iterable[str], network: Network = _NO_NETWORK
) -> list[Result]:
    """Ratios of guarded to plain times, and of peak memory, of models of ``size`` bytes.

    Args:
        names: of the forms.
        network: variables by which the store is found; empty for ``ram://``.
    """
    results = []
    for name in names:
        target = CASES[name].target
        with (
            _Process("plain", size, network) as plain,
            _Process("guarded", size, network) as hooked,
        ):
            both = {"plain": plain, "guarded": hooked}
            for what in ("save", "load"):
                for process in both.values():
                    process.ask(what, name)  # the first of each imports and allocates
                actions = {mode: partial(process.ask, what, name) for mode, process in both.items()}
                samples = interleaved(actions, runs, settle=False)
                results.append(_ratio(name, what, samples, target))
        if not network:
            peaks = {mode: _peak(mode, name, size) for mode in _MODES}
            ratio = peaks["guarded"] / peaks["plain"]
            results.append(Result(name, "peak memory", ratio, "x plain", 1.02))
    return results


def _ratio(name: str, what: str, samples: Samples, target: float) -> Result:
    # The best of each: what else the machine does makes either slower, and neither faster.
    ratio = min(samples["guarded"]) / min(samples["plain"])
    return Result(name, what, ratio, "x plain", target, samples)


def _peak(mode: str, name: str, size: int) -> float:
    with _Process(mode, size, _NO_NETWORK) as process:
        for what in ("save", "load"):
            process.ask(what, name)
        return process.ask("peak", name)


def _work(size: int, cases: Mapping[str, Case]) -> None:
    """Do what is asked for on standard input, until that ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # Keras prints
    from benchmarks.measure import peak_memory
    from benchmarks.models import build, randomize, width_for

    model: Any = build(width_for(size))
    randomize(model)
    for line in sys.stdin:
        what, name = json.loads(line)
        if what == "peak":
            print(peak_memory(), file=answers)
            continue
        case = cases[name]
        start = time.perf_counter()
        case.save(model) if what == "save" else case.load(model)
        print(time.perf_counter() - start, file=answers)


def main() -> int:
    """Print a line for each figure; 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.remote", description=__doc__)
    parser.add_argument("--size", type=int, default=115, help="of the model, in MB (default 115)")
    parser.add_argument("--runs", type=int, default=7, help="rounds (default 7)")
    parser.add_argument("--only", choices=CASES, action="append", help="which cases (default all)")
    parser.add_argument("--network", action="store_true", help="a store behind a slow line")
    parser.add_argument("--bandwidth", type=float, default=50, help="of it, in MB/s (default 50)")
    parser.add_argument("--latency", type=float, default=20, help="of it, in ms (default 20)")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = options.size * 1_000_000
    if options.work:
        _work(size, remote_network.cases() if options.network else CASES)
        return 0
    with contextlib.ExitStack() as stack:
        network = _NO_NETWORK
        if options.network:
            line = remote_network.store(options.bandwidth, options.latency)
            network = stack.enter_context(line)
        results = remote(size, options.runs, options.only or CASES, network)
    for one in results:
        best = "  ".join(f"{mode} {min(all_):.3f} s" for mode, all_ in one.samples.items())
        print(f"{one.case:<14} {one.what:<12} {one.value:5.2f} {one.unit}  {one.verdict:<7} {best}")
    return int(any(one.verdict == "missed" for one in results))


if __name__ == "__main__":
    sys.exit(main())
