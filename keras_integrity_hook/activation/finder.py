# SPDX-License-Identifier: Apache-2.0
"""The import finder: runs a patcher each time a watched module has been executed.

It stays on ``sys.meta_path`` for good, unlike ``wrapt.register_post_import_hook``, whose hooks are
popped before they run: there a second ``import keras``, a reload or a purge of ``sys.modules``
would go unpatched.

This module runs at every interpreter start, and it alone: a start-up file loads it without the
packages that it lies in. It imports nothing that is not loaded already; even ``from __future__
import annotations`` would be one more file to read.
"""

import sys
from _thread import _local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Patch = Callable[[ModuleType], None]
else:  # for those who look annotations up at run time
    Any = ModuleSpec = ModuleType = Patch = object

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
_PACKAGE = __name__.partition(".")[0]
_OURS = _PACKAGE + "."
_DEPTH = 3  # of this file below the directory that the package lies in


class Finder:
    """A meta path finder that lets the others find, and patches what they load.

    Args:
        names: full names of the modules to patch.
        patch: called with each of them after its code has run, on import and on reload. It must
            be idempotent. What it raises fails the import.
    """

    def __init__(self, names: frozenset[str], patch: "Patch") -> None:
        self._names = names
        self._patch = patch
        self._asking = _Asking()

    def find_spec(
        self,
        fullname: str,
        path: "Any" = None,
        target: "ModuleType | None" = None,
    ) -> "ModuleSpec | None":
        """The spec of a watched module with its loader replaced, and that of our own modules; None
        for any other."""
        # Costs 20 ns, and a miss (no module of ours) is what nearly every import is.
        if sys.meta_path[0] is not self:
            self._regain_front()
        if fullname not in self._names or fullname in self._asking.names:
            return _of_ours(fullname, path) if fullname.startswith(_PACKAGE) else None
        spec = self._ask_others(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = PatchingLoader(spec.loader, self._patch)  # type: ignore[assignment]
        return spec

    def _ask_others(
        self, fullname: str, path: "Any", target: "ModuleType | None"
    ) -> "ModuleSpec | None":
        # Another finder may ask in turn through importlib.util.find_spec (wrapt's does); it has to
        # get None from us, or the two of us would recurse.
        outer = self._asking.names
        self._asking.names = outer | {fullname}
        try:
            for finder in tuple(sys.meta_path):
                find_spec = None if finder is self else getattr(finder, "find_spec", None)
                spec: ModuleSpec | None = find_spec and find_spec(fullname, path, target)
                if spec is not None:
                    return spec
            return None
        finally:
            self._asking.names = outer

    def _regain_front(self) -> None:
        """Go back in front of a finder that was inserted later and could serve our modules.

        One assignment, so that another thread's import never sees the list without a finder.
        """
        if self not in sys.meta_path:
            return  # disarmed, and a thread that was in the middle of an import still asks
        sys.meta_path[:] = [self, *[other for other in sys.meta_path if other is not self]]
        # The finder in front of us may have served one already. Modules whose code is still
        # running are left alone: they have nothing to patch yet.
        for name in self._names:
            module = sys.modules.get(name)
            spec = getattr(module, "__spec__", None)
            if module is not None and not getattr(spec, "_initializing", False):
                self._patch(module)


class _Asking(_local):
    """The names this thread is asking the other finders for."""

    names: frozenset[str] = frozenset()


class PatchingLoader:
    """Loads through the original loader, leaves no trace of itself, then patches.

    Args:
        loader: the loader of another finder's spec.
        patch: called with the module once its code has run.
    """

    def __init__(self, loader: "Any", patch: "Patch") -> None:
        self._loader = loader
        self._patch = patch

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        """What the original loader creates (None: an ordinary module)."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: "ModuleType") -> None:
        """Run the module's code, then the patcher; what either raises fails the import."""
        # Resources, inspect and pickle look at the loader, some of them while the code runs.
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._patch(module)

    def __getattr__(self, name: str) -> "Any":
        # get_code, get_source, is_package, ...: for tools that ask for a spec without importing.
        if name == "_loader":  # not set yet, in a copy being made
            raise AttributeError(name)
        return getattr(self._loader, name)


def arm() -> None:
    """Put the finder first on ``sys.meta_path``: what the start-up files call.

    Idempotent, because a venv runs its start-up files twice. No setting is read: an exception in a
    start-up file is printed and forgotten, so a decision made here would fail open. The decisions
    are made when a host is imported.
    """
    if _FINDER in sys.meta_path:
        return
    # Purging and importing this package again makes a second finder; one is enough.
    others = [other for other in sys.meta_path if not _is_predecessor(other)]
    sys.meta_path[:] = [_FINDER, *others]


def disarm() -> None:
    """Take the finder off ``sys.meta_path``; does nothing where it is not on it."""
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)


def is_armed() -> bool:
    """Whether the finder is on ``sys.meta_path``."""
    return _FINDER in sys.meta_path


def _is_predecessor(other: object) -> bool:
    kind = type(other)
    return kind is not Finder and (kind.__module__, kind.__name__) == (__name__, Finder.__name__)


def _of_ours(fullname: str, path: "Any") -> "ModuleSpec | None":
    """The spec of a module of this package, which is the one that this file belongs to.

    A start-up file loads this module alone. What on ``sys.path`` comes before the package, and has
    its name, must not be taken for it when the rest is imported.
    """
    if fullname == _PACKAGE:
        return _as_written(fullname, [__file__.replace("\\", "/").rsplit("/", _DEPTH)[0]])
    return _as_written(fullname, path) if fullname.startswith(_OURS) and path else None


def _as_written(fullname: str, path: "Any") -> "ModuleSpec | None":
    """The spec of a module of this package, to run as it is written.

    A path hook that rewrites what is imported (``beartype_all``, say) would have every call in here
    checked by rules that were not made for it, and what it raises is no refusal.
    """
    import _frozen_importlib_external as external
    import os

    name = fullname.rpartition(".")[2]
    for directory in path:
        package = f"{directory}/{name}"
        for file, below in ((f"{package}/__init__.py", [package]), (f"{package}.py", None)):
            if os.path.isfile(file):
                loader = external.SourceFileLoader(fullname, file)
                return external.spec_from_file_location(
                    fullname, file, loader=loader, submodule_search_locations=below
                )
    return None  # in an archive, or without its source


def _wrap(module: "ModuleType") -> None:
    from keras_integrity_hook.files import portable

    if portable.missing():
        if portable.is_opted_out():
            return
        portable.require()
    from keras_integrity_hook.hooks import wrap_module

    wrap_module(module)


_FINDER = Finder(WATCHED, _wrap)
