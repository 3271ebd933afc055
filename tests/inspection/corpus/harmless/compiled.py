# SPDX-License-Identifier: Apache-2.0
"""Everything that a model can be compiled with, and policies of types and of quantization."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.inspection.corpus.harmless.writing import write_config

_ABSTRACT = {
    "Loss",
    "Metric",
    "Optimizer",
    "LearningRateSchedule",
    "LossScaleOptimizer",
    "MultiOptimizer",
    "OptimizerMap",
    "Initializer",
    "Regularizer",
    "Constraint",
}
_METRICS_NEED: dict[str, dict[str, Any]] = {
    "BinaryIoU": {"target_class_ids": [0]},
    "IoU": {"num_classes": 2, "target_class_ids": [0]},
    "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
    "MeanIoU": {"num_classes": 2},
    "OneHotMeanIoU": {"num_classes": 2},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
}


def _model(**arguments: Any) -> Any:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    usual = {"optimizer": "adam", "loss": "mse"}
    model.compile(**{**usual, **arguments})
    return model


def _classes(module: Any) -> Iterator[tuple[str, Any]]:
    seen = set()
    for name in sorted(dir(module)):
        value = getattr(module, name)
        if inspect.isclass(value) and name not in _ABSTRACT and value not in seen:
            seen.add(value)
            yield name, value


def _functions(module: Any) -> Iterator[tuple[str, Any]]:
    for name in sorted(dir(module)):
        value = getattr(module, name)
        if inspect.isfunction(value) and name not in ("get", "serialize", "deserialize"):
            yield name, value


def _losses() -> Iterator[tuple[str, Any]]:
    import keras

    for name, loss in _classes(keras.losses):
        yield f"loss-{name}", _model(loss=loss())
    for name, function in _functions(keras.losses):
        yield f"loss-function-{name}", _model(loss=function)
        yield f"loss-name-{name}", _model(loss=name)
    yield "losses", _model(loss=[keras.losses.Huber(delta=2.0)], loss_weights=[0.5])


def _metrics() -> Iterator[tuple[str, Any]]:
    import keras

    for name, metric in _classes(keras.metrics):
        if name == "MeanMetricWrapper":
            made = metric(keras.metrics.mean_squared_error, name="eval")
        else:
            made = metric(**_METRICS_NEED.get(name, {}))
        yield f"metric-{name}", _model(metrics=[made], weighted_metrics=["accuracy"])
    for name, function in _functions(keras.metrics):
        yield f"metric-function-{name}", _model(metrics=[function])


def _optimizers() -> Iterator[tuple[str, Any]]:
    import keras

    for name, optimizer in _classes(keras.optimizers):
        yield f"optimizer-{name}", _model(optimizer=optimizer(learning_rate=0.01))
        strict = optimizer(learning_rate=0.01, clipnorm=1.0, use_ema=True, name="exec")
        yield f"optimizer-clipped-{name}", _model(optimizer=strict)
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(momentum=0.9))
    yield "optimizer-loss-scale", _model(optimizer=scaled)
    schedules = keras.optimizers.schedules
    for name, schedule in {
        "cosine": schedules.CosineDecay(0.1, 10, alpha=0.1, warmup_target=0.2, warmup_steps=2),
        "restarts": schedules.CosineDecayRestarts(0.1, 10),
        "exponential": schedules.ExponentialDecay(0.1, 10, 0.9, staircase=True),
        "inverse": schedules.InverseTimeDecay(0.1, 10, 0.9),
        "piecewise": schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2, 0.3]),
        "polynomial": schedules.PolynomialDecay(0.1, 10, cycle=True),
    }.items():
        yield f"schedule-{name}", _model(optimizer=keras.optimizers.SGD(learning_rate=schedule))


def _objects_of_layers() -> Iterator[tuple[str, Any]]:
    import keras

    def with_dense(**arguments: Any) -> Any:
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, **arguments)])

    for module, argument in (
        (keras.regularizers, "kernel_regularizer"),
        (keras.constraints, "kernel_constraint"),
        (keras.dtype_policies, "dtype"),
    ):
        for name, kind in _classes(module):
            try:
                made = with_dense(**{argument: kind("float32") if argument == "dtype" else kind()})
            except (TypeError, ValueError):
                continue  # a base, or one with arguments of its own
            yield f"{argument}-{name}", made
    for mode in ("int8", "float8", "int4"):
        model = with_dense()
        model.quantize(mode)
        yield f"quantized-{mode}", model
    policies = keras.dtype_policies.DTypePolicyMap()
    policies["dense"] = keras.dtype_policies.DTypePolicy("bfloat16")
    yield "policy-map", with_dense(dtype=policies)


def write(folder: Path) -> None:
    """Write a compiled model for each."""
    for part in (_losses, _metrics, _optimizers, _objects_of_layers):
        for name, model in part():
            write_config(model, folder, name)
