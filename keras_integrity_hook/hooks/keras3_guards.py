# SPDX-License-Identifier: Apache-2.0
"""What stands before each wrapped function of Keras 3.

Each guard has the signature wrapt calls: ``(wrapped, instance, args, kwargs)``. In-memory objects,
remote paths and directories are passed on untouched.
"""

from __future__ import annotations

import importlib
import inspect
import os
import stat
from collections.abc import Callable, Mapping
from typing import Any

from keras_integrity_hook.guard import load, save, sealer
from keras_integrity_hook.hooks import keras3_inline as inline
from keras_integrity_hook.hooks.keras3_paths import is_local as _is_local
from keras_integrity_hook.hooks.keras3_paths import open_path as _open

_Args = tuple[Any, ...]
_Kwargs = Mapping[str, Any]
_Function = Callable[..., Any]


def refuse_early(wrapped: _Function, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``saving_api.load_model``: it calls a truncated archive "not found"; say what it is."""
    path = path_argument(wrapped, args, kwargs)
    with load.surfacing_failures():
        if path is not None and path.endswith(".keras") and not _is_left_to_keras(path):
            # The inner function opens and checks it again; here only the structure is looked at,
            # and that Keras may open it at all: it would wait for ever on a FIFO.
            load.refuse_broken(path)
        return wrapped(*args, **kwargs)


def load_archive(wrapped: _Function, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``saving_lib.load_model``: hand over the verified archive as a file object."""
    path = path_argument(wrapped, args, kwargs)
    if path is None or not path.endswith(".keras"):
        return wrapped(*args, **kwargs)
    with load.surfacing_failures():
        file = inline.handed(_open(path), "file_utils")
        return call_with(wrapped, args, kwargs, filepath=file)


def load_weights(wrapped: _Function, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``saving_api.load_weights``: restore the weights if a read is refused in the middle."""
    return all_or_nothing(wrapped, args, kwargs)


def load_weights_only(wrapped: _Function, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``saving_lib.load_weights_only``: an archive goes in as a file object; HDF5 through
    :func:`open_store`."""
    path = path_argument(wrapped, args, kwargs)
    if path is None or not path.endswith(".keras"):
        return all_or_nothing(wrapped, args, kwargs)
    return all_or_nothing(
        wrapped, args, kwargs, lambda: {"filepath": inline.handed(_open(path), "zipfile")}
    )


def load_legacy(wrapped: _Function, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``load_model_from_hdf5``: takes an open ``h5py.File`` as well as a path."""
    path = path_argument(wrapped, args, kwargs)
    if path is None:
        return wrapped(*args, **kwargs)
    with load.surfacing_failures(), load.hdf5_over(_open(path)) as opened:
        return call_with(wrapped, args, kwargs, filepath=opened)


def open_store(wrapped: _Function, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``H5IOStore._get_h5_file``: reads are verified, what is written will be sealed."""
    bound = bind(wrapped, args, kwargs)
    path, mode = bound["path_or_io"], bound.get("mode") or instance.mode
    if instance.archive or not _is_local(path):
        path = None
    elif mode == "w" and type(instance).__name__ != "H5IOStore" and not save.is_in_progress():
        path = None  # a store of shards opens what it has closed again, to add to it
    return inline.hdf5(path, mode, lambda: wrapped(*args, **kwargs))


def save_archive(wrapped: _Function, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``saving_lib.save_model``: only zipped local archives are single files."""
    path = path_argument(wrapped, args, kwargs)
    zipped = bind(wrapped, args, kwargs).get("zipped", True)
    if path is None or not zipped or not path.endswith(".keras"):
        return wrapped(*args, **kwargs)
    return save.save_sealed(path, lambda where: call_with(wrapped, args, kwargs, filepath=where))


def save_weights_only(wrapped: _Function, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``saving_lib.save_weights_only``: one HDF5 file, unless it is sharded."""
    path = path_argument(wrapped, args, kwargs)
    bound = bind(wrapped, args, kwargs)
    single = bound.get("max_shard_size") is None and bound["model"].built
    if path is None or not single or not path.endswith(".weights.h5"):
        return wrapped(*args, **kwargs)
    return save.save_sealed(
        path,
        lambda where: call_with(wrapped, args, kwargs, filepath=where),
        user_block=user_block(bound["model"]),
    )


def save_legacy(wrapped: _Function, instance: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``save_model_to_hdf5``: give it an ``h5py.File`` that has a user block."""
    path = path_argument(wrapped, args, kwargs)
    bound = bind(wrapped, args, kwargs)
    if path is None:
        return wrapped(*args, **kwargs)
    asks = not bound.get("overwrite", True) and os.path.isfile(path)
    if asks and not may_overwrite(wrapped, path):
        return None
    if os.path.dirname(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)  # as the original does
    room = user_block(bound["model"])

    def write(where: str) -> Any:
        import h5py

        with h5py.File(where, mode="w", userblock_size=room) as opened:
            return call_with(wrapped, args, kwargs, filepath=opened)

    return save.save_sealed(path, write, user_block=room)


def all_or_nothing(
    wrapped: _Function,
    args: _Args,
    kwargs: _Kwargs,
    replaced: Callable[[], dict[str, Any]] = dict,
    *,
    model: Any = None,
) -> Any:
    """Call; where verified bytes stop coming in the middle, leave the model as it was.

    Without a lease the file can change after the check, so a copy of the weights is kept then.

    Args:
        replaced: opens what is given in place of arguments of the user's.
        model: whose weights are loaded; by default the argument of that name.
    """
    if model is None:
        model = bind(wrapped, args, kwargs).get("model")
    snapshot = Snapshot(variables_of(model))
    with load.surfacing_failures(before_unleased=snapshot.take) as files:
        # Opened in here, so that the copy is taken and a refusal in the middle is seen.
        opened = replaced()
        try:
            return call_with(wrapped, args, kwargs, **opened)
        finally:
            if any(file.failure for file in files):
                snapshot.restore()


class Snapshot:
    """A copy of variables, taken only if asked for."""

    def __init__(self, variables: list[Any]) -> None:
        self._variables = variables
        self._values: list[Any] | None = None

    def take(self) -> None:
        """Copy the values now (host memory of the model's size)."""
        if self._values is None:
            self._values = [variable.numpy().copy() for variable in self._variables]

    def restore(self) -> None:
        """Assign the copied values back."""
        for variable, value in zip(self._variables, self._values or (), strict=False):
            variable.assign(value)


def _is_left_to_keras(path: str) -> bool:
    """Whether nothing is at ``path``, or a directory that Keras loads although it is called so."""
    try:
        is_directory = stat.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        return not os.path.islink(path)
    except (OSError, ValueError):
        return False  # opening it will tell why
    if not is_directory:
        return False
    from keras.src.saving import saving_api

    # Keras 3 learnt to load Orbax checkpoints late.
    is_checkpoint = getattr(saving_api, "is_orbax_checkpoint", None)
    return is_checkpoint is not None and bool(is_checkpoint(path))


def may_overwrite(wrapped: _Function, path: str) -> bool:
    """Ask as the package of ``wrapped`` does before it overwrites ``path``.

    The original would not ask: nothing is at the private path it is given.
    """
    package = wrapped.__module__.partition(".")[0]
    utilities = importlib.import_module(f"{package}.src.utils.io_utils")
    return bool(utilities.ask_to_proceed_with_overwrite(path))


def variables_of(owner: Any) -> list[Any]:
    """The variables of a model or an optimizer; none before they are created."""
    try:
        found = getattr(owner, "variables", None) or ()
        # A method of the oldest optimizers, which tf_keras still has.
        return list(found() if callable(found) else found)
    except ValueError:  # tf_keras: a model that was never called
        return []


def user_block(model: Any) -> int:
    """The user block (bytes) to reserve in an HDF5 file of ``model``."""
    variables = variables_of(model) + variables_of(getattr(model, "optimizer", None))
    # Names in the file are about as long as the variables' paths, under a group of their own.
    paths = [str(getattr(variable, "path", variable.name)) for variable in variables]
    names = [f"model_weights/{path}/{path}" for path in paths]
    size = sum(_bytes_of(variable) for variable in variables)
    return sealer.user_block_estimate(names, size)


def _bytes_of(variable: Any) -> int:
    count = 1
    for length in variable.shape:
        count *= int(length or 1)
    return count * 8


def bind(wrapped: _Function, args: _Args, kwargs: _Kwargs) -> dict[str, Any]:
    """The arguments as the original's signature names them; raises its TypeError."""
    return dict(inspect.signature(wrapped).bind(*args, **kwargs).arguments)


def call_with(wrapped: _Function, args: _Args, kwargs: _Kwargs, **replaced: Any) -> Any:
    """Call with some arguments replaced, the rest exactly as the user gave them."""
    bound = inspect.signature(wrapped).bind(*args, **kwargs)
    bound.arguments.update(replaced)
    return wrapped(*bound.args, **bound.kwargs)


def path_argument(
    wrapped: _Function, args: _Args, kwargs: _Kwargs, name: str = "filepath"
) -> str | None:
    """The argument ``name`` if it is a local path, else None.

    A call whose arguments do not fit is passed on, for the original to raise its TypeError.
    """
    try:
        value = bind(wrapped, args, kwargs).get(name)
    except TypeError:
        return None
    return os.fsdecode(value) if value is not None and _is_local(value) else None
