# SPDX-License-Identifier: Apache-2.0
"""The modules of the hosts that are watched: a patcher runs each time one has been executed.

The finder loads this at the first import of a host, and not at the interpreter's start.
"""

from __future__ import annotations

import sys
from _thread import _local
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Patch = Callable[[ModuleType], None]

WATCHED: frozenset[str] = frozenset(
    {
        "keras",
        "keras.src.saving.saving_lib",
        "keras.src.saving.saving_api",
        "keras.src.saving.file_editor",
        "keras.src.legacy.saving.legacy_h5_format",
        "keras.src.callbacks.backup_and_restore",
        "keras.src.callbacks.orbax_checkpoint",
        "keras.src.utils.file_utils",
        # of Keras 2 alone
        "keras.src.saving.legacy.save",
        "keras.src.saving.legacy.hdf5_format",
        "keras.src.saving.legacy.saved_model.load",
        "keras.src.saving.legacy.saved_model.save",
        "keras.src.utils.data_utils",
        "tf_keras",
        "tf_keras.src.saving.saving_lib",
        "tf_keras.src.saving.saving_api",
        "tf_keras.src.saving.legacy.save",
        "tf_keras.src.saving.legacy.hdf5_format",
        "tf_keras.src.saving.legacy.saved_model.load",
        "tf_keras.src.saving.legacy.saved_model.save",
        "tf_keras.src.utils.data_utils",
        "keras_hub",
        "keras_hub.src.models.backbone",
        "keras_hub.src.models.task",
        "keras_hub.src.models.preprocessor",
        "keras_hub.src.tokenizers.tokenizer",
        "keras_hub.src.layers.preprocessing.image_converter",
        "keras_hub.src.layers.preprocessing.audio_converter",
        "keras_hub.src.layers.preprocessing.video_converter",
        "tensorflow.python.saved_model.load",
        "tensorflow.python.saved_model.save",
        "tensorflow.python.saved_model.loader_impl",
        "tensorflow.python.saved_model.builder_impl",
        "tensorflow.python.checkpoint.checkpoint",
        "tensorflow.python.checkpoint.checkpoint_management",
        "tensorflow.python.training.checkpoint_utils",
        "tensorflow.python.training.py_checkpoint_reader",
        "tensorflow.python.training.saver",
        "tensorflow.lite.python.lite",
        "tensorflow.python.keras.saving.hdf5_format",
        "tensorflow.python.keras.saving.saved_model.load",
        "tensorflow.python.keras.saving.saved_model.save",
        "tensorflow.python.keras.saving.saved_model_experimental",
        "tensorflow.python.keras.engine.training",
        "tensorflow.python.keras.utils.data_utils",
    }
)


class Watch:
    """Lets the others find a module, and patches what they load.

    Args:
        names: full names of the modules to patch.
        patch: called with each of them after its code has run, on import and on reload. It must
            be idempotent. What it raises fails the import.
    """

    def __init__(self, names: frozenset[str], patch: Patch) -> None:
        self._names = names
        self._patch = patch
        self._asking = _Asking()

    def find_spec(
        self, finder: object, fullname: str, path: Any, target: ModuleType | None
    ) -> ModuleSpec | None:
        """The spec of a watched module with its loader replaced; None for any other.

        Args:
            finder: the one that asks, and is not asked in turn.
            fullname, path, target: what it was asked.
        """
        if fullname not in self._names or fullname in self._asking.names:
            return None
        spec = self._ask_others(finder, fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = PatchingLoader(spec.loader, self._patch)  # type: ignore[assignment]
        return spec

    def catch_up(self) -> None:
        """Patch what is loaded already: another finder was in front for a while.

        Modules whose code is still running are left alone: they have nothing to patch yet.
        """
        for name in self._names:
            module = sys.modules.get(name)
            spec = getattr(module, "__spec__", None)
            if module is not None and not getattr(spec, "_initializing", False):
                self._patch(module)

    def _ask_others(
        self, finder: object, fullname: str, path: Any, target: ModuleType | None
    ) -> ModuleSpec | None:
        # Another finder may ask in turn through importlib.util.find_spec (wrapt's does); it has to
        # get None from us, or the two of us would recurse.
        outer = self._asking.names
        self._asking.names = outer | {fullname}
        try:
            for other in tuple(sys.meta_path):
                find_spec = None if other is finder else getattr(other, "find_spec", None)
                spec: ModuleSpec | None = find_spec and find_spec(fullname, path, target)
                if spec is not None:
                    return spec
            return None
        finally:
            self._asking.names = outer


class _Asking(_local):
    """The names this thread is asking the other finders for."""

    names: frozenset[str] = frozenset()


class PatchingLoader:
    """Loads through the original loader, leaves no trace of itself, then patches.

    Args:
        loader: the loader of another finder's spec.
        patch: called with the module once its code has run.
    """

    def __init__(self, loader: Any, patch: Patch) -> None:
        self._loader = loader
        self._patch = patch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """What the original loader creates (None: an ordinary module)."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code, then the patcher; what either raises fails the import."""
        # Resources, inspect and pickle look at the loader, some of them while the code runs.
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._patch(module)

    def __getattr__(self, name: str) -> Any:
        # get_code, get_source, is_package, ...: for tools that ask for a spec without importing.
        if name == "_loader":  # not set yet, in a copy being made
            raise AttributeError(name)
        return getattr(self._loader, name)


def _wrap(module: ModuleType) -> None:
    from keras_integrity_hook.files import portable

    if portable.missing():
        if portable.is_opted_out():
            return
        portable.require()
    from keras_integrity_hook.hooks import wrap_module

    wrap_module(module)


KERAS = Watch(WATCHED, _wrap)
"""The watch over Keras and TensorFlow, which the finder of this process hands over to."""
