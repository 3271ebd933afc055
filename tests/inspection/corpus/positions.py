# SPDX-License-Identifier: Apache-2.0
"""Every position of a configuration in which Keras makes an object out of what stands there."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

from tests.inspection.corpus import configs
from tests.inspection.corpus.configs import (
    Json,
    Object,
    compiled,
    dense,
    function,
    functional,
    layer,
    obj,
    sequential,
    tensor,
)

Position = Callable[[Object], Object]
"""Puts a value somewhere into an otherwise harmless model."""


def is_layer(value: Object) -> bool:
    """Whether ``value`` claims to be a layer, and has a name of its own."""
    config = value.get("config")
    return isinstance(config, dict) and "name" in config


def named(value: Object) -> Object:
    """``value`` as a layer: its configuration gets a name, as that of every layer has."""
    config = value["config"]
    if not isinstance(config, dict):
        config = {"function": value, "name": "attacked", "arguments": {}}
        return obj("keras.layers", "Lambda", config)
    return {**value, "config": {"name": "attacked", **config}}


def _of_dense(argument: str) -> Position:
    return lambda value: sequential(dense("dense", **{argument: value}))


def _of_compile(wrap: Callable[[Object], dict[str, Json]]) -> Position:
    return lambda value: compiled(**wrap(value))


def _inside(*around: str) -> Position:
    """In models within models."""

    def position(value: Object) -> Object:
        wrappers = {"sequential": sequential, "functional": functional}

        def nest(inner: Object, kind: str) -> Object:
            return wrappers[kind](named(inner))

        return reduce(nest, around, value)

    return position


def _of_wrapper(class_name: str, argument: str = "layer", **more: Json) -> Position:
    return lambda value: sequential(
        layer(class_name, "wrapper", **{argument: named(value)}, **more)
    )


def _optimizer(value: Object) -> dict[str, Json]:
    return {"optimizer": obj("keras.optimizers", "Adam", {"learning_rate": value})}


def _schedule(value: Object) -> dict[str, Json]:
    decay = {"initial_learning_rate": 0.1, "decay_steps": value, "decay_rate": 0.9}
    return _optimizer(obj("keras.optimizers.schedules", "ExponentialDecay", decay))


def _loss(value: Object) -> dict[str, Json]:
    return {"loss": obj("keras.losses", "LossFunctionWrapper", {"fn": value, "name": "loss"})}


def _metric(value: Object) -> dict[str, Json]:
    mean = {"fn": value, "name": "mean", "dtype": "float32"}
    return {"metrics": [obj("keras.metrics", "MeanMetricWrapper", mean)]}


def _loss_scale(value: Object) -> dict[str, Json]:
    inner = {"inner_optimizer": value, "name": "loss_scale", "initial_scale": 32768.0}
    return {"optimizer": obj("keras.optimizers", "LossScaleOptimizer", inner)}


def _shared(value: Object) -> Object:
    """As an object that is said to have been seen before."""
    one = obj("keras.initializers", "Zeros", {}, shared_object_id=1)
    return sequential(
        dense("first", kernel_initializer=one),
        dense(kernel_initializer={**value, "shared_object_id": 1}),
    )


def _shared_first(value: Object) -> Object:
    """As the object that others are said to share."""
    again = obj("keras.initializers", "Zeros", {}, shared_object_id=1)
    return sequential(
        dense("first", kernel_initializer={**value, "shared_object_id": 1}),
        dense(kernel_initializer=again),
    )


def _custom(value: Object) -> Object:
    custom = {"name": "custom", "inner": value}
    return sequential(obj("my_pkg", "Mine", custom, registered_name="my_pkg>Mine"))


def _operation(value: Object) -> Object:
    """As an argument of an operation of the graph."""
    add = obj("keras.src.ops.numpy", "Add", {"name": "add"}, registered_name="Add")
    return functional(dense(), add, call=[tensor("dense"), value])


def _functional_kwargs(value: Object) -> Object:
    return functional(dense(), kwargs={"training": value})


def _deep_in_kwargs(value: Object) -> Object:
    return functional(dense(), kwargs={"mask": [{"a": [[value]]}]})


def _feature_space(value: Object) -> Object:
    features = {"a": {"dtype": "float32", "preprocessor": value, "output_mode": "float"}}
    config = {"features": features, "output_mode": "concat", "crosses": None, "name": "space"}
    return obj("keras.utils", "FeatureSpace", config)


POSITIONS: dict[str, Position] = {
    "layer": lambda value: sequential(named(value)),
    "layer after others": lambda value: sequential(dense("a"), dense("b"), named(value)),
    "functional layer": lambda value: functional(dense(), named(value)),
    "whole model": lambda value: value,
    "sequential in functional": _inside("sequential", "functional"),
    "three deep": _inside("sequential", "functional", "sequential", "functional"),
    "time distributed": _of_wrapper("TimeDistributed"),
    "bidirectional": _of_wrapper("Bidirectional", merge_mode="concat"),
    "backward layer": _of_wrapper(
        "Bidirectional", "backward_layer", layer=layer("LSTM", "lstm", units=3)
    ),
    "spectral normalization": _of_wrapper("SpectralNormalization", power_iterations=1),
    "recurrent cell": _of_wrapper("RNN", "cell", return_sequences=False),
    "stacked cells": lambda value: sequential(
        layer("RNN", "rnn", cell=layer("StackedRNNCells", "cells", cells=[named(value)]))
    ),
    "wrapper in wrapper": lambda value: sequential(
        layer(
            "TimeDistributed", "outer", layer=layer("TimeDistributed", "inner", layer=named(value))
        )
    ),
    "pipeline": lambda value: sequential(layer("Pipeline", "pipeline", layers=[named(value)])),
    "augmentation": lambda value: sequential(
        layer("RandAugment", "augment", value_range=[0, 255], num_ops=value)
    ),
    "activation": _of_dense("activation"),
    "activation layer": lambda value: sequential(layer("Activation", activation=value)),
    "kernel initializer": _of_dense("kernel_initializer"),
    "bias regularizer": _of_dense("bias_regularizer"),
    "kernel constraint": _of_dense("kernel_constraint"),
    "dtype": _of_dense("dtype"),
    "dtype policy": lambda value: sequential(
        dense(dtype=obj("keras", "DTypePolicyMap", {"policy_map": {"a": value}}))
    ),
    "quantization": _of_dense("quantization_config"),
    "unknown argument": _of_dense("something_else"),
    "list in list": lambda value: sequential(dense(something=[[[1, value]]])),
    "initializer in constraint": lambda value: sequential(
        dense(
            kernel_constraint=obj("keras.constraints", "MaxNorm", {"max_value": value, "axis": 0})
        )
    ),
    "lambda arguments": lambda value: sequential(
        configs.calling(function("keras.ops", "add"), x2=value)
    ),
    "lambda output shape": lambda value: sequential(
        layer("Lambda", "gadget", function=function("keras.ops", "relu"), output_shape=value)
    ),
    "call arguments": _operation,
    "call keywords": _functional_kwargs,
    "deep in call keywords": _deep_in_kwargs,
    "shared object": _shared,
    "shared object first": _shared_first,
    "custom object": _custom,
    "feature space": _feature_space,
    "optimizer": _of_compile(lambda value: {"optimizer": value}),
    "learning rate": _of_compile(_optimizer),
    "schedule": _of_compile(_schedule),
    "inner optimizer": _of_compile(_loss_scale),
    "loss": _of_compile(lambda value: {"loss": value}),
    "loss function": _of_compile(_loss),
    "losses by name": _of_compile(lambda value: {"loss": {"a": "mse", "b": value}}),
    "metric": _of_compile(lambda value: {"metrics": ["accuracy", value]}),
    "metric function": _of_compile(_metric),
    "metrics by name": _of_compile(lambda value: {"metrics": {"a": ["mse", [value]]}}),
    "weighted metric": _of_compile(lambda value: {"weighted_metrics": [value]}),
    "loss weights": _of_compile(lambda value: {"loss_weights": [value]}),
    "jit": _of_compile(lambda value: {"jit_compile": value}),
}
