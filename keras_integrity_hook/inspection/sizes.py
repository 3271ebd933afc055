# SPDX-License-Identifier: Apache-2.0
"""Sizes that a configuration declares, and that no machine has."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from keras_integrity_hook.inspection.findings import Finding, Verdict
from keras_integrity_hook.inspection.places import Place
from keras_integrity_hook.inspection.rules import found

_DTYPE = re.compile(
    r"(?:u?int(?:4|8|16|32|64)|b?float(?:16|32|64)|float8_e\w{2,12}|complex(?:64|128)|bool|string"
    r"|str|<?[iuf][1248]|half|single|double|int|float|[<>|=]?U\d{1,6}|[<>|=]?S\d{1,6}|bfloat16)"
)
_REVIEW = Verdict.REVIEW
_LONGEST = 2**31 - 1  # of one dimension; TensorFlow's kernels index with int32
_MOST = 1 << 38  # elements of one array; in float16 half a terabyte


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
KEYS = _LENGTHS | _SHAPES


def of_array(place: Place, file: str) -> Iterator[Finding]:
    """An array in the configuration: its dtype is NumPy's to interpret."""
    dtype = place.config().get("dtype")
    if dtype is not None and not (isinstance(dtype, str) and _DTYPE.fullmatch(dtype)):
        yield found("odd-dtype", file, str(place), f"dtype {dtype!r}")


def of_class(place: Place, file: str) -> Iterator[Finding]:
    """The sizes in the configuration of an object, and in how it is built."""
    config = place.config()
    for key in sorted(KEYS.intersection(config)):
        yield from _length(config[key], key, place, file)
    for key, value in _built(place.value).items():
        yield from _length(value, f"build_config > {key}", place, file)


def are_usual(config: dict[str, Any], inner: dict[str, Any]) -> bool:
    """Whether nothing is to be said of the sizes in ``config``, whose ``config`` is ``inner``: a
    quick look, since most are like that."""
    for key in sorted(KEYS.intersection(inner)):
        if not _is_usual(inner[key]):
            return False
    return "build_config" not in config or all(map(_is_usual, _built(config).values()))


def _is_usual(value: Any) -> bool:
    if type(value) is int:
        return -1 <= value <= _LONGEST
    if type(value) is dict and value.keys() == _TUPLE:
        value = value["items"]
    if type(value) is not list:
        return value is None or type(value) is str
    if value and type(value[0]) in (list, dict):
        return len(value) <= _RANK and all(map(_is_usual, value))
    product = 1
    for length in value:
        if type(length) is int:
            product *= max(length, 1)
        elif length is not None:
            return False
    return product <= _LONGEST and len(value) <= _RANK


_TUPLE = {"class_name", "items"}
"""The keys of a tuple or shape, as tf_keras writes them."""


class Declared:
    """What the layers of one configuration have weights for, at least, against what is stored.

    Shapes are followed from an input through a list of layers as far as they are certain. A layer
    that occurs twice, because it is shared, is counted once.
    """

    _SLACK = 1 << 28  # elements; a gigabyte in float32, which nobody runs out of
    _PER_BYTE = 8  # elements; quantized weights are packed

    def __init__(self, stored: int | None) -> None:
        """``stored``: bytes of the model's weights; None where they are elsewhere."""
        self._stored = stored
        self._counts: dict[tuple[str, str, int], None] = {}
        self._shape: list[int] = []

    def add(self, name: str, config: dict[str, Any], inner: dict[str, Any]) -> None:
        """Count the object ``config`` of the class ``name``, whose ``config`` is ``inner``."""
        if name in _AROUND:
            return
        shape = self._shape
        built = _built(config).get("input_shape") if "build_config" in config else None
        if type(built) is list and built and type(built[0]) is not list:
            shape = _lengths(built)
        elements = declared(name, inner, shape)
        if elements > 1:
            self._counts[name, str(inner.get("name")), elements] = None
        self._shape = _passed_on(name, inner, shape)

    def finding(self, file: str) -> Iterator[Finding]:
        """The finding, if more is declared than can be stored."""
        elements = sum(count for _, _, count in self._counts)
        most = _MOST if self._stored is None else self._PER_BYTE * self._stored + self._SLACK
        if elements > most:
            held = "" if self._stored is None else f", in a file of {self._stored:,} bytes"
            shown = f"weights of {min(elements, 10**30):,} elements{held}"
            yield found("exhausting-shape", file, "", shown)


def declared(name: str, config: dict[str, Any], shape: list[int]) -> int:
    """How many elements the largest variable of a layer has, at least.

    Args:
        name: of its class.
        shape: of its input, without the batch; empty where that is not known.
    """
    fan_in = shape[-1] if shape else 1
    if name == "Embedding":
        return _of(config, "input_dim") * _of(config, "output_dim")
    if name == "Dense":
        return _of(config, "units") * fan_in
    if name in _GATES:
        units = _of(config, "units")
        return _GATES[name] * units * max(units, fan_in)
    if "kernel_size" in config:
        return _of_convolution(name, config, shape)
    if "num_heads" in config:
        return _of(config, "num_heads") * _of(config, "key_dim") * (fan_in if len(shape) > 1 else 1)
    return max(_of(config, "units"), _of(config, "filters"))


