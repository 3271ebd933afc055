# SPDX-License-Identifier: Apache-2.0
"""The contract that data keeps, read once, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from keras_integrity_hook.contracts.batches import batches_of
from keras_integrity_hook.contracts.input_rules import InputRules, is_bound, misstated
from keras_integrity_hook.contracts.inputs import Inputs, in_structure
from keras_integrity_hook.contracts.matching import flattened
from keras_integrity_hook.contracts.seen import Seen
from keras_integrity_hook.contracts.signature import from_model


def from_data(x: Any, *, margin: float = 0.0, model: Any = None) -> Inputs:
    """See :meth:`InputContract.from_data`."""
    seen = _all_of(x, margin)
    return seen if model is None else _as_named(seen, from_model(model))


def _as_named(seen: Inputs, named: Inputs) -> Inputs:
    """What was ``seen`` under the names, and in the structure, of a model's own inputs."""
    if len(seen.inputs) != len(named.inputs):
        counts = f"{len(named.inputs)} inputs, and the data has {len(seen.inputs)}"
        raise misstated(f"the model takes {counts}")
    if seen.structure == "dict":
        own = {one.name: one for one in seen.inputs}
        if own.keys() != {one.name for one in named.inputs}:
            raise misstated("the inputs of the data are not named as those of the model")
        rules = [own[one.name] for one in named.inputs]
    else:
        pairs = zip(seen.inputs, named.inputs, strict=True)
        rules = [replace(one, name=other.name) for one, other in pairs]
    return in_structure(rules, named.structure)


def _all_of(x: Any, margin: float) -> Inputs:
    if (
        isinstance(margin, bool)
        or not isinstance(margin, int | float)
        or not 0 <= margin < math.inf
    ):
        raise misstated("the margin is not a number from 0 on")
    seen: dict[str, Seen] = {}
    structure = ""
    for batch in batches_of(x):
        found, inputs = _named(batch)
        if structure and (found != structure or inputs.keys() != seen.keys()):
            raise misstated("the batches are not all of the same structure")
        structure = found
        for name, value in inputs.items():
            if value is not None:
                seen.setdefault(name, Seen(name)).add(value)
            else:
                seen.setdefault(name, Seen(name)).is_optional = True
    if not structure:
        raise misstated("there is no data to make a contract of")
    return in_structure([_rules(one, margin) for one in seen.values()], structure)


def _named(batch: Any) -> tuple[str, dict[str, Any]]:
    """The structure of ``batch``, and its parts by name in Keras's order."""
    if isinstance(batch, Mapping):
        if not all(isinstance(key, str) for key in batch):
            raise misstated("the keys of the inputs are not all text")
        if not any(isinstance(value, Mapping | list | tuple) for value in batch.values()):
            return "dict", {key: batch[key] for key in sorted(batch)}
        return "nested", _numbered(flattened(batch, is_several=True))
    if not isinstance(batch, list | tuple):
        return "single", {"input": batch}
    values = list(flattened(batch, is_several=False))
    if len(values) == 1 and values[0] is batch:
        return "single", {"input": batch}
    is_flat = not any(isinstance(one, Mapping | list | tuple) for one in batch)
    return "list" if is_flat else "nested", _numbered(iter(values))


def _numbered(values: Iterator[Any]) -> dict[str, Any]:
    return {f"input_{number}": value for number, value in enumerate(values)}


def _rules(seen: Seen, margin: float) -> InputRules:
    low, high = _widened(seen, margin)
    longest = None if seen.longest is None else math.ceil(seen.longest * (1 + margin))
    return InputRules(
        seen.name,
        seen.shape,
        seen.kind,
        finite=seen.is_finite,
        minimum=low,
        maximum=high,
        allowed=seen.categories(),
        maximum_length=longest,
        optional=seen.is_optional,
    )


def _widened(seen: Seen, margin: float) -> tuple[float | None, float | None]:
    """The bounds, ``margin`` of their range apart from what was seen, or of a constant's own size;
    rounded outwards to a hundredth of that."""
    low, high = seen.low, seen.high
    if seen.kind == "boolean":
        return None, None
    if low is None or high is None or not margin:
        return seen.bounds()
    by = margin * (high - low or abs(high))
    if seen.kind != "float":
        by = math.ceil(by)
    wider = low - by, high + by
    if not all(map(is_bound, wider)):
        return seen.bounds()  # there is nothing beyond them to leave room for
    below, above = seen.bounds()
    digits = 2 - math.floor(math.log10(by)) if by else 0
    return (
        None if below is None else -_rounded_up(-wider[0], digits),
        None if above is None else _rounded_up(wider[1], digits),
    )


def _rounded_up(value: float, digits: int) -> float:
    """The next number that can be read at a glance: of that many digits after the point."""
    if isinstance(value, int) or not 0 <= digits < 16:
        return value
    near = round(value, digits)
    return near if near >= value else round(value + 10.0**-digits, digits)
