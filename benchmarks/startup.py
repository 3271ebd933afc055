# SPDX-License-Identifier: Apache-2.0
"""What the start-up file adds to every start of the interpreter."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from benchmarks.measure import difference, interleaved, timed
from benchmarks.results import Result

RUNS = 300


def startup() -> list[Result]:
    """What ``python -c pass`` takes longer where the package is installed.

    Fresh environments, started in turn: a bare one, one with the package, and one with a start-up
    file that does nothing, which Python 3.13 takes long enough to read.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = ("bare", "installed", "idle")
        bare, installed, idle = (environment(Path(folder) / name) for name in names)
        install(installed)
        (_site_packages(idle) / "idle.pth").write_text("# nothing\n")
        turns = {
            "bare": lambda: timed(lambda: start(bare)),
            "installed": lambda: timed(lambda: start(installed)),
            "idle": lambda: timed(lambda: start(idle)),
            # A second bare start in each round: what difference pure chance makes.
            "bare again": lambda: timed(lambda: start(bare)),
        }
        samples = interleaved(turns, RUNS, settle=False)
    extra = difference(samples, "installed", "bare") * 1000
    reading = difference(samples, "idle", "bare") * 1000
    chance = difference(samples, "bare again", "bare") * 1000
    share = extra / (statistics.median(samples["bare"]) * 1000) * 100
    case = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    return [
        Result(case, "interpreter start overhead", extra, "ms", 1.0, samples),
        Result(case, "the same, of a bare start", share, "%", 5.0),
        Result(case, "of it: a start-up file, whatever it does", reading, "ms", None),
        Result(case, "the same, bare against bare", chance, "ms", None),
    ]


def environment(folder: Path) -> Path:
    """Create a virtual environment without pip (which has a start-up file of its own)."""
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    return folder / "bin" / "python"


def _site_packages(python: Path) -> Path:
    """Where the environment of ``python`` has its packages."""
    (found,) = python.parent.parent.glob("lib/python*/site-packages")
    return found


def install(python: Path) -> None:
    """Install this source tree there, without its dependencies: none may matter at start-up."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(python)),
            *("install", "--quiet", "--no-deps", str(Path(__file__).parent.parent)),
        ],
        check=True,
    )


def start(python: Path) -> None:
    """Start the interpreter and wait for its end; posix_spawn has the least jitter of its own."""
    # PYTHONPATH could bring in a source tree without byte code in place of what is installed.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    process = os.posix_spawn(python, [str(python), "-c", "pass"], clean)
    _, status = os.waitpid(process, 0)
    if status:
        raise RuntimeError(f"{python} -c pass ended with status {status}")
