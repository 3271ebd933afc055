# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for ``h5py`` and ``zipfile`` in modules that open a path in the middle of a function.

There is no inner function to wrap there, and tf_keras's outer ones take nothing but paths.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from keras_integrity_hook.guard import load, save
from keras_integrity_hook.hooks import keras3_guards as guards

Inline = Mapping[str, tuple[str, ...]]


class _StandIn:
    """Everything of the original but what a subclass replaces."""

    def __init__(self, original: Any) -> None:
        self.__wrapped__ = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)


class _HDF5File(_StandIn):
    """Stands for the class ``h5py.File``."""

    def __call__(self, name: Any, *args: Any, **kwargs: Any) -> Any:
        """A path opened for reading is verified; one being sealed gets its user block."""
        mode = args[0] if args else kwargs.get("mode", "r")
        path = path_of(name)
        if mode == "r" and path is not None:
            return load.hdf5_over(guards.open_named(path))
        if mode == "w" and path is not None:
            room = save.user_block_for(path)
            return self.__wrapped__(name, *args, **kwargs, **_user_block(room))
        opened = self.__wrapped__(name, *args, **kwargs)
        if mode == "r":
            # In memory, or in an archive that was verified: its links could still lead elsewhere.
            try:
                load.refuse_external(opened, None)
            except BaseException:
                opened.close()
                raise
        return opened

    def __instancecheck__(self, value: Any) -> bool:
        return isinstance(value, self.__wrapped__)


class _ZipFile(_StandIn):
    """Stands for the class ``zipfile.ZipFile``."""

    def __call__(self, file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        """An archive at a path, opened for reading, is verified."""
        path = path_of(file)
        if mode == "r" and path is not None:
            file = guards.open_named(path)  # closed by the guard of the function we are in
        return self.__wrapped__(file, mode, *args, **kwargs)

    def __instancecheck__(self, value: Any) -> bool:
        return isinstance(value, self.__wrapped__)


class _HDF5(_StandIn):
    """Stands for the module ``h5py``."""

    def __init__(self, original: Any) -> None:
        super().__init__(original)
        self.File = _HDF5File(original.File)


class _Zip(_StandIn):
    """Stands for the module ``zipfile``."""

    def __init__(self, original: Any) -> None:
        super().__init__(original)
        self.ZipFile = _ZipFile(original.ZipFile)


_KINDS: Mapping[str, type[_StandIn]] = {"h5py": _HDF5, "zipfile": _Zip}


def put(inline: Inline) -> None:
    """Put stand-ins into those modules of ``inline`` that are loaded; idempotent.

    Args:
        inline: for each module the names, of :data:`_KINDS`, that it opens paths with.
    """
    for module, name in _loaded(inline):
        original = getattr(module, name, None)
        if original is not None and not isinstance(original, _StandIn):
            setattr(module, name, _KINDS[name](original))


def take_out(inline: Inline) -> None:
    """Undo :func:`put`."""
    for module, name in _loaded(inline):
        current = getattr(module, name, None)
        if isinstance(current, _StandIn):
            setattr(module, name, current.__wrapped__)


def path_of(value: Any) -> str | None:
    """The local path that ``value`` is, or that a TensorFlow file object not yet read has."""
    gfile = sys.modules.get("tensorflow.python.platform.gfile")
    if gfile is not None and isinstance(value, gfile.GFile):
        value = value.name
    return os.fsdecode(value) if guards.is_local(value) else None


def _loaded(inline: Inline) -> list[tuple[ModuleType, str]]:
    found = [(sys.modules.get(module), name) for module, names in inline.items() for name in names]
    return [(module, name) for module, name in found if module is not None]


def _user_block(room: int) -> dict[str, int]:
    return {"userblock_size": room} if room else {}
