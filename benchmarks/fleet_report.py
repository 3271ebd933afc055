# SPDX-License-Identifier: Apache-2.0
"""What a report takes, by the number of models that it is about.

    python -m benchmarks.fleet_report 1000 1000000 [--keep DIR]

One model of each kind of ``fleet_models`` is examined; the results say the same of all others. The
report is made by the command, in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from benchmarks import fleet_models
from keras_integrity_hook.fleet import results
from keras_integrity_hook.fleet.findings import Finding

_AT_ONCE = 10_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Write results and report them, for each number."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("numbers", type=int, nargs="+")
    parser.add_argument("--keep", type=Path, help="where results and pages stay")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        # Elsewhere, as memory that this process once had would count as that of the report.
        made = [sys.executable, "-m", "benchmarks.fleet_models", str(folder)]
        subprocess.run(made, check=True)
        kinds = _examined(folder)
        for number in given.numbers:
            print(_measured(number, kinds, folder / str(number)), flush=True)


def _examined(folder: Path) -> dict[str, Finding]:
    from keras_integrity_hook.fleet.examine import examine
    from keras_integrity_hook.fleet.options import Options

    os.environ["KERAS_INTEGRITY_TRUST"] = str(folder / fleet_models.TRUST)
    return {
        kind: examine(str(fleet_models.path_of(folder, kind)), Options())
        for kind in fleet_models.MIX
    }


def _measured(count: int, kinds: dict[str, Finding], folder: Path) -> str:
    audit, page = folder / "audit", folder / "audit.html"
    run = results.new_run("scan", [f"sim://{count}"])
    with results.Writer(str(audit), run) as writer:
        for start in range(0, count, _AT_ONCE):
            writer.add(_findings(range(start, min(start + _AT_ONCE, count)), kinds, run.run))
        writer.end(count)
    begun = time.monotonic()
    command = [sys.executable, "-m", "keras_integrity_hook.cli", "report", str(audit)]
    with subprocess.Popen([*command, "-o", str(page)], stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the report ended with {process.returncode}")
    seconds = time.monotonic() - begun
    stored = sum(os.stat(part).st_size for part in results.parts(str(audit), run))
    cpu = used.ru_utime + used.ru_stime
    return (
        f"{count:>9,} models: {seconds:.1f} s, {cpu:.1f} s of CPU, "
        f"{used.ru_maxrss / 1000:.0f} MB, a page of {page.stat().st_size / 1000:.1f} kB, "
        f"of {stored / 1e6:.1f} MB of results"
    )


def _findings(numbers: range, kinds: dict[str, Finding], run: str) -> Iterator[Finding]:
    for number in numbers:
        found = kinds[fleet_models.kind_of(number)]
        location = f"sim://models/d{number // 1000:05}/m{number:07}.keras"
        sealed = found.sealed_at and found.sealed_at - timedelta(minutes=number)
        yield replace(found, location=location, run=run, sealed_at=sealed, version=f"{number:07}")


if __name__ == "__main__":
    main()
