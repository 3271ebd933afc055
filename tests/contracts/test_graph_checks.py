# SPDX-License-Identifier: Apache-2.0
"""The rules in a graph say what the rules in NumPy say."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from keras_integrity_hook import InputContract, InputContractError, InputRules

pytest.importorskip("tensorflow")

KINDS = {
    "boolean": ("?",),
    "integer": ("i1", "u1", "i4", "u4", "i8", "u8"),
    "float": ("f2", "f4", "f8"),
}
TEXTS = st.text("aäß€😀", max_size=4)
BOUNDS = st.none() | st.integers(-300, 300) | st.floats(-300, 300) | st.integers(-(2**63), 2**63)


@st.composite
def numbers(draw: st.DrawFn) -> tuple[InputRules, NDArray[Any]]:
    """Rules of a kind, and an array of it whose elements lie about its bounds."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    low, high = sorted(
        [draw(BOUNDS), draw(BOUNDS)], key=lambda bound: (bound is not None, bound or 0)
    )
    allowed = None
    if kind != "boolean":
        allowed = draw(st.none() | st.lists(st.integers(-3, 300), min_size=1, max_size=3))
    rules = InputRules(
        "x",
        draw(st.sampled_from([None, (None, 2), (None, None)])),
        kind,
        finite=draw(st.booleans()),
        minimum=low,
        maximum=high,
        allowed=None if allowed is None else tuple(allowed),
    )
    dtype = draw(st.sampled_from(KINDS[kind]))
    is_near = kind == "integer" and draw(st.booleans())
    elements = st.integers(0, 100) if is_near else None
    shape = (draw(st.integers(0, 3)), draw(st.sampled_from([1, 2])))
    return rules, draw(hnp.arrays(dtype, shape, elements=elements))


@st.composite
def texts(draw: st.DrawFn) -> tuple[InputRules, NDArray[Any]]:
    allowed = draw(st.none() | st.lists(TEXTS, min_size=1, max_size=3).map(tuple))
    longest = draw(st.none() | st.integers(0, 4))
    rules = InputRules("x", None, "string", allowed=allowed, maximum_length=longest)
    return rules, np.array(draw(st.lists(TEXTS, max_size=3)), object)


@settings(max_examples=max(20, settings().max_examples // 3))  # TensorFlow takes its time
@given(numbers() | texts())
def test_graph_and_numpy_agree(case: tuple[InputRules, NDArray[Any]]) -> None:
    import tensorflow as tf

    from keras_integrity_hook.contracts import graph_checks

    rules, array = case
    tensor = tf.constant(array, tf.string if rules.kind == "string" else array.dtype)
    try:
        InputContract(rules).check(array)
        is_good = True
    except InputContractError as error:
        is_good = False
        is_of_shape = error.rule == "shape"
    # What a graph lets pass is good; what it does not, Python looks at.
    assert bool(graph_checks.may_be_wrong(rules, tensor)) or is_good
    try:
        graph_checks.checked([rules], [tensor])
        passes = True
    except tf.errors.InvalidArgumentError:
        passes = False
    # The shape is said by the signature of a guarded model.
    assert passes == is_good or (not is_good and is_of_shape)


BREAKS: dict[str, tuple[InputRules, Any]] = {
    "shape": (InputRules("x", (None, 2)), np.zeros((1, 3))),
    "kind": (InputRules("x", kind="integer"), np.zeros(1)),
    "finite": (InputRules("x"), np.array([np.nan])),
    "minimum": (InputRules("x", kind="float", minimum=0), np.array([-1.0])),
    "maximum": (InputRules("x", kind="float", maximum=0), np.array([1.0])),
    "allowed": (InputRules("x", kind="integer", allowed=(1,)), np.array([2])),
    "maximum_length": (InputRules("x", kind="string", maximum_length=1), np.array(["ab"], object)),
    "optional": (InputRules("x"), None),
}


@pytest.mark.parametrize("rule", sorted({field.name for field in fields(InputRules)} - {"name"}))
def test_every_rule_that_there_is_reaches_batches_of_data_sets(rule: str) -> None:
    """Python sees such a batch only where the graph says that it may be wrong."""
    import tensorflow as tf

    from keras_integrity_hook.contracts import graph_checks

    rules, value = BREAKS[rule]
    assert graph_checks.may_be_wrong(rules, None if value is None else tf.constant(value))
    with pytest.raises(InputContractError):
        InputContract(rules).check(value)
