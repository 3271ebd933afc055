# SPDX-License-Identifier: Apache-2.0
"""What of Keras 3 is wrapped.

The innermost functions that open a path are wrapped, in the modules that define them. Every public
alias, callback and late importer goes through them by attribute at call time, so none needs a
wrapper of its own and activating late covers as much as activating early.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from keras_integrity_hook import settings
from keras_integrity_hook.errors import UnsupportedKerasError
from keras_integrity_hook.hooks import keras3_guards as guards
from keras_integrity_hook.hooks import wrapping

_API = "keras.src.saving.saving_api"
_LIB = "keras.src.saving.saving_lib"
_LEGACY = "keras.src.legacy.saving.legacy_h5_format"


class Target(NamedTuple):
    """One name to wrap: its module, its dotted name there, and the guard."""

    module: str
    name: str
    guard: Callable[..., Any]


class TargetState(NamedTuple):
    """A target as ``status()`` and ``doctor`` show it.

    ``state`` is ``"wrapped"``, ``"unwrapped"``, ``"absent"`` or ``"not loaded"``.
    """

    name: str
    state: str


TARGETS = (
    # Outer functions: an early, clear refusal; and load_weights opens legacy HDF5 inline.
    Target(_API, "load_model", guards.refuse_early),
    Target(_API, "load_weights", guards.load_weights),
    # .keras archives
    Target(_LIB, "load_model", guards.load_archive),
    Target(_LIB, "save_model", guards.save_archive),
    # .weights.h5, and the weights of a .keras
    Target(_LIB, "load_weights_only", guards.load_weights_only),
    Target(_LIB, "save_weights_only", guards.save_weights_only),
    # every HDF5 file a store opens by path: weights, shards, KerasFileEditor, LoRA
    Target(_LIB, "H5IOStore._get_h5_file", guards.open_store),
    # legacy .h5 and .hdf5
    Target(_LEGACY, "load_model_from_hdf5", guards.load_legacy),
    Target(_LEGACY, "save_model_to_hdf5", guards.save_legacy),
)


def wrap_module(module: ModuleType) -> None:
    """Wrap the targets of a module that has just been executed; for ``keras``, check them all.

    Does nothing in mode ``off``.

    Raises:
        ConfigurationError: the mode is misspelt; the import of Keras fails, closed.
        UnsupportedKerasError: a target is missing; likewise.
    """
    if settings.mode() is settings.Mode.OFF:
        return
    name = module.__name__
    for target in TARGETS:
        owner_module = module if target.module == name else sys.modules.get(target.module)
        if name not in ("keras", target.module):
            continue
        if owner_module is not None:
            owner, attribute = _owner(owner_module, target)
            wrapping.wrap(owner, attribute, target.guard)
    if name in (_API, "keras"):
        guards.guard_inline_hdf5(sys.modules.get(_API))


def unwrap_all() -> None:
    """Put every original back."""
    for target in TARGETS:
        module = sys.modules.get(target.module)
        if module is not None and report_one(target) == "wrapped":
            wrapping.unwrap(*_owner(module, target))
    guards.unguard_inline_hdf5(sys.modules.get(_API))


def report() -> list[TargetState]:
    """The state of every target, for ``status()`` and ``doctor``."""
    return [TargetState(f"{target.module}.{target.name}", report_one(target)) for target in TARGETS]


def report_one(target: Target) -> str:
    """The state of one target; see :class:`TargetState`."""
    module = sys.modules.get(target.module)
    if module is None:
        return "not loaded"
    try:
        owner, attribute = _owner(module, target)
    except UnsupportedKerasError:
        return "absent"
    return "wrapped" if wrapping.is_wrapped(owner, attribute) else "unwrapped"


def _owner(module: ModuleType, target: Target) -> tuple[Any, str]:
    owner: Any = module
    *path, attribute = target.name.split(".")
    for step in path:
        owner = getattr(owner, step, None)
    if owner is None or attribute not in owner.__dict__:
        # keras itself is still being imported here and has no __version__ yet.
        version = getattr(sys.modules.get("keras.src.version"), "__version__", "of this version")
        raise UnsupportedKerasError(
            f"Keras {version} has no {target.module}.{target.name}, which has to be guarded"
        )
    return owner, attribute
