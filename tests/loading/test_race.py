# SPDX-License-Identifier: Apache-2.0
"""A file that is swapped and rewritten while it is loaded: sealed values whole, or a refusal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook
from keras_integrity_hook import IntegrityError
from tests.support.attacks import attacked_by
from tests.support.model_kinds import FILES, SETS, attacked_file, load, save

pytestmark = pytest.mark.usefixtures("keras")

OFTEN, AT_NIGHT = {"strict": 150, "pipelined": 40}, 1000
"""Loads per format."""

SECONDS, AT_MOST = 60, 240
"""No race of every run lasts longer, however slow the machine; the second where nothing was loaded
by then, or nothing refused."""
NIGHTLY_SECONDS = 1800

CASES = [
    *((name, "strict") for name in (*FILES, *SETS)),
    *((name, "pipelined") for name in (*FILES, "directory", "shards.weights.json")),
]

UNITS = {"strict": 300, "pipelined": 800}
"""With more there are chunks that hold numbers of one variable alone, and are verified while they
are read."""
SEALED_VALUES = (1.0, 2.0)
DAMAGED_VALUE = 3.0

# Runs without Keras and without the hook, as a stranger with write access would. Every turn either
# replaces the file (another inode) or writes over it in place (the same inode, halfway visible).
ATTACKER = """
import itertools, os, random, sys
target, *sources = sys.argv[1:]
contents = [open(source, "rb").read() for source in sources]
dice = random.Random(0)
print("ready", flush=True)
while True:
    content = dice.choice(contents)
    if dice.random() < 0.5:
        with open(target + ".new", "wb") as file:
            file.write(content)
        os.replace(target + ".new", target)
    else:
        # O_NONBLOCK: a reader's lease must not slow this attack down, it just tries again.
        try:
            file = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
        except BlockingIOError:
            continue
        middle = len(content) // 2
        try:
            os.pwrite(file, content[middle:], middle)
            os.pwrite(file, content[:middle], 0)
            os.ftruncate(file, len(content))
        finally:
            os.close(file)
"""


def model_of(value: float, units: int) -> Any:
    """A model all of whose weights are ``value``: a mixture of two files shows at once."""
    import keras

    model = keras.Sequential(
        [keras.Input((units,)), *(keras.layers.Dense(units, name=f"d{n}") for n in range(3))]
    )
    model.set_weights([np.full(weight.shape, value, "float32") for weight in model.get_weights()])
    return model


def forge(source: Path, target: Path) -> None:
    """Write ``source`` with weights that nobody sealed, leaving every other byte as it is."""
    content = source.read_bytes()
    old = np.full(300, SEALED_VALUES[0], "float32").tobytes()
    assert old in content
    target.write_bytes(content.replace(old, np.full(300, DAMAGED_VALUE, "float32").tobytes()))


@contextmanager
def attacked(target: Path, sources: list[Path]) -> Iterator[None]:
    """Let another process swap and rewrite ``target`` as fast as it can."""
    with attacked_by(sys.executable, "-c", ATTACKER, str(target), *map(str, sources)):
        yield


def values_of(model: Any) -> set[float]:
    """Every distinct number among the weights."""
    return {float(value) for weight in model.get_weights() for value in np.unique(weight)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_a_file_rewritten_during_its_load_never_yields_unsealed_values(
    name: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_over(loads: int, has_both_ends: bool, seconds: float) -> bool:
        enough = loads >= OFTEN[mode] or seconds > SECONDS
        return (enough and has_both_ends) or seconds > AT_MOST

    race(name, mode, is_over, tmp_path, monkeypatch)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_a_file_rewritten_during_a_thousand_loads_never_yields_unsealed_values(
    name: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_over(loads: int, has_both_ends: bool, seconds: float) -> bool:
        return (loads >= AT_NIGHT and has_both_ends) or seconds > NIGHTLY_SECONDS

    race(name, mode, is_over, tmp_path, monkeypatch)


def race(
    name: str,
    mode: str,
    is_over: Callable[[int, bool, float], bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Load a model of kind ``name`` while it is rewritten, until it is over by the loads so far,
    whether one was good and one refused, and the seconds."""
    # A file caught halfway may look unsealed; what is asked here is what a *checked* load yields.
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    monkeypatch.setenv("KERAS_INTEGRITY_VERIFY", mode)
    models = [tmp_path / str(number) / name for number in range(2)]
    for value, path in zip(SEALED_VALUES, models, strict=True):
        save(model_of(value, UNITS[mode]), path)
        assert keras_integrity_hook.verify(path).state == "sealed"
    # The first model is attacked, with files of its own, of the second one, and forged ones.
    target = attacked_file(models[0])
    sources = [tmp_path / f"source{number}" for number in range(3)]
    for source, path in zip(sources, models, strict=False):
        source.write_bytes(attacked_file(path).read_bytes())
    forge(sources[0], sources[2])
    # A single file of the second model is whole; in a set it is a swapped member.
    allowed = [{value} for value in (SEALED_VALUES[:1] if name in SETS else SEALED_VALUES)]

    own = model_of(0.0, UNITS[mode])
    loaded = refused = 0
    begun = time.monotonic()
    with attacked(target, sources):
        while not is_over(loaded + refused, loaded * refused > 0, time.monotonic() - begun):
            before = values_of(own)
            try:
                own = load(own, models[0])
            except IntegrityError:
                refused += 1
                assert values_of(own) == before, "a refused load changed the model"
            else:
                loaded += 1
                assert values_of(own) in allowed
    print(f"{name}, {mode}: {loaded} loaded, {refused} refused")
    assert loaded, "no load ever succeeded: nothing was shown about what a load yields"
    assert refused, "no load was ever refused: the attack never met one"
