# SPDX-License-Identifier: Apache-2.0
"""Models with code in them, for tests that load them in a sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook.isolation import availability

needs_sandbox = pytest.mark.skipif(
    bool(availability.reasons()), reason="; ".join(availability.reasons()) or "there is one"
)


def with_code(code: str, path: Path, *, then: str = "x") -> Path:
    """A model at ``path`` whose Lambda runs ``code`` when it is called.

    Args:
        then: an expression for what it gives back.
    """
    import keras

    # The code is a constant of the Lambda, so that it is in the file and nothing else is needed.
    body: Any = eval(  # the text is the test's own
        f"lambda x: (exec({code!r}, state := {{'x': x}}), eval({then!r}, state))[1]"
    )
    layer = keras.layers.Lambda(body, output_shape=(4,))
    model = keras.Sequential([keras.Input((4,)), layer])
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return path
