# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks compare --against PYTHON``: two installs of the package side by side.

``PYTHON`` is the interpreter of another environment, which has the other version (an older
commit, say) and the same Keras. Everything is timed in both and with the hook switched off, in
turn and within one run: a machine that is busy for a minute is busy for all of them. What counts
is the difference within a round, and its spread. ``--clock cpu`` counts processor time instead of
wall clock, for machines that are never quiet.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Samples, interleaved
from benchmarks.worker import NAMES

SMALL, LARGE = 100_000, 100_000_000

# The worker's own code comes from this tree, the package from the environment: this tree must
# not be on the path.
_START = """
import importlib.util, sys
home, folder, clock = sys.argv[1:]
spec = importlib.util.spec_from_file_location(
    "benchmarks", home + "/__init__.py", submodule_search_locations=[home])
sys.modules["benchmarks"] = importlib.util.module_from_spec(spec)
from benchmarks import worker
worker.main(folder, clock)
"""

_QUIET = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]

Party = tuple[Path, str]
"""An interpreter, and the value of KERAS_INTEGRITY under which it runs."""


@dataclass(frozen=True)
class Row:
    """What one case took, in seconds."""

    case: str
    samples: Samples

    def text(self) -> str:
        """A line of the table: medians in ms, and the paired difference with its quartiles."""
        medians = {name: quartiles(values)[1] for name, values in self.samples.items()}
        pairs = zip(self.samples["after"], self.samples["before"], strict=True)
        low, middle, high = (1000 * value for value in quartiles([a - b for a, b in pairs]))
        shown = [
            f"{1000 * medians[name]:.2f}" if name in medians else ""
            for name in ("plain", "before", "after")
        ]
        ratio = f"{medians['after'] / medians['before']:.3f}"
        spread = f"{middle:+.2f} ({low:+.2f} … {high:+.2f})"
        return f"| {self.case} | {' | '.join(shown)} | {spread} | {ratio} |"


HEADER = (
    "| case | plain, ms | before, ms | after, ms | difference, ms (quartiles) | after / before |"
    "\n|---|---:|---:|---:|---:|---:|"
)


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """The quarter, the half and three quarters of ``values`` in order."""
    ordered = sorted(values)
    at = [ordered[round(part * (len(ordered) - 1))] for part in (0.25, 0.5, 0.75)]
    return at[0], at[1], at[2]


class Remote:
    """A worker (``benchmarks.worker``) in a process of its own."""

    def __init__(self, party: Party, folder: Path, clock: str) -> None:
        python, mode = party
        self._log = folder / "stderr.txt"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [python, "-P", "-c", _START, str(Path(__file__).parent), str(folder), clock],
                env=environment(mode),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
            )
        self.package = str(self._answer())

    def do(self, *request: str | int) -> float:
        """Seconds of what ``request`` names."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        return float(str(self._answer()))

    def _answer(self) -> object:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended: {self._log.read_text()[-2000:]}")
        return json.loads(line)

    def close(self) -> None:
        """Let the worker end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def environment(mode: str) -> dict[str, str]:
    """The variables of every process that is timed."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "KERAS_INTEGRITY"))
    }
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    return kept | quiet | {"KERAS_INTEGRITY": mode, "XDG_CONFIG_HOME": "/nonexistent"}


@contextlib.contextmanager
def workers(parties: Mapping[str, Party], folder: Path, clock: str) -> Iterator[dict[str, Remote]]:
    """A worker for each party, each with a directory of its own."""
    with contextlib.ExitStack() as stack:
        started = {}
        for name, party in parties.items():
            (folder / name).mkdir()
            started[name] = Remote(party, folder / name, clock)
            stack.callback(started[name].close)
        if started["before"].package == started["after"].package:
            raise RuntimeError(f"both environments have the same {started['after'].package}")
        yield started


def models(found: Mapping[str, Remote], size: int, runs: int) -> Iterator[Row]:
    """Saves and loads of one size, of every kind of file."""
    for name in NAMES:
        for what in ("save", "load"):
            turns = {
                party: functools.partial(remote.do, what, name, size)
                for party, remote in found.items()
            }
            label = f"{what} {name} {size // 1000:,} kB"
            yield Row(label, interleaved(turns, runs, settle=False))


def commands(
    parties: Mapping[str, Party], folder: Path, runs: Mapping[str, int], clock: str
) -> Iterator[Row]:
    """Whole processes: the interpreter's start, ``import keras``, the command line."""
    for case, count in runs.items():
        turns = {
            name: functools.partial(spawned, party, case, folder / name, clock)
            for name, party in parties.items()
            if name != "plain" or not case.startswith("verify")
        }
        yield Row(case, interleaved(turns, count, settle=False))


def spawned(party: Party, case: str, folder: Path, clock: str) -> float:
    """Seconds of one process; posix_spawn has the least jitter of its own."""
    python, mode = party
    arguments = {
        "interpreter start": ["-c", "pass"],
        "import keras": ["-c", "import keras"],
        "verify command, 100 kB": _verify(folder / str(SMALL)),
        "verify command, 100 MB": _verify(folder / str(LARGE)),
    }[case]
    command = [str(python), "-P", *arguments]
    start = time.perf_counter()
    process = os.posix_spawn(python, command, environment(mode), file_actions=_QUIET)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{case} ended with status {status}")
    return seconds if clock == "wall" else usage.ru_utime + usage.ru_stime


def _verify(folder: Path) -> list[str]:
    path = str(folder / "model.keras")
    return ["-m", "keras_integrity_hook.cli", "verify", "--json", path]


def main(words: list[str]) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks compare", description=__doc__)
    parser.add_argument("--against", type=Path, required=True, metavar="PYTHON")
    parser.add_argument("--runs", type=int, default=20, help="rounds for 100 MB (default 20)")
    parser.add_argument("--small-runs", type=int, default=60, help="for 100 kB (default 60)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--files", type=Path, help="where to keep the models meanwhile")
    options = parser.parse_args(words)
    parties: dict[str, Party] = {
        "plain": (Path(sys.executable), "off"),
        "before": (options.against, "enforce"),
        "after": (Path(sys.executable), "enforce"),
    }
    counts: dict[str, int] = {
        "interpreter start": 5 * options.small_runs,
        "import keras": max(3, options.runs // 2),
        "verify command, 100 kB": options.small_runs,
        "verify command, 100 MB": options.runs,
    }
    print(HEADER, flush=True)
    with tempfile.TemporaryDirectory(dir=options.files) as name:
        folder = Path(name)
        with workers(parties, folder, options.clock) as found:
            for size, runs in ((SMALL, options.small_runs), (LARGE, options.runs)):
                for row in models(found, size, runs):
                    print(row.text(), flush=True)
        for row in commands(parties, folder, counts, options.clock):
            print(row.text(), flush=True)
