# SPDX-License-Identifier: Apache-2.0
"""The same comparison for models of several files: SavedModel, unzipped directory, shards."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras_integrity_hook
from benchmarks.cases import hooked, must_be, plain
from benchmarks.measure import Samples, difference, interleaved, reference_pass, timed
from benchmarks.models import build, randomize, width_for
from benchmarks.results import Result

SHARD = 0.2  # Keras's max_shard_size, in GB
MB = 1_000_000
NEW_SAVE = 1.5
"""In L. The content of most sets is digested when all files are there: the seal covers them in the
order of their names, and where one begins is known when those before it are whole."""


class Case(NamedTuple):
    """A model saved without the hook and with it, and what saves and loads it."""

    label: str
    bare: Path
    sealed: Path
    save: Callable[[Path], Any]
    load: Callable[[Path], Any]


def saved_model(size: int, folder: Path, runs: int) -> list[Result]:
    """A SavedModel of ``size`` bytes; and what a load through a copy in ``ram://`` would cost."""
    model = build(width_for(size))
    randomize(model)
    bare, sealed = folder / "plain", folder / "sealed"

    import tensorflow as tf

    def save(path: Path) -> None:
        model.export(path, verbose=False)

    def load(path: Path | str) -> Any:
        return tf.saved_model.load(str(path))

    def through_memory() -> None:
        keras_integrity_hook.verify(sealed)
        copy_to_memory(sealed, "ram://copy")
        load("ram://copy")
        tf.io.gfile.rmtree("ram://copy")

    extra = {"through ram:// load": lambda: plain(through_memory)}
    return compare(Case(f"{size // MB} MB SavedModel", bare, sealed, save, load), extra, runs)


def directory(size: int, folder: Path, runs: int) -> list[Result]:
    """A model of ``size`` bytes that Keras saves as a directory, which is not zipped."""
    import keras

    model = build(width_for(size))
    randomize(model)

    def save(path: Path) -> None:
        keras.saving.save_model(model, path, zipped=False)

    label = f"{size // MB} MB directory"
    case = Case(label, folder / "plain", folder / "sealed", save, keras.saving.load_model)
    return compare(case, {}, runs)


def shards(size: int, folder: Path, runs: int) -> list[Result]:
    """Weights of ``size`` bytes in shards of at most 200 MB."""
    model = build(width_for(size))
    randomize(model)
    bare, sealed = folder / "a" / "m.weights.json", folder / "b" / "m.weights.json"

    def save(path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        model.save_weights(path, overwrite=True, max_shard_size=SHARD)

    return compare(
        Case(f"{size // MB} MB shards", bare, sealed, save, model.load_weights), {}, runs
    )


def compare(case: Case, extra: dict[str, Callable[[], float]], runs: int) -> list[Result]:
    """Plain and hooked saves and loads, verify, and L over the same files, in units of L."""
    label, bare, sealed, save, load = case
    plain(lambda: save(bare))
    hooked(lambda: save(sealed))
    must_be(sealed, "sealed")
    must_be(bare, "unsealed")
    must_refuse(load, sealed)
    turns = {
        "L": lambda: timed(lambda: [reference_pass(file) for file in files_of(sealed)]),
        "verify": lambda: timed(lambda: keras_integrity_hook.verify(sealed)),
        "plain save": lambda: plain(lambda: save(absent(bare))),
        "hooked save": lambda: hooked(lambda: save(absent(sealed))),
        "plain load": lambda: plain(lambda: load(bare)),
        "hooked load": lambda: hooked(lambda: load(sealed)),
        **extra,
    }
    samples = interleaved(turns, runs)
    unit = statistics.median(samples["L"])
    return [
        Result(label, "verify", statistics.median(samples["verify"]) / unit, "L", 1.1, samples),
        overhead(label, samples, "hooked save", unit, NEW_SAVE),
        overhead(label, samples, "hooked load", unit, 1.5),
        *(overhead(label, samples, each, unit, None) for each in extra),
    ]


def absent(path: Path) -> Path:
    """``path``, at which no model is any more: a file of shards goes with those beside it."""
    shutil.rmtree(path.parent if path.suffix else path)
    return path


def overhead(label: str, samples: Samples, name: str, unit: float, target: float | None) -> Result:
    """What ``name``, a load or a save, takes more than a plain one."""
    extra = difference(samples, name, f"plain {name.rpartition(' ')[2]}") / unit
    what = name.removeprefix("hooked ") + " overhead"
    return Result(label, what, extra, "L", target, samples)


def files_of(path: Path) -> list[Path]:
    """The files of a set, the large ones being what matters."""
    top = path if path.is_dir() else path.parent
    return [file for file in sorted(top.rglob("*")) if file.is_file()]


def must_refuse(load: Callable[[Path], Any], sealed: Path) -> None:
    """Stop a benchmark whose hooked loads are not checked."""
    largest = max(files_of(sealed), key=lambda file: file.stat().st_size)
    with largest.open("r+b") as file:
        file.seek(largest.stat().st_size // 2)
        kept = file.read(8)
        file.seek(-8, 1)
        file.write(bytes(byte ^ 1 for byte in kept))
        file.flush()
        try:
            hooked(lambda: load(sealed))
        except keras_integrity_hook.ChecksumMismatchError:
            file.seek(-8, 1)
            file.write(kept)
        else:
            raise RuntimeError("a damaged model was loaded: nothing to compare")


def copy_to_memory(source: Path, target: str) -> None:
    """Copy a directory into TensorFlow's memory file system."""
    import tensorflow as tf

    for file in files_of(source):
        place = f"{target}/{file.relative_to(source)}"
        tf.io.gfile.makedirs(place.rpartition("/")[0])
        with file.open("rb") as reader, tf.io.gfile.GFile(place, "wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
