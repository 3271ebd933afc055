# SPDX-License-Identifier: Apache-2.0
"""Lists, tuples and dicts of leaves, as JSON: how arrays and shapes are arranged.

A leaf is written as its number in a list of its own, or as a shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_integrity_hook.isolation.protocol import BrokenChannelError
from keras_integrity_hook.limits import LIMITS

Leaf = Callable[[Any], Any]


def packed(value: Any, leaf: Leaf) -> Any:
    """``value`` as JSON; what is no list, tuple or dict goes through ``leaf``.

    Raises:
        TypeError: a key of a dict is no string.
    """
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("the names of inputs and outputs are strings")
        return {"dict": [[key, packed(each, leaf)] for key, each in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [packed(each, leaf) for each in value]}
    return {"leaf": leaf(value)}


def unpacked(said: Any, leaf: Leaf, *, depth: int = 0) -> Any:
    """The inverse of :func:`packed`, of what a stranger says.

    Raises:
        BrokenChannelError: it is not what ``packed`` gives, or nested too deeply.
    """
    if not isinstance(said, dict) or len(said) != 1 or depth > LIMITS.sandbox_nesting:
        raise BrokenChannelError("no structure of arrays")
    ((kind, value),) = said.items()
    if kind == "leaf":
        return leaf(value)
    if not isinstance(value, list) or len(value) > LIMITS.sandbox_arrays:
        raise BrokenChannelError("no structure of arrays")
    if kind == "dict":
        return {_name(pair): unpacked(pair[1], leaf, depth=depth + 1) for pair in value}
    if kind not in ("list", "tuple"):
        raise BrokenChannelError("no structure of arrays")
    items = [unpacked(each, leaf, depth=depth + 1) for each in value]
    return items if kind == "list" else tuple(items)


def as_shape(said: Any) -> tuple[int | None, ...] | None:
    """A shape, of what a stranger says. Raises BrokenChannelError."""
    if said is None:
        return None
    is_shape = isinstance(said, list) and all(
        each is None or (type(each) is int and each >= 0) for each in said
    )
    if not is_shape:
        raise BrokenChannelError("no shape")
    return tuple(said)


def _name(pair: Any) -> str:
    if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
        raise BrokenChannelError("no structure of arrays")
    return pair[0]
