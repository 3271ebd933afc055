# SPDX-License-Identifier: Apache-2.0
"""Keras 2 or Keras 3: two packages of the same name, told apart while they are being imported.

Some of their modules have the same names and other functions in them, and Keras 2 tells its version
when its last module has run. What says it earlier are the modules that no Keras 3 has.
"""

from __future__ import annotations

import sys

_OF_KERAS_2 = ("keras.src.engine", "keras.src.utils.data_utils", "keras.src.saving.legacy")


def is_keras_2() -> bool:
    """Whether the ``keras`` of this process is Keras 2, as TensorFlow had it up to 2.15."""
    return any(name in sys.modules for name in _OF_KERAS_2)


def is_keras_3() -> bool:
    """Whether it is Keras 3, or not loaded, or has a layout that is not known and is refused."""
    return not is_keras_2()
