# SPDX-License-Identifier: Apache-2.0
"""The rules of an input contract as operations of TensorFlow.

Each rule is one comparison over the tensor and one ``Assert``, whose message names the input, the
rule and how many elements break it: never the elements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from keras_integrity_hook.contracts.input_rules import InputRules


def checked(inputs: Sequence[InputRules], tensors: Sequence[Any]) -> list[Any]:
    """``tensors`` as they are, which are there only where they keep the rules.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, and they do not.
    """
    asserted = [
        assertion
        for rules, tensor in zip(inputs, tensors, strict=True)
        for assertion in _assertions(rules, _values(tensor))
    ]
    with tf.control_dependencies(asserted):
        return [tf.identity(tensor) for tensor in tensors]


def may_be_wrong(rules: InputRules, value: Any) -> Any:
    """Whether ``value``, one input of a batch, may break a rule: never False where it does."""
    if value is None:
        return tf.constant(not rules.optional)
    if not isinstance(value, tf.Tensor) or not _is_of_kind(rules.kind, value.dtype):
        return tf.constant(True)
    wrong = [tf.reduce_any(some) for _, some in broken(rules, value)]
    return tf.reduce_any(tf.stack([_has_other_shape(rules.shape, value), *wrong]))


def _is_of_kind(kind: str | None, dtype: tf.DType) -> bool:
    """Whether the type is of the very kind; of those that are taken as well Python decides."""
    if kind in (None, "boolean", "string"):
        return kind is None or dtype == {"boolean": tf.bool, "string": tf.string}[kind]
    of_dtype = {"integer": dtype.is_integer, "float": dtype.is_floating}
    return bool(of_dtype.get(str(kind), False))


def _has_other_shape(wanted: tuple[int | None, ...] | None, value: Any) -> Any:
    if wanted is None:
        return tf.constant(False)
    if value.shape.rank != len(wanted):
        return tf.constant(True)
    sizes = tf.shape(value)
    fixed = [(axis, size) for axis, size in enumerate(wanted) if size is not None]
    return tf.reduce_any([tf.not_equal(sizes[axis], size) for axis, size in fixed] or [False])


def _values(tensor: Any) -> Any:
    """The elements of a tensor: of a ragged or a sparse one those that are there."""
    if isinstance(tensor, tf.RaggedTensor):
        return tensor.flat_values
    return tensor.values if isinstance(tensor, tf.SparseTensor) else tensor


def _assertions(rules: InputRules, values: Any) -> Iterator[Any]:
    for rule, wrong in broken(rules, values):
        count = tf.math.count_nonzero(wrong)
        message = f"input contract: {rules.name} breaks the rule {rule}; elements that do: "
        yield tf.debugging.Assert(tf.equal(count, 0), [message, count])


def broken(rules: InputRules, values: Any) -> Iterator[tuple[str, Any]]:
    """Each rule that can be broken, in words, and whether each element does."""
    dtype = values.dtype
    if rules.finite and (dtype.is_floating or dtype.is_complex):
        yield "finite", tf.logical_not(_is_finite(values))
    numbers = tf.cast(values, tf.int8) if dtype.is_bool else values
    if rules.minimum is not None:
        yield f"minimum {rules.minimum}", _is_beyond(numbers, rules.minimum, is_below=True)
    if rules.maximum is not None:
        yield f"maximum {rules.maximum}", _is_beyond(numbers, rules.maximum, is_below=False)
    if rules.allowed is not None:
        yield "allowed", tf.logical_not(_is_among(numbers, rules.allowed))
    if rules.maximum_length is not None and dtype == tf.string:
        length = tf.strings.length(values, unit="UTF8_CHAR")
        yield f"maximum_length {rules.maximum_length}", length > rules.maximum_length


def _is_finite(values: Any) -> Any:
    if values.dtype.is_complex:
        real, imaginary = tf.math.real(values), tf.math.imag(values)
        return tf.logical_and(tf.math.is_finite(real), tf.math.is_finite(imaginary))
    return tf.math.is_finite(values)


def _is_beyond(values: Any, bound: float, *, is_below: bool) -> Any:
    """Of each element, whether it is below a minimum, or above a maximum; a NaN is neither."""
    dtype = values.dtype
    if dtype.is_integer:
        # An integer is below 0.5 if it is below 1; and no constant is beyond the type's range.
        bound = math.ceil(bound) if is_below else math.floor(bound)
        if not dtype.min <= bound <= dtype.max:
            is_wrong = bound > dtype.max if is_below else bound < dtype.min
            return tf.fill(tf.shape(values), is_wrong)
    constant = tf.constant(bound, dtype)
    return values < constant if is_below else values > constant


def _is_among(values: Any, allowed: Sequence[int] | Sequence[str]) -> Any:
    dtype = values.dtype
    # No constant is beyond the type's range.
    there = [one for one in allowed if not dtype.is_integer or dtype.min <= int(one) <= dtype.max]
    constants = tf.constant(there, dtype, shape=(len(there),))
    return tf.reduce_any(tf.equal(tf.expand_dims(values, -1), constants), axis=-1)
