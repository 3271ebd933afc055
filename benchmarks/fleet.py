# SPDX-License-Identifier: Apache-2.0
"""What an audit of many models costs, by their number and by the number of workers.

    python -m benchmarks.fleet models 1000 10000 100000     # in a store without delay
    python -m benchmarks.fleet workers 1 2 4 8 16 32        # in a store with delay
    python -m benchmarks.fleet coordination 1000000         # no model is read: all the rest
    python -m benchmarks.fleet models 1000000 --keep DIR    # and, once killed, again with --resume

The store is simulated (``benchmarks/fleet_store.py``), the rest is real: Dask's processes, TLS
between them, private copies, digests, signatures, inspection, Parquet. Models are small ones of
Keras, of each hundred some that are signed, unsealed, damaged (``benchmarks/fleet_models.py``).
``coordination`` says how many workers one process that writes the results has work for. With
``--keep`` results and what was measured meanwhile (``log.jsonl``) stay in a directory.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_DELAY = 60.0  # milliseconds; a store in the same region takes 20 to 100 for a request
_EACH = 100  # models for each worker, so that each run takes as long
_ROOT = Path(__file__).parent.parent


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for, each in a process of its own, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("by", choices=("models", "workers", "coordination"))
    parser.add_argument("numbers", type=int, nargs="+")
    parser.add_argument("--delay", type=float, default=None, help="milliseconds of each request")
    parser.add_argument("--each", type=int, default=_EACH, help="models for each worker")
    parser.add_argument("--workers", type=int, default=4, help="where their number is not varied")
    parser.add_argument("--keep", type=Path, help="where results stay, of one number")
    parser.add_argument("--resume", action="store_true", help="go on with what is in --keep")
    given = parser.parse_args(arguments)
    first = None
    for number in given.numbers:
        with _place(given.keep, resume=given.resume) as folder:
            if given.by != "workers":
                is_read = given.by == "models"
                found = _measured(
                    number,
                    given.delay or 0.0,
                    given.workers,
                    folder,
                    is_read=is_read,
                    resume=given.resume,
                )
                told = f"{number:>9,} models, {given.workers} workers"
            else:
                delay = _DELAY if given.delay is None else given.delay
                found = _measured(number * given.each, delay, number, folder)
                first = first or found["rate"] / number
                told = f"{number:>9,} workers, {found['rate'] / number / first:7.1%} of linear"
        print(f"{told}: {_sentence(found)}", flush=True)


def _sentence(found: dict[str, Any]) -> str:
    new = found["examined"] - found["before"]
    each = {name: found[f"cpu_{name}"] / new * 1000 for name in ("here", "workers")}
    return (
        f"{found['rate']:8.1f} models/s in {found['seconds']:.1f} s; "
        f"CPU {each['here']:.2f} ms a model here, {each['workers']:.2f} in workers; "
        f"{found['peak_here']:.0f} MB here, {found['peak_worker']:.0f} MB in each worker; "
        f"{found['bytes_read'] / found['stored']:.4f} of the bytes stored were read; "
        f"{found['parquet'] / 1e6:.1f} MB of results"
    )


@contextlib.contextmanager
def _place(kept: Path | None, *, resume: bool) -> Iterator[Path]:
    """Where the models, the results and the log are."""
    if kept is not None:
        kept.mkdir(exist_ok=resume)
        yield kept
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _measured(  # noqa: PLR0913
    count: int,
    delay: float,
    workers: int,
    folder: Path,
    *,
    is_read: bool = True,
    resume: bool = False,
) -> dict[str, Any]:
    from benchmarks import fleet_models, fleet_store

    environment = {
        **os.environ,
        fleet_store.MODELS_VARIABLE: str(folder),
        "DASK_DISTRIBUTED__WORKER__PRELOAD": "benchmarks.fleet_store",
        fleet_store.UNREAD_VARIABLE: "" if is_read else "1",
        "KERAS_INTEGRITY_TRUST": str(folder / fleet_models.TRUST),
        "XDG_CONFIG_HOME": str(folder),
        "XDG_STATE_HOME": str(folder),
        "PYTHONPATH": str(_ROOT),
    }
    if not resume:
        making = {**os.environ, "PYTHONPATH": str(_ROOT), "XDG_CONFIG_HOME": str(folder)}
        made = [sys.executable, "-m", "benchmarks.fleet_models", str(folder)]
        subprocess.run(made, env=making, check=True)
    # A file, since workers import what their parent was started by.
    script = folder / "run.py"
    script.write_text(
        "from benchmarks import fleet_run\nif __name__ == '__main__':\n"
        f"    fleet_run.run({count}, {delay}, {workers}, {str(folder)!r}, resume={resume})\n"
    )
    command = [sys.executable, str(script)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
