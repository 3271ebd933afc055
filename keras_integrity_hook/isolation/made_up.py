# SPDX-License-Identifier: Apache-2.0
"""Input that a model is asked with when nobody has any: zeros, and random values.

Code of a model often runs only when the model is called, so that a load alone would not show it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from keras_integrity_hook.errors import SandboxedModelError
from keras_integrity_hook.isolation import arrays, structures
from keras_integrity_hook.isolation.answers import Answer
from keras_integrity_hook.isolation.process import ConfinedProcess
from keras_integrity_hook.isolation.protocol import BrokenChannelError
from keras_integrity_hook.limits import LIMITS

if TYPE_CHECKING:
    from keras_integrity_hook.isolation.arrays import Array

ZEROS, RANDOM = "zeros", "random values"
_ROWS = 2
_LENGTH = 32  # where a model takes any length: enough for most convolutions
_NAMED = frozenset(
    {"bool"} | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)
_SEED = 20250101


def ask(process: ConfinedProcess, loaded: Answer, values: str) -> Answer:
    """Ask the model that was ``loaded`` into ``process`` with made-up input.

    Args:
        values: :data:`ZEROS` or :data:`RANDOM`.

    Raises:
        SandboxedModelError: it does not say what it takes, or cannot be called with that.
        SandboxViolationError, SandboxLimitError: see :meth:`ConfinedProcess.ask`.
    """
    try:
        said = loaded.value.get("inputs")
        if said is None:
            raise SandboxedModelError("it does not say what it takes", path=process.path)
        inputs = structures.unpacked(said, lambda leaf: _array(leaf, values))
    except BrokenChannelError as error:
        cause = f"what it says of its inputs is malformed ({error})"
        raise SandboxedModelError(cause, path=process.path) from error
    given: list[Array] = []

    def kept(array: Any) -> int:
        given.append(arrays.plain(array))
        return len(given) - 1

    structure = structures.packed(inputs, kept)
    return process.run("predict_on_batch", structure, given, {})


def _array(said: Any, values: str) -> Any:
    """An array of the shape and kind that one input is said to have. Raises BrokenChannelError."""
    import numpy as np

    shape = structures.as_shape(said.get("shape") if isinstance(said, dict) else None)
    if shape is None:
        raise BrokenChannelError("no shape")
    rows = [_ROWS if length is None else length for length in shape[:1]]
    lengths = rows + [_LENGTH if length is None else length for length in shape[1:]]
    count = math.prod(lengths)
    if count > LIMITS.made_up:
        raise BrokenChannelError(f"an input of {count:,} elements")
    kind = _kind(str(said.get("dtype", "")))
    if values == ZEROS:
        return np.zeros(lengths, kind)
    source = np.random.default_rng(_SEED)
    if kind == "str":
        return source.choice(["a", "model", "0", ""], lengths)
    if kind == "float32":
        return source.normal(size=lengths).astype(kind)
    # Numbers of words or of classes, as a rule, of which every model has two.
    return source.integers(0, 2, lengths).astype(kind)


def _kind(dtype: str) -> str:
    """The type of NumPy to make: whatever is not named here is asked with floats."""
    if dtype == "string":
        return "str"
    return dtype if dtype in _NAMED else "float32"
