# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks.sandbox``: what a sandbox costs, beside plain Keras, in turn.

Three questions: a first load with the import of Keras, each in a process of its own; the load of a
second model, with a warm sandbox and with a Keras that has loaded before; and ``predict`` of 10,000
rows of 784 numbers. The best of each counts: on a shared machine the rest is others' work.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

GOALS = {"first load, with the import": 1.15, "second load, warm": 1.5, "predict 10,000 x 784": 1.2}

PLAIN = "import keras; keras.saving.load_model({path!r})"
CONFINED = "from keras_integrity_hook import sandbox; sandbox.load_model({path!r})"
TIMED = "import time; started = time.perf_counter(); {work}; print(time.perf_counter() - started)"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sandbox", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each (default 5)")
    runs = parser.parse_args().runs
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "mnist.keras"))
        made(path)
        found = {"first load, with the import": first_loads(path, runs), **warm(path, runs)}
    print(f"{'':<30}{'plain':>9}{'sandbox':>9}{'ratio':>8}{'goal':>7}")
    for name, (plain, confined) in found.items():
        ratio = confined / plain
        print(f"{name:<30}{plain:>8.2f}s{confined:>8.2f}s{ratio:>8.2f}{GOALS[name]:>7.2f}")


def made(path: str) -> None:
    """A classifier of digits, sealed."""
    import keras

    layers = [keras.layers.Dense(512, activation="relu") for _ in range(2)]
    keras.Sequential([keras.Input((784,)), *layers, keras.layers.Dense(10)]).save(path)


def first_loads(path: str, runs: int) -> tuple[float, float]:
    """Seconds of the best first load, plain and confined."""
    pairs = [(in_process(PLAIN, path), in_process(CONFINED, path)) for _ in range(runs)]
    plain, confined = zip(*pairs, strict=True)
    return min(plain), min(confined)


def in_process(work: str, path: str) -> float:
    """Seconds of ``work`` in a fresh process, without its own start and end."""
    code = TIMED.format(work=work.format(path=path))
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return float(done.stdout)


def warm(path: str, runs: int) -> dict[str, tuple[float, float]]:
    """Seconds of the best second load and of the best prediction, plain and confined."""
    import keras
    import numpy as np

    from keras_integrity_hook import sandbox

    rows = np.random.default_rng(0).random((10_000, 784), "float32")
    loads: list[tuple[float, float]] = []
    asked: list[tuple[float, float]] = []
    model = keras.saving.load_model(path)
    with sandbox.Sandbox() as box:
        for run in range(runs):
            box.wait_until_ready()
            plain = timed(lambda: keras.saving.load_model(path))
            started = time.perf_counter()
            with box.load_model(path, is_last=True) as confined:
                loads.append((plain, time.perf_counter() - started))
                for _ in range(3 if run else 6):
                    pair = (timed(lambda: model.predict(rows, verbose=0)), timed_of(confined, rows))
                    asked.append(pair)
    return {
        "second load, warm": (min(a for a, _ in loads), min(b for _, b in loads)),
        "predict 10,000 x 784": (min(a for a, _ in asked), min(b for _, b in asked)),
    }


def timed_of(confined: Any, rows: Any) -> float:
    """Seconds of a prediction in the sandbox."""
    return timed(lambda: confined.predict(rows))


def timed(work: Callable[[], object]) -> float:
    """Seconds of ``work``."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
