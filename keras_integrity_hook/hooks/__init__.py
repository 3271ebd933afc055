# SPDX-License-Identifier: Apache-2.0
"""Which functions of which host are wrapped: one table of targets for each host."""

from __future__ import annotations

from types import ModuleType

from keras_integrity_hook import settings
from keras_integrity_hook.hooks import inputs, opt_out, table
from keras_integrity_hook.hooks.keras3 import targets as keras3
from keras_integrity_hook.hooks.keras_hub import targets as keras_hub
from keras_integrity_hook.hooks.table import Host, TargetState
from keras_integrity_hook.hooks.tensorflow import checkpoint_targets
from keras_integrity_hook.hooks.tensorflow import targets as tensorflow
from keras_integrity_hook.hooks.tf_keras import targets as tf_keras
from keras_integrity_hook.hooks.tf_keras import tensorflow_targets

HOSTS = (
    keras3.HOST,
    tf_keras.KERAS_2,
    keras_hub.HOST,
    tf_keras.HOST,
    tensorflow.HOST,
    checkpoint_targets.HOST,
    tensorflow_targets.HOST,
)

NOT_SUPPORTED = (
    ("OrbaxCheckpoint of many hosts at a URL", "they write one step together, by themselves"),
    ("KerasHub presets from a hub that have no seal", "fetched a file at a time"),
    (
        "TensorFlow Serving, tf.lite.Interpreter, C++ loaders",
        "they read the disk outside of Python",
    ),
    ("raw restore ops of TensorFlow", "they hold paths, not models"),
    ("init_from_checkpoint, import_meta_graph", "read later or in pieces; refused where required"),
    ("what TensorFlow 1's Saver saves", "has no seal until 'keras-integrity seal' gives it one"),
    (
        "TensorFlow's command line tools",
        "start-up files reach them, but they read pieces of models",
    ),
    ("streams of the program's own, archives that get_file unpacks", "no file of a model is named"),
    ("ONNX, OpenVINO, LiteRT and torch exports", "written only; other programs read them"),
    ("h5py, numpy and zipfile used directly", "they are not loaders of models"),
    ("pickle and copy of models in memory", "no file; what writes the pickle is not Keras"),
)
"""What is not guarded, and why: ``doctor`` and the README say so. ``keras-integrity verify`` checks
files for programs that are not guarded."""


def wrap_module(module: ModuleType) -> None:
    """Wrap the targets of a watched module that has just been executed.

    Does nothing in mode ``off``.

    Raises:
        ConfigurationError: the mode is misspelt; the import of the host fails, closed.
        UnsupportedKerasError: a target is missing; likewise.
        AuditError: the mode is ``off``, and that cannot be recorded; likewise.
    """
    name = module.__name__
    in_force = settings.at()
    opt_out.record_once(in_force, name)
    if in_force.mode is settings.Mode.OFF:
        return
    for host in _present():
        if name.partition(".")[0] == host.package:
            table.wrap_module(module, host)
    if name in {host.package for host in HOSTS}:
        inputs.put_back()


def reach_copies() -> None:
    """Guard what modules imported by value before it was wrapped: after a late activation."""
    table.reach_copies(target for host in _present() for target in host.targets)


def unwrap_all() -> None:
    """Put every original back."""
    for host in _present():
        table.unwrap(host.targets)
    inputs.take_off()


def report() -> list[TargetState]:
    """The state of every target, for ``status()`` and ``doctor``."""
    return [state for host in _present() for state in table.report(host)]


def _present() -> list[Host]:
    """The hosts whose targets may be found in this process."""
    return [host for host in HOSTS if host.is_present()]
