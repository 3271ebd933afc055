# SPDX-License-Identifier: Apache-2.0
"""Which package loads a model in a sandbox, and by which names it finds what is not its own."""

from __future__ import annotations

from typing import Any

from keras_integrity_hook.containers import kinds

TENSORFLOW = "tensorflow"
HOSTS = ("keras", "tf_keras", TENSORFLOW)
"""Each loads what Keras saved, the last a SavedModel as such; ``serving.Host`` says how."""

COMPUTING = (TENSORFLOW, "jax", "torch", "numpy", "h5py")
"""What they compute and read with: a process in a sandbox sees it, and the verdict of a trial holds
for these versions."""


def host_of(container: str) -> str:
    """The package that loads a model of this container, where nobody asks for another; empty where
    none of ``HOSTS`` does so by itself."""
    kind = kinds.KINDS.get(container)
    return "keras" if kind is None else kind.loader


def importable_name(value: Any) -> str:
    """``"module:qualified.name"`` of a class or function; empty for what another process, of
    another program, cannot import by it."""
    module, inside = getattr(value, "__module__", ""), getattr(value, "__qualname__", "")
    can_be_imported = module and module != "__main__" and inside and "<" not in inside
    return f"{module}:{inside}" if can_be_imported else ""
