# SPDX-License-Identifier: Apache-2.0
"""Every layer of Keras, and each of its arguments with a value that is not its default."""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.inspection.corpus.harmless.writing import around, write_config

Value = Any

# Layers that carry code or read other files: what is said of them is for another test.
_NOT_HARMLESS = {"JaxLayer", "FlaxLayer", "TorchModuleWrapper", "TFSMLayer", "Lambda"}
# No layers that a model could be made of.
_NO_LAYERS = {"InputSpec", "Layer", "Wrapper"}


def _needed() -> dict[str, Callable[[], Value]]:
    """Values of the arguments that have no default, by their names."""
    import keras

    dense = keras.layers.Dense
    return {
        "activation": lambda: "relu",
        "output_size": lambda: 2,
        "rate": lambda: 0.25,
        "pool_size": lambda: 2,
        "layer": lambda: dense(3),
        "height": lambda: 8,
        "width": lambda: 8,
        "filters": lambda: 4,
        "kernel_size": lambda: 2,
        "units": lambda: 3,
        "axes": lambda: 1,
        "equation": lambda: "abc,cd->abd",
        "output_shape": lambda: (None, 4),
        "input_dim": lambda: 10,
        "output_dim": lambda: 4,
        "head_dim": lambda: 4,
        "num_query_heads": lambda: 4,
        "num_key_value_heads": lambda: 2,
        "num_bins": lambda: 5,
        "stddev": lambda: 0.1,
        "max_number": lambda: 5,
        "num_heads": lambda: 2,
        "key_dim": lambda: 4,
        "dims": lambda: (2, 1),
        "layers": lambda: [keras.layers.Rescaling(0.5)],
        "cell": lambda: keras.layers.LSTMCell(3),
        "cells": lambda: [keras.layers.GRUCell(3), keras.layers.LSTMCell(2)],
        "factor": lambda: 0.2,
        "height_factor": lambda: 0.2,
        "width_factor": lambda: 0.2,
        "n": lambda: 3,
        "scale": lambda: 0.5,
        "target_shape": lambda: (2, 2),
    }


# Of single layers, where the name of an argument does not tell.
_NEEDED_BY: dict[str, tuple[str, Callable[[Any], Value]]] = {
    "Bidirectional": ("layer", lambda layers: layers.LSTM(3)),
    "SpectralNormalization": ("layer", lambda layers: layers.Conv2D(3, 2)),
    "CategoryEncoding": ("num_tokens", lambda layers: 4),
    "Discretization": ("num_bins", lambda layers: 4),
    "InputLayer": ("shape", lambda layers: (4,)),
    "RandomPosterization": ("factor", lambda layers: 4),
}

_OTHERS: dict[str, list[Value]] = {
    "data_format": ["channels_first"],
    "padding": ["same", 2],
    "strides": [1, 2],
    "dilation_rate": [2],
    "groups": [2],
    "dtype": ["float16", "mixed_bfloat16", "string", "int64"],
    "seed": [1337],
    "vocabulary": [["eval", "exec", "os.system"], [1, 2, 3]],
    "mask_token": ["", 0],
    "oov_token": ["[OOV]", -2],
    "output_mode": ["one_hot", "multi_hot", "count", "tf_idf"],
    "idf_weights": [[0.1, 0.2, 0.3]],
    "bin_boundaries": [[0.0, 1.0]],
    "mean": [0.5],
    "variance": [0.5],
    "axis": [1, [1, 2]],
    "noise_shape": [(None, 1)],
    "standardize": [None, "lower", "strip_punctuation"],
    "split": [None, "character"],
    "ngrams": [2, (1, 2)],
    "interpolation": ["nearest", "bilinear"],
    "fill_mode": ["constant", "wrap"],
    "size": [3],
    "lora_rank": [2],
    "output_shape": [(None, 5)],
    "shape": [(4,)],
    "batch_shape": [(2, 4)],
    "batch_size": [2],
    "merge_mode": ["sum", None],
    "score_mode": ["concat"],
    "target_shape": [(4, -1)],
    "attention_axes": [(1, 2)],
    "value_dim": [3],
    "sliding_window": [2],
    "encoding": ["latin-1"],
    "quantization_config": [None],
    "max_value": [6.0],
    "shared_axes": [[1]],
    "bias_axes": ["d"],
    "arguments": [{"alpha": 0.1}],
    "num_tokens": [5],
    "max_tokens": [20],
    "num_oov_indices": [2],
    "window": ["hamming"],
    "max_freq": [8000.0],
    "value_range": [(0.0, 1.0)],
    "backward_layer": [],
    "call_endpoint": [],
    "name": ["with_a_name"],
}


