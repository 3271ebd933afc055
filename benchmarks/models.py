# SPDX-License-Identifier: Apache-2.0
"""Models of a wanted size: a few Dense layers, as a saved file is mostly weights."""

from __future__ import annotations

import math
from typing import Any

LAYERS = 4
FLOAT_BYTES = 4


def width_for(size: int) -> int:
    """Units per layer with which the model's weights take about ``size`` bytes."""
    return max(1, math.isqrt(size // (LAYERS * FLOAT_BYTES)))


def build(width: int) -> Any:
    """A built, uncompiled Keras model of ``LAYERS`` Dense layers of ``width`` units."""
    import keras

    # 'ones' and not the random default: filling gigabytes with random numbers is no part of this.
    layers = [keras.layers.Dense(width, kernel_initializer="ones") for _ in range(LAYERS)]
    return keras.Sequential([keras.Input((width,)), *layers])


def randomize(model: Any) -> None:
    """Give every layer other values, so that no layer below finds pages it could share."""
    import numpy

    generator = numpy.random.default_rng(0)
    model.set_weights(
        [generator.random(weight.shape, dtype=numpy.float32) for weight in model.get_weights()]
    )
