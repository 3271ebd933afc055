# SPDX-License-Identifier: Apache-2.0
"""Sizes that a configuration declares, and that no machine has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from keras_integrity_hook.inspection.findings import Finding
from keras_integrity_hook.inspection.places import Place
from keras_integrity_hook.inspection.rules import found

_DTYPE = re.compile(
    r"(?:u?int(?:4|8|16|32|64)|b?float(?:16|32|64)|float8_e\w{2,12}|complex(?:64|128)|bool|string"
    r"|str|<?[iuf][1248]|half|single|double|int|float|[<>|=]?U\d{1,6}|[<>|=]?S\d{1,6}|bfloat16)"
)
_LONGEST = 2**31 - 1  # of one dimension; TensorFlow's kernels index with int32
_MOST = 1 << 38  # elements of one array; in float16 half a terabyte


def of_array(place: Place, file: str) -> Iterator[Finding]:
    """An array in the configuration: its dtype is NumPy's to interpret."""
    dtype = place.config().get("dtype")
    if dtype is not None and not (isinstance(dtype, str) and _DTYPE.fullmatch(dtype)):
        yield found("odd-dtype", file, str(place), f"dtype {dtype!r}")


_LENGTHS_NAMES = """
units filters input_dim output_dim num_heads num_query_heads num_key_value_heads key_dim value_dim
head_dim hidden_dim intermediate_dim vocabulary_size max_tokens num_tokens num_bins
num_oov_indices output_sequence_length depth_multiplier n height width size target_height
target_width kernel_size pool_size strides padding cropping dilation_rate crop_size nb_filters
lora_rank rank num_layers embedding_dim feature_dim sequence_length projection_dim num_classes
max_sequence_length patch_size state_size
"""
_LENGTHS = frozenset(_LENGTHS_NAMES.split())
"""Keys of lengths, in elements: each of them is a dimension of an array, alone or with others."""
_SHAPES_NAMES = """
batch_shape batch_input_shape input_shape output_shape target_shape shape shared_axes_shape
image_shape kernel_shape element_shape
"""
_SHAPES = frozenset(_SHAPES_NAMES.split())
"""Keys of shapes, whose lengths are multiplied."""


def of_class(name: str, place: Place, file: str) -> Iterator[Finding]:
    """The sizes in the configuration of an object of the class ``name``, and in how it is built."""
    for key, value in place.config().items():
        if key in _LENGTHS or key in _SHAPES:
            yield from _length(value, key, place, file)
    build = place.value.get("build_config")
    shapes = build if isinstance(build, dict) else {}
    last: dict[str, int] = {}
    for key, value in shapes.items():
        yield from _length(value, f"build_config > {key}", place, file)
        if key == "input_shape" and isinstance(value, list) and value:
            last = _whole({"": value[-1]})
    elements = declared(name, place.config(), last.get("", 1))
    if elements > _MOST:
        yield found("exhausting-shape", file, str(place), f"{elements:,} elements")


def declared(name: str, config: dict[str, Any], fan_in: int = 1) -> int:
    """How many elements the largest variable of a layer has, at least.

    Args:
        name: of its class.
        fan_in: the last length of its input, 1 where that is not known.
    """
    lengths = _whole(config)
    if name == "Embedding":
        return lengths.get("input_dim", 1) * lengths.get("output_dim", 1)
    if name in _DENSE:
        return lengths.get("units", 1) * max(fan_in, 1)
    return max(lengths.get("units", 1), lengths.get("filters", 1))


_DENSE = frozenset({"Dense", "LSTM", "GRU", "SimpleRNN", "LSTMCell", "GRUCell", "SimpleRNNCell"})


def _whole(config: dict[str, Any]) -> dict[str, int]:
    return {key: value for key, value in config.items() if type(value) is int and value > 0}


def _length(value: Any, key: str, place: Place, file: str) -> Iterator[Finding]:
    """One length, or a shape: each of its lengths, and for shapes their product."""
    lengths = list(_numbers(value))
    longest = max(lengths, default=0)
    product = 1
    if key.rpartition(" > ")[2] in _SHAPES:
        for one in lengths[:64]:
            product *= max(one, 1)
    if longest > _LONGEST or product > _MOST:
        shown = f"{longest:,}" if longest > _LONGEST else f"{product:,} elements"
        yield found("exhausting-shape", file, place.inner(key), shown[:100])


def _numbers(value: Any) -> Iterator[int]:
    pending = [value]
    for _ in range(256):
        if not pending:
            return
        one = pending.pop()
        if type(one) is int:
            yield one
        elif type(one) is float and one > _LONGEST:
            yield int(min(one, 1e30))
        elif type(one) is list:
            pending.extend(one[:64])
        elif type(one) is dict:
            pending.extend(list(one.values())[:64])
