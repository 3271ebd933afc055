# SPDX-License-Identifier: Apache-2.0
"""What is saved to a URL and loaded from one, for ``benchmarks.remote``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.remote_sets import SETS, TARGET

_PLACE = "ram://benchmark"


class Case(NamedTuple):
    """One form of a model.

    Attributes:
        save: writes the model at the URL.
        load: loads it from there; given a model to load weights into.
        target: the most that guarded times may be, in plain ones.
    """

    save: Callable[[Any], object]
    load: Callable[[Any], object]
    target: float


def _archive() -> Case:
    url = f"{_PLACE}/m.keras"

    def load(_: Any) -> object:
        import keras

        return keras.models.load_model(url)

    return Case(lambda model: _anew(model.save, url), load, 1.1)


def _weights() -> Case:
    url = f"{_PLACE}/m.weights.h5"
    return Case(
        lambda model: _anew(model.save_weights, url), lambda model: model.load_weights(url), 1.4
    )


def _anew(save: Callable[[str], object], url: str) -> None:
    """Save where nothing is: ``ram://`` would append to what is there."""
    import tensorflow as tf

    if tf.io.gfile.exists(url):
        tf.io.gfile.remove(url)
    save(url)


CASES = {
    ".keras": _archive(),
    ".weights.h5": _weights(),
    **{name: Case(save, load, TARGET) for name, (save, load) in SETS.items()},
}
