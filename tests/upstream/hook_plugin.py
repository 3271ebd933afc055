# SPDX-License-Identifier: Apache-2.0
"""Pytest plugin (``-p hook_plugin``): arms the hook before any test imports Keras.

With KERAS_INTEGRITY=off the same plugin leaves Keras as it is, so both runs differ in one variable.
"""

from __future__ import annotations

import pytest

import keras_integrity_hook
from keras_integrity_hook.settings import Mode, mode

keras_integrity_hook.activate()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Refuse to report on a run whose hook was not what the run is named after."""
    status = keras_integrity_hook.status()
    if status.active is not (mode() is not Mode.OFF):
        raise pytest.UsageError(f"the hook is not as KERAS_INTEGRITY asks: {status}")
    if status.late:
        raise pytest.UsageError("Keras was imported before the hook was armed")
