# SPDX-License-Identifier: Apache-2.0
"""What it costs that a machine remembers: ``python -m benchmarks.history``.

A load and a save as our hook does them, without Keras, in one process that does both ways in turn:
with the history and with ``history = "off"``. What is left of Keras would be the same in both.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import difference, interleaved, timed
from benchmarks.results import Result
from keras_integrity_hook.history import directories, store
from keras_integrity_hook.history.seen import FILE, Entry, Seen
from keras_integrity_hook.loading import pipeline as loading
from keras_integrity_hook.saving import pipeline as saving

SIZE = 100_000  # bytes of the model
RUNS = 400
TARGET = 0.2  # milliseconds that a load may cost more
ENTRIES = 10_000
_MODES = {"on": "warn", "off": "off"}


def history(folder: Path) -> list[Result]:
    """Milliseconds above the same with the history off, of loads and saves of a small model."""
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    content = _archive()
    path = folder / "model.keras"

    def save() -> None:
        saving.save_sealed(str(path), lambda where: _write(where, content))

    def load() -> None:
        loading.open_verified(str(path)).close()

    save()
    load()
    results = [
        _above_off("load of an unchanged model", load, TARGET),
        _above_off("save", save, None),
    ]
    save()
    _fill(ENTRIES)
    full = f"the same load, {ENTRIES:,} paths remembered"
    return [*results, _above_off(full, load, TARGET)]


def _above_off(what: str, act: Callable[[], None], target: float | None) -> Result:
    def turn(mode: str) -> Callable[[], float]:
        def measured() -> float:
            os.environ["KERAS_INTEGRITY_HISTORY"] = mode
            return timed(act)

        return measured

    turns = {name: turn(mode) for name, mode in _MODES.items()}
    samples = interleaved(turns, RUNS, settle=False)
    extra = difference(samples, "on", "off") * 1000
    return Result(f"{SIZE // 1000} kB .keras", what, extra, "ms", target, samples)


def _archive() -> bytes:
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("metadata.json", b'{"keras_version": "3.15.1"}')
        archive.writestr("config.json", b'{"class_name": "Sequential"}')
        archive.writestr("assets/some.bin", os.urandom(SIZE))
    return buffer.getvalue()


def _write(where: str, content: bytes) -> None:
    Path(where).write_bytes(content)


def _fill(count: int) -> None:
    seen = Seen("5e" * 32, "2026-11-28T12:00:00Z")
    for n in range(count):
        store.write(directories.of_user(), Entry(f"/srv/models/{n}.keras", {FILE: seen}))


def main() -> int:
    """Print a line for each figure; 1 where a target is missed."""
    with tempfile.TemporaryDirectory() as folder:
        results = history(Path(folder))
    for one in results:
        target = "" if one.target is None else f"(at most {one.target:g}: {one.verdict})"
        print(f"{one.case}  {one.what:<44} {one.value:+7.3f} {one.unit} {target}")
    return int(any(one.verdict == "missed" for one in results))


if __name__ == "__main__":
    sys.exit(main())