def _of_convolution(name: str, config: dict[str, Any], shape: list[int]) -> int:
    """The kernel: its window, from each channel that comes in to each that goes out."""
    rank = next((number for number in (2, 3) if f"{number}D" in name), 1)
    size = config["kernel_size"]
    lengths = size[:_RANK] if type(size) is list else [size] * rank
    window = math.prod(one for one in lengths if type(one) is int and one > 0)
    filters = _of(config, "filters")
    if name.startswith("ConvLSTM"):
        return window * 4 * filters * filters
    is_known = len(shape) == rank + 1 and config.get("data_format") != "channels_first"
    channels = shape[-1] if is_known else 1
    if name.startswith(("Depthwise", "Separable")):
        return max(window, filters if "filters" in config else 1) * channels
    return window * filters * max(channels // _of(config, "groups"), 1)


def _of(config: dict[str, Any], key: str) -> int:
    value = config.get(key)
    return value if type(value) is int and value > 0 else 1


_GATES = {
    "LSTM": 4,
    "LSTMCell": 4,
    "GRU": 3,
    "GRUCell": 3,
    "SimpleRNN": 1,
    "SimpleRNNCell": 1,
    "CuDNNLSTM": 4,
    "CuDNNGRU": 3,
}
"""Layers that go on from their own output: a matrix of it with itself, for each of their gates."""
_AROUND = frozenset({"Sequential", "Functional", "Model", "__keras_tensor__", "function"})
_KEEPING = frozenset(
    {
        *("Dropout", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "GaussianNoise"),
        *("BatchNormalization", "LayerNormalization", "GaussianDropout", "SpatialDropout1D"),
        *("Masking", "ActivityRegularization", "UnitNormalization", "Rescaling", "AlphaDropout"),
        *("Identity", "SpatialDropout2D", "SpatialDropout3D", "GroupNormalization"),
    }
)
"""Layers whose output has the shape of their input."""


def _passed_on(name: str, config: dict[str, Any], shape: list[int]) -> list[int]:
    """The shape behind a layer, without the batch; empty where it is not certain."""
    match name:
        case "InputLayer":
            given = config.get("batch_shape") or config.get("batch_input_shape")
            shape = _lengths(given) if isinstance(given, list) else []
        case "Flatten":
            shape = [math.prod(shape[:_RANK])]
        case "Reshape":
            given = config.get("target_shape")
            shape = _lengths([None, *given]) if isinstance(given, list) else []
        case "RepeatVector":
            shape = [_of(config, "n"), *shape[-1:]]
        case "Dense" | "Embedding":
            shape = [*shape[:-1], _of(config, "units" if name == "Dense" else "output_dim")]
        case "Permute":
            shape = _permuted(config.get("dims"), shape)
        case _ if name in _GATES and shape:
            shape = [*([1] if config.get("return_sequences") else []), _of(config, "units")]
        case _ if name.startswith(_OVER_SPACE) and config.get("data_format") != "channels_first":
            lengths = [1] * (0 if name.startswith("Global") else len(shape) - 1)
            filters = _of(config, "filters") if "filters" in config else 0
            shape = [*lengths, filters or shape[-1]] if shape else []
        case _ if name not in _KEEPING and "trainable" in config:
            shape = []  # another layer; what is none (an initializer, a policy) passes nothing on
    return shape


_OVER_SPACE = (
    *("Conv1D", "Conv2D", "Conv3D", "MaxPool", "AveragePool", "AvgPool", "GlobalMax", "GlobalAv"),
    *("ZeroPadding", "Cropping", "UpSampling"),
)
"""Layers that change the lengths of space, and of the channels at most how many there are."""


def _permuted(dims: Any, shape: list[int]) -> list[int]:
    is_order = isinstance(dims, list) and all(type(one) is int for one in dims)
    if not is_order or sorted(dims) != list(range(1, len(shape) + 1)):
        return []
    return [shape[one - 1] for one in dims]


_RANK = 64


def _lengths(shape: list[Any]) -> list[int]:
    """The lengths of a shape without its batch, 1 for those that are not known."""
    return [one if type(one) is int and one > 0 else 1 for one in shape[1 : _RANK + 1]]


def _built(config: dict[str, Any]) -> dict[str, Any]:
    build = config.get("build_config")
    return build if isinstance(build, dict) else {}


def _length(value: Any, key: str, place: Place, file: str) -> Iterator[Finding]:
    """One length, or shapes: each of their lengths, and their product."""
    longest = most = rank = 0
    for shape in _shapes(value):
        longest, rank = max(longest, *shape), max(rank, len(shape))
        most = max(most, math.prod(shape[:_RANK]))
    if longest > _LONGEST or most > _MOST:
        shown = longest if longest > _LONGEST else most
        yield found("exhausting-shape", file, place.inner(key), f"{min(shown, 10**30):,} elements")
    elif rank > _RANK:
        yield found("exhausting-shape", file, place.inner(key), f"{rank:,} dimensions")
    elif type(value) is int and value < -1:
        why = "Keras refuses it, or counts backwards"
        yield found(
            "exhausting-shape", file, place.inner(key), f"{value:,}", why=why, verdict=_REVIEW
        )


def _shapes(value: Any) -> Iterator[list[int]]:
    """The lists of lengths in ``value``, innermost, at least one length each; a length by itself
    is one of them. Of more than anybody writes only the first are looked at."""
    pending = [value]
    for _ in range(_WALKED):
        if not pending:
            return
        one = pending.pop()
        inner = list(one.values()) if type(one) is dict else one if type(one) is list else [one]
        lengths = [whole for each in inner if (whole := _whole_number(each)) > 0]
        if lengths:
            yield lengths
        pending.extend(each for each in inner[:_RANK] if type(each) in (list, dict))


_WALKED = 256


def _whole_number(value: Any) -> int:
    if type(value) is float and abs(value) > _LONGEST:
        return int(min(abs(value), 1e30))
    return value if type(value) is int else 0
