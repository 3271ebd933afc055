# SPDX-License-Identifier: Apache-2.0
"""Loads whose bytes are verified while they are read, beside plain Keras and strict verification.

``python -m benchmarks.pipelined [--sizes 100,400] [--runs 7] [--algorithm sha256] [--out FILE]``:
with the file in the page cache, and without (``cold``), where the bytes that the disk had to read
are counted, too. ``floor`` is what no verification of this kind can come below on this machine:
the plain load and the digests on one core, shared out evenly to all cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cases import FORMATS, hooked, load, must_be, must_refuse, plain, save
from benchmarks.measure import Samples, cores, interleaved, timed
from benchmarks.models import build, randomize, width_for
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.sealing import tree

GOALS = {(".keras", "warm"): 1.05, (".weights.h5", "warm"): 1.10}
COLD_GOAL = 1.02


class Row(NamedTuple):
    """One line of the table; times in milliseconds, medians of the rounds."""

    case: str
    plain: float
    strict: float
    pipelined: float
    floor: float | None
    goal: float
    read: str

    def cells(self) -> str:
        """The row as Markdown."""
        floor = "" if self.floor is None else f"{self.floor / self.plain:.2f}x"
        modes = (f"{ms:.0f} ({ms / self.plain:.2f}x)" for ms in (self.strict, self.pipelined))
        cells = (self.case, f"{self.plain:.0f}", *modes, floor, f"{self.goal:.2f}x", self.read)
        return f"| {' | '.join(cells)} |"


def verified(mode: str, action: Callable[[], object]) -> float:
    """Seconds of ``action()`` with the hook active and ``verify = mode``."""
    os.environ["KERAS_INTEGRITY_VERIFY"] = mode
    return hooked(action)


def digested(path: Path, algorithm: str) -> None:
    """Digest a file chunk by chunk on one core."""
    buffer = bytearray(MIB)
    with open(path, "rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest = tree.new_hash(algorithm)
            digest.update(memoryview(buffer)[:size])
            digest.digest()


def forget(*paths: Path) -> None:
    """Let the kernel forget the pages of files, which were written out."""
    for path in paths:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def bytes_read() -> int:
    """How many bytes this process had the disk read so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["read_bytes"])


def measured(size: int, suffix: str, folder: Path, options: argparse.Namespace) -> list[Row]:
    """The rows of one size (bytes) and format."""
    model = build(width_for(size))
    randomize(model)
    bare, sealed = folder / f"plain{suffix}", folder / f"sealed{suffix}"
    plain(lambda: save(model, bare))
    os.environ["KERAS_INTEGRITY_ALGORITHM"] = options.algorithm
    hooked(lambda: save(model, sealed))
    must_be(sealed, "sealed")
    must_refuse(model, sealed, folder / f"damaged{suffix}")
    turns: dict[str, Callable[[], float]] = {
        "plain": lambda: plain(lambda: load(model, bare)),
        "strict": lambda: verified("strict", lambda: load(model, sealed)),
        "pipelined": lambda: verified("pipelined", lambda: load(model, sealed)),
    }
    digest = {"digest": lambda: timed(lambda: digested(sealed, options.algorithm))}
    label = f"{size // 1_000_000} MB {suffix}"
    warm = interleaved({**turns, **digest}, options.runs, settle=False)
    rows = [_row(f"{label}, warm", warm, GOALS[suffix, "warm"])]
    counts: dict[str, list[int]] = {name: [] for name in turns}
    cold = interleaved(
        {name: _cold(turn, bare, sealed, counts[name]) for name, turn in turns.items()},
        options.runs,
    )
    share = statistics.median(counts["pipelined"]) / sealed.stat().st_size
    rows.append(_row(f"{label}, cold", cold, COLD_GOAL, f"{share:.3f} of the file"))
    return rows


def _cold(
    turn: Callable[[], float], bare: Path, sealed: Path, counts: list[int]
) -> Callable[[], float]:
    def action() -> float:
        forget(bare, sealed)
        before = bytes_read()
        seconds = turn()
        counts.append(bytes_read() - before)
        return seconds

    return action


def _row(case: str, samples: Samples, goal: float, read: str = "") -> Row:
    times = {name: statistics.median(seconds) * 1000 for name, seconds in samples.items()}
    digest = times.get("digest")
    floor = None if digest is None else max((times["plain"] + digest) / cores(), times["plain"])
    return Row(case, times["plain"], times["strict"], times["pipelined"], floor, goal, read)


def table(rows: list[Row], options: Any) -> str:
    """All rows in Markdown."""
    return "\n".join(
        (
            f"{cores()} cores, {options.algorithm}, medians of {options.runs} interleaved rounds.",
            "",
            "| load | plain Keras, ms | strict, ms | pipelined, ms | floor | goal | disk read |",
            "|---|---|---|---|---|---|---|",
            *(row.cells() for row in rows),
            "",
        )
    )


def main() -> None:
    """Measure, print the table, and write it where that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipelined", description=__doc__)
    parser.add_argument("--sizes", default="100,400", help="model sizes in MB (default 100,400)")
    parser.add_argument("--runs", type=int, default=7, help="rounds per case (default 7)")
    parser.add_argument("--algorithm", default="sha256", help="of the seals (default sha256)")
    parser.add_argument("--out", type=Path, help="a file that gets the table, too")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    rows = []
    for size in map(int, options.sizes.split(",")):
        for suffix in FORMATS:
            with tempfile.TemporaryDirectory() as folder:
                rows += measured(size * 1_000_000, suffix, Path(folder), options)
    text = table(rows, options)
    print(text)
    if options.out is not None:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
