# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks.registry_client``: what a load costs more where a registry is asked.

Each case loads the same file of 100 kB, up to where Keras would parse it, in turn with the others:
without a registry; with one in a SQLite database, which is asked each time; with a service on this
machine that is asked each time, or whose last answer is taken for a minute.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from keras_integrity_hook import api
from keras_integrity_hook.loading import pipeline
from keras_integrity_hook.registry.client import asking, memory
from tests.support.fleets import Fleet
from tests.support.models import archive_bytes
from tests.support.registry_service import serving

RUNS = 300
SIZE = 100_000


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"XDG_STATE_HOME": f"{name}/state", "XDG_CONFIG_HOME": f"{name}/config"}
        os.environ["KERAS_INTEGRITY_HISTORY"] = "off"
        fleet = Fleet(folder / "fleet")
        model = folder / "m.keras"
        model.write_bytes(archive_bytes(bytes(SIZE)))
        api.seal(model)
        fleet.register(model, "churn", "1.0")
        with serving(fleet.url, fleet.cast, home=folder) as service:
            _print(_measured(fleet, service.url, model))


def _measured(fleet: Fleet, url: str, model: Path) -> dict[str, list[float]]:
    def use(where: str | None) -> None:
        if where is None:
            os.environ.pop("KERAS_INTEGRITY_POLICY", None)
            return
        fleet.demand(url=where)
        os.environ["KERAS_INTEGRITY_POLICY"] = str(fleet.policy)

    def asked_anew() -> None:
        use(url)
        asking._known.clear()
        for answer in Path(memory.directory(fleet.id), "answers").glob("*/*"):
            answer.unlink()

    cases: dict[str, Callable[[], None]] = {
        "no registry": lambda: use(None),
        "SQLite, asked each time": lambda: use(fleet.url),
        "service, asked each time": asked_anew,
        "service, asked within the last minute": lambda: use(url),
    }
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(RUNS):
        for name, prepare in cases.items():
            prepare()
            _load(model)  # reads what is new in the policy
            if prepare is asked_anew:
                prepare()
            start = time.perf_counter()
            _load(model)
            taken[name].append(time.perf_counter() - start)
    return taken


def _load(model: Path) -> None:
    pipeline.open_verified(str(model)).close()


def _print(taken: dict[str, list[float]]) -> None:
    base = statistics.median(taken["no registry"])
    print(f"{'':40}  median ms    more   p95 ms")
    for name, values in taken.items():
        median, worst = statistics.median(values), statistics.quantiles(values, n=20)[-1]
        more = (median - base) * 1000
        print(f"{name:40}  {median * 1000:9.2f}  {more:6.2f}  {worst * 1000:7.2f}")


if __name__ == "__main__":
    main()
