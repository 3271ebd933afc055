# SPDX-License-Identifier: Apache-2.0
"""Inspection beside other scanners, over the corpus of the tests.

``python -m benchmarks.inspection [--modelaudit PYTHON] [--modelscan PYTHON]``: how many malicious
models each finds, how many harmless ones it accuses, and how long it takes for one; then what an
inspection reads of a large model. The other scanners run in the environments of the interpreters
that are named; give modelscan one with TensorFlow, without which it skips what Keras writes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from keras_integrity_hook import IntegrityError
from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.inspection.findings import Verdict
from keras_integrity_hook.inspection.inspecting import inspect
from tests.inspection.corpus import formats, malicious
from tests.inspection.corpus.configs import dense, sequential

_PARTS = ("layers", "compiled", "operations", "saved", "named", "older")
_SCANNER = Path(__file__).with_name("scanners.py")
_OFF = {"KERAS_INTEGRITY": "off", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
# Another scanner that counts its users would wait for the network between the files.
_QUIET = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "NO_ANALYTICS": "1"}

Scanner = Callable[[Path], tuple[bool | None, float]]
"""Whether something was found in a model, None where the scanner fell over it; and the seconds."""


class Row(NamedTuple):
    """What one scanner made of the corpus."""

    scanner: str
    found: int
    malicious: int
    accused: int
    harmless: int
    failed: int
    seconds: list[float]

    def cells(self) -> str:
        """The row as Markdown."""
        times = f"{median(self.seconds) * 1000:.1f} ms | {max(self.seconds) * 1000:.0f} ms"
        found = f"{self.found} of {self.malicious} ({self.found / self.malicious:.0%})"
        accused = f"{self.accused} of {self.harmless}"
        return f"| {self.scanner} | {found} | {accused} | {self.failed} | {times} |"


def ours(path: Path) -> tuple[bool | None, float]:
    """Our own inspection; what cannot be opened is refused."""
    began = time.perf_counter()
    try:
        with open_model(path) as model:
            found = inspect(model).verdict is not Verdict.FINE
    except IntegrityError:
        found = True
    return found, time.perf_counter() - began


class Other:
    """Another scanner in a process of its own, started once."""

    def __init__(self, name: str, python: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [python, str(_SCANNER), name],
            env={**os.environ, **_OFF, **_QUIET},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, path: Path) -> tuple[bool | None, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(path, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended at {path}")
        answer = json.loads(line)
        return answer["found"], answer["seconds"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def judged(name: str, scan: Scanner, bad: Sequence[Path], good: Sequence[Path]) -> Row:
    """What ``scan`` makes of both halves of the corpus."""
    scan(good[0])  # what is imported at the first file is not of the file
    answers = [[scan(path) for path in paths] for paths in (bad, good)]
    found, accused = (sum(bool(one) for one, _ in half) for half in answers)
    every = [one for half in answers for one in half]
    failed = sum(one is None for one, _ in every)
    seconds = [seconds for _, seconds in every]
    return Row(name, found, len(bad), accused, len(good), failed, seconds)


def make_malicious(folder: Path, every: int) -> list[Path]:
    """Every so many of the malicious models."""
    cases = malicious.cases()[::every]
    return [case.make(folder / str(number)) for number, case in enumerate(cases)]


def make_harmless(folder: Path, every: int) -> list[Path]:
    """Every so many of the harmless ones, and all that were saved with weights."""
    command = [sys.executable, "-m", "tests.inspection.corpus.harmless", str(folder), *_PARTS]
    subprocess.run(command, check=True, env={**os.environ, **_OFF}, stderr=subprocess.DEVNULL)
    made = [path for part in _PARTS for path in _models(folder / part)]
    saved = [path for path in made if path.parent.name == "saved"]
    return [*saved, *[path for path in made if path not in saved][::every]]


def _models(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("sharded_"):
            yield path


def large(folder: Path, megabytes: int) -> str:
    """What an inspection of a large ``.keras`` file reads, and how long it takes."""
    import h5py

    weights, path = folder / "w.h5", folder / "large.keras"
    with h5py.File(weights, "w") as file:
        file.create_group("layers/dense/vars")["0"] = _random(megabytes)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", formats.text(formats.KERAS))
        archive.writestr("config.json", formats.text(sequential(dense())))
        archive.write(weights, "model.weights.h5")
    times = []
    for _ in range(9):
        began = time.perf_counter()
        with open_model(path) as model:
            read = inspect(model).read
        times.append(time.perf_counter() - began)
    size = path.stat().st_size / 1e6
    return f"A .keras of {size:.0f} MB: {read / 1000:.0f} kB read in {median(times) * 1000:.2f} ms."


def _random(megabytes: int) -> object:
    import numpy as np

    return np.random.default_rng(0).random((megabytes * 250, 1000), "float32")


def report(rows: Iterable[Row], footnote: str) -> str:
    """All of it as Markdown."""
    head = "| scanner | malicious found | harmless accused | fell over | median | longest |"
    lines = [head, "|---|---:|---:|---:|---:|---:|", *(row.cells() for row in rows)]
    return "\n".join([*lines, "", footnote, ""])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inspection", description=__doc__)
    parser.add_argument("--modelaudit", metavar="PYTHON", help="an interpreter that has modelaudit")
    parser.add_argument("--modelscan", metavar="PYTHON", help="an interpreter that has modelscan")
    parser.add_argument("--every", type=int, default=1, help="every so many models (default all)")
    parser.add_argument("--large", type=int, default=500, help="MB of the large model")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


def main() -> None:
    """Make the corpus, ask every scanner, write ``inspection.md``."""
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bad = make_malicious(folder / "malicious", options.every)
        good = make_harmless(folder / "harmless", options.every)
        rows = [judged("keras-integrity", ours, bad, good)]
        for peer in ("modelscan", "modelaudit"):
            if python := getattr(options, peer):
                other = Other(peer, python)
                rows.append(judged(peer, other, bad, good))
                other.close()
        about = f"One in {options.every} models of the corpus; times are without a scanner's start."
        text = report(rows, f"{about}\n\n{large(folder, options.large)}")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "inspection.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