class _Values:
    """Values for arguments, in turn, so that each is used by some layer."""

    def __init__(self) -> None:
        import keras

        self._initializers = itertools.cycle(
            [
                keras.initializers.Constant(0.5),
                *(
                    getattr(keras.initializers, name)(seed=7)
                    for name in (
                        "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal",
                        "LecunUniform", "Orthogonal", "RandomNormal", "RandomUniform",
                        "TruncatedNormal", "VarianceScaling",
                    )
                ),
                "zeros",
                keras.initializers.Identity(gain=2.0),
            ]
        )  # fmt: skip
        self._regularizers = itertools.cycle(
            [
                "l2",
                keras.regularizers.L1(0.1),
                keras.regularizers.L1L2(0.1, 0.2),
                keras.regularizers.OrthogonalRegularizer(0.3),
            ]
        )
        self._constraints = itertools.cycle(
            [
                "non_neg",
                keras.constraints.MaxNorm(2),
                keras.constraints.MinMaxNorm(0.1, 0.9, axis=1),
                keras.constraints.UnitNorm(axis=0),
            ]
        )
        names = [
            name
            for name in dir(keras.activations)
            if inspect.isfunction(getattr(keras.activations, name))
            and name not in ("get", "serialize", "deserialize")
        ]
        functions = [getattr(keras.activations, name) for name in names]
        self._activations = itertools.cycle([*names, *functions])

    def of(self, argument: inspect.Parameter) -> list[Value]:
        """Values for ``argument`` that are not its default."""
        name, default = argument.name, argument.default
        for end, values in (
            ("initializer", self._initializers),
            ("regularizer", self._regularizers),
            ("constraint", self._constraints),
            ("activation", self._activations),
        ):
            if name.endswith(end):
                return [next(values)]
        if name in _OTHERS:
            return _OTHERS[name]
        if isinstance(default, bool):
            return [not default]
        if isinstance(default, int):
            return [default + 1]
        if isinstance(default, float):
            return [default / 2 + 0.01]
        return []


def layer_classes() -> dict[str, Any]:
    """Every layer of ``keras.layers`` by its name; of aliases, the first."""
    import keras

    found: dict[Any, str] = {}
    for name in sorted(dir(keras.layers)):
        value = getattr(keras.layers, name)
        if inspect.isclass(value) and issubclass(value, keras.layers.Layer):
            found.setdefault(value, name)
    unwanted = _NOT_HARMLESS | _NO_LAYERS
    return {name: value for value, name in found.items() if name not in unwanted}


def _instances(name: str, layer: Any, values: _Values) -> Iterator[tuple[str, Any]]:
    import keras

    needed = _needed()
    arguments = list(inspect.signature(layer.__init__).parameters.values())[1:]
    always = {
        one.name: needed[one.name]
        for one in arguments
        if one.default is one.empty and one.name in needed
    }
    if name in _NEEDED_BY:
        needs, make = _NEEDED_BY[name]
        always[needs] = lambda: make(keras.layers)
    keywords = [
        inspect.Parameter(extra, inspect.Parameter.KEYWORD_ONLY, default=default)
        for extra, default in (("dtype", None), ("trainable", True), ("name", None))
    ]
    plain = {key: make() for key, make in always.items()}
    yield "", layer(**plain)
    seen = {one.name for one in arguments}
    for argument in [*arguments, *(one for one in keywords if one.name not in seen)]:
        if argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL):
            continue
        for number, value in enumerate(values.of(argument)):
            given = {key: make() for key, make in always.items()} | {argument.name: value}
            try:
                made = layer(**given)
                made.get_config()
            except (TypeError, ValueError, AttributeError, NotImplementedError, ImportError):
                continue  # this layer takes no such value
            yield f"-{argument.name}{number or ''}", made


def write(folder: Path) -> None:
    """Write a model for each layer, and for each value of an argument.

    Where ``CORPUS_FAST`` is set, for every third value.
    """
    values, every = _Values(), 3 if "CORPUS_FAST" in os.environ else 1
    for name, layer in layer_classes().items():
        for number, (suffix, made) in enumerate(_instances(name, layer, values)):
            if number % every == 0:
                write_config(around(made), folder, name + suffix)
