# SPDX-License-Identifier: Apache-2.0
"""One environment's Keras, which saves and loads when it is told to, and says how long that took.

Started by ``benchmarks.compare``. Each line it reads names what to do, as JSON; each line it
writes is the seconds that took.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.models import build, randomize, width_for

NAMES = ("model.keras", "model.weights.h5", "model.h5", "saved-model")

SETTLED = 1_000_000
"""Bytes of a model from which the disk is let come to rest before each action."""


class Worker:
    """Models of every size asked for, each saved under every name below ``folder``."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._clock = clock
        self._models: dict[int, Any] = {}

    def do(self, what: str, name: str, size: int) -> float:
        """Seconds to save or load the model of ``size`` bytes as ``name``."""
        path = self._folder / str(size) / name
        model = self._model(size)
        action = self._save if what == "save" else self._load
        if what == "save" and name == "saved-model":
            shutil.rmtree(path, ignore_errors=True)  # of an export, what is there is not replaced
        if size > SETTLED:
            os.sync()  # nobody pays for the pages that another's save left to be written
        start = self._clock()
        action(model, path)
        return self._clock() - start

    def _model(self, size: int) -> Any:
        if size not in self._models:
            (self._folder / str(size)).mkdir()
            self._models[size] = build(width_for(size))
            randomize(self._models[size])
        return self._models[size]

    @staticmethod
    def _save(model: Any, path: Path) -> None:
        if path.name == "saved-model":
            model.export(str(path), verbose=False)
        elif ".weights" in path.name:
            model.save_weights(path, overwrite=True)
        else:
            model.save(path)

    @staticmethod
    def _load(model: Any, path: Path) -> None:
        import keras

        if path.name == "saved-model":
            keras.layers.TFSMLayer(path, call_endpoint="serve")
        elif ".weights" in path.name:
            model.load_weights(path)
        else:
            keras.saving.load_model(path)


def main(folder: str, clock: str) -> None:
    """Answer until there is nothing more to read."""
    import keras_integrity_hook

    if os.environ["KERAS_INTEGRITY"] != "off":
        # An environment without the start-up file; where there is one, this does nothing.
        keras_integrity_hook.activate()
    # Keras talks on standard output, which is for the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker = Worker(Path(folder), time.process_time if clock == "cpu" else time.perf_counter)
    print(json.dumps(keras_integrity_hook.__file__), file=answers)
    for line in sys.stdin:
        what, name, size = json.loads(line)
        print(json.dumps(worker.do(what, name, size)), file=answers)
