# SPDX-License-Identifier: Apache-2.0
"""Data in the forms in which Keras takes it, as batches of inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keras_integrity_hook.contracts.input_rules import misstated

_INFINITE = -1  # tf.data.INFINITE_CARDINALITY


def batches_of(x: Any) -> Iterator[Any]:
    """The inputs of each batch in ``x``, targets and weights left out, each read once.

    What is no dataset, generator or loader is one batch, of all there is.

    Raises:
        ConfigurationError: it never ends, or does not say how long it is.
    """
    if _is_batch(x):
        yield x
        return
    _refuse_endless(x)
    for batch in _iterated(x):
        yield batch[0] if isinstance(batch, list | tuple) and batch else batch


def _is_batch(x: Any) -> bool:
    """Whether ``x`` is arrays, and not something that gives them one after the other."""
    if isinstance(x, list | tuple | Mapping | str | bytes):
        return True
    if any(hasattr(x, mark) for mark in ("dtype", "dtypes", "__array__", "flat_values", "tocoo")):
        return True
    return not (hasattr(x, "__iter__") or _is_sequence(x) or _is_py_dataset(x))


def _is_sequence(x: Any) -> bool:
    """Whether it is like ``keras.utils.PyDataset`` and the older ``Sequence``."""
    return hasattr(x, "__getitem__") and hasattr(x, "__len__")


def _is_py_dataset(x: Any) -> bool:
    """Whether it is like a ``keras.utils.PyDataset``, whose length may be its ``num_batches``."""
    return hasattr(x, "__getitem__") and hasattr(type(x), "num_batches")


def _iterated(x: Any) -> Iterator[Any]:
    # By number, since a Sequence of some versions never ends when it is iterated.
    if _is_py_dataset(x):
        return (x[number] for number in range(_count(x)))
    if _is_sequence(x) and not hasattr(x, "element_spec"):
        return (x[number] for number in range(len(x)))
    return iter(x)


def _count(x: Any) -> int:
    try:
        count = x.num_batches
    except NotImplementedError:
        raise misstated(
            f"{type(x).__name__} does not say how many batches it has: give it a __len__"
        ) from None
    if count is None:
        raise misstated(f"{type(x).__name__} never ends; give a part of it: [x[i] for …]")
    return int(count)


def _refuse_endless(x: Any) -> None:
    cardinality = getattr(x, "cardinality", None)
    if callable(cardinality) and int(cardinality()) == _INFINITE:
        raise misstated("the dataset repeats for ever; take a part of it: dataset.take(100)")
