# SPDX-License-Identifier: Apache-2.0
"""What stands before the functions of TensorFlow that read and write SavedModels."""

from __future__ import annotations

import os
from typing import Any

from keras_integrity_hook.containers.kinds import SAVED_MODEL, Place
from keras_integrity_hook.contracts import stated
from keras_integrity_hook.files import location
from keras_integrity_hook.hooks import calls
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.hooks.decorators import deserializes_nothing
from keras_integrity_hook.hooks.tensorflow import logs, remote_builder
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.saving import pipeline as save
from keras_integrity_hook.verification import verified_directory
from keras_integrity_hook.verification.verified_directory import VerifiedDirectory

_ASSETS = "assets/"


@deserializes_nothing
def load_saved_model(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``load_partial``: everything that loads a SavedModel of TensorFlow 2."""
    path = _unverified(wrapped, args, kwargs)
    if path is None:
        return wrapped(*args, **kwargs)
    with load.verified_set(path, Place(SAVED_MODEL, path, "")) as checked:
        if checked is None:
            return wrapped(*args, **kwargs)
        loaded = calls.call_with(wrapped, args, kwargs, export_dir=checked.path)
        keep_what_is_read_later(checked, loaded)
        return loaded


def save_saved_model(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``save_and_return_nodes``: everything that saves a SavedModel of TensorFlow 2."""
    path = calls.set_argument(wrapped, args, kwargs, "export_dir")
    if path is None:
        return wrapped(*args, **kwargs)

    def write(where: str) -> Any:
        with logs.speaking_of(path, where):
            return calls.call_with(wrapped, args, kwargs, export_dir=where)

    with stated.kept_of(calls.bind(wrapped, args, kwargs).get("obj")):
        return save.save_directory_sealed(path, SAVED_MODEL, write)


@deserializes_nothing
def init_v1_loader(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``SavedModelLoader``: parses the model now and reads its variables later."""
    path = _unverified(wrapped, args, kwargs)
    if path is None:
        return wrapped(*args, **kwargs)
    with load.verified_set(path, Place(SAVED_MODEL, path, "")) as checked:
        if checked is None:
            return wrapped(*args, **kwargs)
        calls.call_with(wrapped, args, kwargs, export_dir=checked.path)
        return checked.outlive(instance)


@deserializes_nothing
def convert_saved_model(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``TFLiteConverter.from_saved_model``: loads the model now; C++ reads it again to convert."""
    path = _unverified(wrapped, args, kwargs, "saved_model_dir")
    if path is None:
        return wrapped(*args, **kwargs)
    with load.verified_set(path, Place(SAVED_MODEL, path, "")) as checked:
        if checked is None:
            return wrapped(*args, **kwargs)
        converter = calls.call_with(wrapped, args, kwargs, saved_model_dir=checked.path)
        checked.outlive(converter)
        return converter


def init_v1_builder(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``_SavedModelBuilder``: note the directory that :func:`save_v1_builder` has to seal."""
    path = calls.set_argument(wrapped, args, kwargs, "export_dir")
    if path is not None and location.is_url(path):
        remote_builder.begin(wrapped, instance, args, kwargs, path)
    else:
        wrapped(*args, **kwargs)
    instance._keras_integrity_path = path


def save_v1_builder(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``_SavedModelBuilder.save``: its last step; the variables were written before."""
    path = getattr(instance, "_keras_integrity_path", None)
    if path is not None and location.is_url(path):
        return remote_builder.finish(wrapped, instance, args, kwargs, path)
    written = wrapped(*args, **kwargs)
    if path is not None:
        save.seal_written(Place(SAVED_MODEL, path, ""), path)
    return written


def _unverified(
    wrapped: Function, args: Args, kwargs: Kwargs, argument: str = "export_dir"
) -> str | None:
    """The path or the URL of a SavedModel that is not one of our own checked copies."""
    path = calls.set_to_load(wrapped, args, kwargs, argument)
    if path is None or verified_directory.is_verified(path):
        return None
    refuse_missing(path)
    return path


def refuse_missing(path: str) -> None:
    """Raise TensorFlow's OSError where no directory is at ``path``; a URL's is looked for when it
    is fetched.

    TensorFlow is not asked to: it might find what has appeared meanwhile, which nobody checked.
    """
    if not location.is_url(path) and not os.path.isdir(path):
        raise OSError(
            f"SavedModel file does not exist at: {path}{os.sep}{{saved_model.pbtxt|saved_model.pb}}"
        )


def keep_what_is_read_later(checked: VerifiedDirectory, loaded: dict[str, Any]) -> None:
    """Let the files live on that ``loaded``, what TensorFlow's loader returned, still needs."""
    from tensorflow.python.eager import context
    from tensorflow.python.framework import ops

    with ops.init_scope():
        if not context.executing_eagerly():
            # The variables are read when a session runs the operations that hold the path.
            return checked.outlive(ops.get_default_graph())
    if any(name.startswith(_ASSETS) for name in checked.names):
        # A function may read an asset when it runs, and a model that is exported again copies its
        # assets from where it was loaded; either may be all that the program keeps.
        owner = _Owner()
        for one in loaded.values():
            for holder in (one, *getattr(one, "signatures", {}).values()):
                object.__setattr__(holder, "_keras_integrity_assets", owner)
        checked.outlive(owner, _ASSETS)
    return None


class _Owner:
    """What keeps assets: it lives as long as one of the objects that may read them."""
