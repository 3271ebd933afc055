# SPDX-License-Identifier: Apache-2.0
"""Shared set-up: quiet TensorFlow, Hypothesis profiles, and Keras under the hook."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

_COMMON: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
settings.register_profile("ci", max_examples=60, **_COMMON)
settings.register_profile("nightly", max_examples=5000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def keras() -> Iterator[Any]:
    """The real Keras with the hook active."""
    import keras_integrity_hook

    keras_integrity_hook.activate()
    import keras as module

    keras_integrity_hook.assert_active()
    return module
