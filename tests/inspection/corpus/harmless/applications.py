# SPDX-License-Identifier: Apache-2.0
"""Every architecture of ``keras.applications``, without weights."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

from tests.inspection.corpus.harmless.writing import write_config

FAST = ("MobileNet", "VGG16", "ResNet50")
"""Built in every run; all of them take minutes, and are for the nightly one."""


def write(folder: Path) -> None:
    """Write them all, or those that are fast where ``CORPUS_FAST`` is set."""
    import keras
    from keras.src.backend.common.stateless_scope import StatelessScope

    fast = "CORPUS_FAST" in os.environ
    for name in FAST if fast else sorted(dir(keras.applications)):
        build = getattr(keras.applications, name)
        if inspect.isfunction(build):
            with StatelessScope():  # no variable is given a value: that takes most of the time
                model = build(weights=None)
            write_config(model, folder, name)
