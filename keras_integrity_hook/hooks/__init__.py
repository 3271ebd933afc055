# SPDX-License-Identifier: Apache-2.0
"""Which functions of which host are wrapped: one table-like module per host."""

from __future__ import annotations

from types import ModuleType

from keras_integrity_hook import settings
from keras_integrity_hook.hooks import (
    keras3,
    stand_ins,
    table,
    tensorflow,
    tensorflow_checkpoints,
    tf_keras,
)
from keras_integrity_hook.hooks.table import TargetState

HOSTS = (keras3.HOST, tf_keras.HOST, tensorflow.HOST, tensorflow_checkpoints.HOST)


def wrap_module(module: ModuleType) -> None:
    """Wrap the targets of a watched module that has just been executed.

    Does nothing in mode ``off``.

    Raises:
        ConfigurationError: the mode is misspelt; the import of the host fails, closed.
        UnsupportedKerasError: a target is missing; likewise.
    """
    if settings.mode() is settings.Mode.OFF:
        return
    name = module.__name__
    for host in HOSTS:
        if name.partition(".")[0] == host.package:
            table.wrap_module(module, host)
            stand_ins.put(host.inline)


def unwrap_all() -> None:
    """Put every original back."""
    for host in HOSTS:
        table.unwrap(host.targets)
        stand_ins.take_out(host.inline)


def report() -> list[TargetState]:
    """The state of every target, for ``status()`` and ``doctor``."""
    return [state for host in HOSTS for state in table.report(host.targets)]
