# SPDX-License-Identifier: Apache-2.0
"""Run every fuzz target for a while: ``python tests/fuzz/run.py [--seconds 20] [TARGET ...]``.

Exits with 0 where atheris is not installed, saying so; with 1 when any target finds a failure.
Inputs that failed are kept in ``--keep`` (default: the current directory).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent
TARGETS = (
    *("fuzz_block", "fuzz_zip", "fuzz_hdf5", "fuzz_statement", "fuzz_registry", "fuzz_slow"),
)

# No input needs more: the limits of the parsers are what is under test.
TIMEOUT_SECONDS = 10
MEMORY_MB = 1024
LONGEST_INPUT = 1 << 16


def fuzz(target: str, seconds: int, keep: Path) -> int:
    """Run ``target`` on its own seeds in a fresh corpus; return libFuzzer's exit code."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with tempfile.TemporaryDirectory() as corpus:
        command = [
            *(sys.executable, "-m", f"tests.fuzz.{target}", corpus),
            *(f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}"),
            *(f"-timeout={TIMEOUT_SECONDS}", f"-rss_limit_mb={MEMORY_MB}"),
            *(f"-artifact_prefix={keep}{os.sep}{target}-", "-print_final_stats=1", "-verbosity=0"),
        ]
        done = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors="replace",
            text=True,
            check=False,
        )
    # libFuzzer talks a lot: all of it matters after a failure, and its count otherwise.
    lines = done.stdout.splitlines()
    shown = lines if done.returncode else [line for line in lines if "executed_units" in line]
    print(f"{target}: exit {done.returncode}", *shown, sep="\n  ", flush=True)
    return done.returncode


def main() -> int:
    """Run the targets named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=TARGETS, metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=20, help="for each target (default 20)")
    parser.add_argument("--keep", type=Path, default=Path.cwd(), help="for inputs that failed")
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: no fuzzing (pip install atheris)")
        return 0
    failed = [name for name in options.targets if fuzz(name, options.seconds, options.keep)]
    done = ", ".join(options.targets)
    print(
        f"fuzzing found failures in {', '.join(failed)}" if failed else f"fuzzed {done}: no failure"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
