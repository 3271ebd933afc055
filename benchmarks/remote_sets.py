# SPDX-License-Identifier: Apache-2.0
"""Models of several files that are saved to a URL and loaded from one, for ``benchmarks.remote``.

What plain Keras and TensorFlow can do there themselves: Keras uploads of shards the index alone,
and writes an unzipped directory to no URL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_PLACE = "ram://benchmark"
TARGET = 1.4
"""The most that guarded times may be, in plain ones."""


def _save_export(model: Any) -> None:
    _remove(f"{_PLACE}/exported")
    model.export(f"{_PLACE}/exported", verbose=False)


def _load_export(_: Any) -> object:
    import tensorflow as tf

    loaded: object = tf.saved_model.load(f"{_PLACE}/exported")
    return loaded


def _save_checkpoint(model: Any) -> None:
    import tensorflow as tf

    _remove(f"{_PLACE}/checkpoints")
    tf.io.gfile.makedirs(f"{_PLACE}/checkpoints")
    tf.train.Checkpoint(model=model).write(f"{_PLACE}/checkpoints/c")


def _load_checkpoint(model: Any) -> None:
    import tensorflow as tf

    tf.train.Checkpoint(model=model).read(f"{_PLACE}/checkpoints/c").assert_consumed()


def _remove(url: str) -> None:
    """Make room: ``ram://`` would append to what is there."""
    import tensorflow as tf

    if tf.io.gfile.exists(url):
        tf.io.gfile.rmtree(url)


SETS: dict[str, tuple[Callable[[Any], object], Callable[[Any], object]]] = {
    "SavedModel": (_save_export, _load_export),
    "checkpoint": (_save_checkpoint, _load_checkpoint),
}
"""How each is saved, and how it is loaded: into a model that is given, or a new one."""
