# SPDX-License-Identifier: Apache-2.0
"""Every architecture of ``keras.applications``, with weights that take no room on the disk."""

from __future__ import annotations

import inspect
import json
import math
import os
from pathlib import Path
from typing import Any

from tests.inspection.corpus import formats

FAST = ("MobileNet", "VGG16")
"""Built in every run; all of them take minutes, and are for the nightly one."""


def write(folder: Path) -> None:
    """Write them all, or those that are fast where ``CORPUS_FAST`` is set."""
    import keras
    from keras.src.backend.common.stateless_scope import StatelessScope

    for name in FAST if "CORPUS_FAST" in os.environ else sorted(dir(keras.applications)):
        build = getattr(keras.applications, name)
        if inspect.isfunction(build):
            with StatelessScope():  # no variable is given a value: that takes most of the time
                model = build(weights=None)
            _write(model, folder / name)


def _write(model: Any, path: Path) -> None:
    """As a directory, whose weights have the size that they really have, and no content."""
    import h5py
    import keras

    config = json.dumps(keras.saving.serialize_keras_object(model)).encode()
    formats.directory(config)(path)
    elements = sum(math.prod(variable.shape) for variable in model.weights)
    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    how.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    how.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(path / "model.weights.h5", "w") as file:
        space = h5py.h5s.create_simple((elements,))
        h5py.h5d.create(file.id, b"weights", h5py.h5t.IEEE_F32LE, space, dcpl=how)
