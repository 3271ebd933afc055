# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks.inputs``: what an input contract costs a model that is asked.

The guard is timed by itself, with nothing behind it, and its time is set against that of the whole
call: the difference between two calls of Keras is smaller than their noise.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from keras_integrity_hook.contracts.attached import Attached, attach
from keras_integrity_hook.contracts.contract import InputContract
from keras_integrity_hook.contracts.input_rules import InputRules
from keras_integrity_hook.hooks.inputs import methods

FEATURES = 784
ROWS = 10_000
PLACES = frozenset({"predict", "evaluate", "call"})


def model_with_contract(keras: Any) -> Any:
    """A dense network of the size of the first tutorials, whose inputs are numbers from 0 to 1."""
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((FEATURES,)), layers.Dense(128, activation="relu"), layers.Dense(10)]
    )
    contract = InputContract(InputRules("x", (None, FEATURES), "float", minimum=0, maximum=1))
    attach(model, Attached(contract, "benchmark.keras", is_enforced=True, at=PLACES))
    methods.put_on(model)
    return model


def seconds(function: Callable[[], Any], runs: int) -> float:
    """The median time of ``function``, which has run twice before."""
    taken = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[2:])


def measured(model: Any, rows: int) -> list[tuple[str, float, float]]:
    """Each way to ask, with the seconds of the call and those of its guard."""
    data = np.random.default_rng(1).random((rows, FEATURES), np.float32)

    def nothing(*_: Any, **__: Any) -> None:
        """Stands for the model."""

    asked = [
        ("predict", lambda: model.predict(data, verbose=0), methods._predict),
        ("predict_on_batch", lambda: model.predict_on_batch(data), methods._predict),
        ("call", lambda: model(data), methods._call),
    ]
    runs = 2000 // rows + 50
    return [
        (name, seconds(call, 20), seconds(partial(guard, nothing, model, (data,), {}), runs))
        for name, call, guard in asked
    ]


def main() -> None:
    """Print a table."""
    import keras

    model = model_with_contract(keras)
    print(f"Keras {keras.__version__} on {keras.backend.backend()}, {FEATURES} features")
    print("| asked by | rows | call | contract | |\n|---|---|---|---|---|")
    for rows in (1, 32, ROWS):
        for name, call, guard in measured(model, rows):
            took = f"{call * 1e3:.2f} ms | {guard * 1e6:.0f} µs | {100 * guard / call:.2f} %"
            print(f"| `{name}` | {rows:,} | {took} |")


if __name__ == "__main__":
    main()
