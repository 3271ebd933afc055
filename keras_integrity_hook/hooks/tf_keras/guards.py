# SPDX-License-Identifier: Apache-2.0
"""What stands before the functions of tf_keras that differ from those of Keras 3."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from keras_integrity_hook.containers.kinds import SAVED_MODEL, Place
from keras_integrity_hook.files import location
from keras_integrity_hook.hooks import calls, remote_files, weights
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.hooks.decorators import (
    deserializes_nothing,
    heeds_safe_mode,
    names_model,
)
from keras_integrity_hook.hooks.keras3 import guards, inline, paths
from keras_integrity_hook.hooks.tensorflow import checkpoints, logs, saved_model
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.saving import pipeline as save
from keras_integrity_hook.verification import verified_directory

_HDF5_FORMATS = ("h5", "hdf5", "keras")
_HDF5_SUFFIXES = (".h5", ".keras", ".hdf5")


@heeds_safe_mode
def refuse_early(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``saving_api.load_model``: it takes a truncated archive for HDF5; say what it is."""
    source = calls.source_argument(wrapped, args, kwargs, reader=location.TF_KERAS)
    path = source.path
    with load.surfacing_failures():
        # A directory of that name may be a SavedModel.
        if path.endswith(".keras") and os.path.lexists(path) and not os.path.isdir(path):
            load.refuse_broken(path)
        return guards.called_in_place(wrapped, args, kwargs, source)


@deserializes_nothing
def load_weights(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``saving_api.load_weights``."""
    return guards.load_weights_as(location.TF_KERAS, wrapped, args, kwargs)


@heeds_safe_mode
def load_archive(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``saving_lib.load_model``: :func:`open_archive` opens the verified archive."""
    with load.surfacing_failures():
        return wrapped(*args, **kwargs)


@deserializes_nothing
def load_legacy_weights(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``legacy.save.load_weights``, and the method it was: HDF5 opened inline, a checkpoint, or a
    SavedModel's."""
    path = calls.set_to_load(wrapped, args, kwargs)
    if path is None or path.endswith(_HDF5_SUFFIXES):
        return weights.all_or_nothing(wrapped, args, kwargs, model=instance)
    source = checkpoints.checkpoint_at(path) or checkpoints.saved_model_at(path)
    if source is None:  # HDF5 under another name, or nothing
        return weights.all_or_nothing(wrapped, args, kwargs, model=instance)
    return checkpoints.restoring(wrapped, args, kwargs, "filepath", source)


@names_model
def save_legacy_weights(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``legacy.save.save_weights``, and the method it was: HDF5 opened inline; checkpoints are
    TensorFlow's business."""
    path = calls.path_argument(wrapped, args, kwargs)
    bound = calls.bind(wrapped, args, kwargs)
    if path is None or not _is_hdf5(path, bound.get("save_format")):
        return wrapped(*args, **kwargs)
    model = bound["model"] if instance is None else instance
    if not bound.get("overwrite", True) and os.path.isfile(path):
        model._assert_weights_created()  # before the question, as the original does
        if not guards.may_overwrite(wrapped, path):
            return None
    return save.save_sealed(
        path,
        lambda where: calls.call_with(wrapped, args, kwargs, filepath=where, overwrite=True),
        user_block=weights.user_block(model),
        digested=weights.are_large(model),
    )


@heeds_safe_mode
def load_saved_model(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``legacy.saved_model.load.load``: reads Keras's own file, then calls TensorFlow's loader."""
    path = calls.set_to_load(wrapped, args, kwargs, "path")
    if path is None or verified_directory.is_verified(path):
        return wrapped(*args, **kwargs)
    saved_model.refuse_missing(path)
    with load.verified_set(path, Place(SAVED_MODEL, path, "")) as checked:
        if checked is None:
            return wrapped(*args, **kwargs)
        loaded = calls.call_with(wrapped, args, kwargs, path=checked.path)
        saved_model.keep_what_is_read_later(checked, {"root": loaded})
        return loaded


@names_model
def save_saved_model(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``legacy.saved_model.save.save``: TensorFlow's save, and then one file more."""
    path = calls.set_argument(wrapped, args, kwargs)
    if path is None:
        return wrapped(*args, **kwargs)
    overwrite = calls.bind(wrapped, args, kwargs).get("overwrite", True)
    if not overwrite and os.path.exists(path) and not guards.may_overwrite(wrapped, path):
        return None

    def write(where: str) -> Any:
        with logs.speaking_of(path, where):
            return calls.call_with(wrapped, args, kwargs, filepath=where, overwrite=True)

    return save.save_directory_sealed(path, SAVED_MODEL, write)


@names_model
def save_remote_model(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``saving_api.save_model``: it copies to a URL whatever there is when the save ends, also
    where that failed. What it writes here is sealed and put there as a whole."""
    asked = calls.bind(wrapped, args, kwargs).get("save_format")
    return _save_remote(wrapped, args, kwargs, lambda lib, path: lib.get_save_format(path, asked))


@names_model
def save_remote_weights(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``saving_api.save_weights``, likewise."""
    return _save_remote(wrapped, args, kwargs, lambda lib, path: lib.get_save_weights_format(path))


def _save_remote(
    wrapped: Function, args: Args, kwargs: Kwargs, format_of: Callable[[Any, str], str]
) -> Any:
    url = remote_files.destination(wrapped, args, kwargs)
    if url is None or not location.is_url(url):
        return wrapped(*args, **kwargs)
    saved_as = format_of(sys.modules[wrapped.__module__], url)
    if saved_as == "tf":
        return wrapped(*args, **kwargs)
    bound = calls.bind(wrapped, args, kwargs)
    if not bound.get("overwrite", True):
        remote_files.refuse_existing(url)
    return save.save_sealed(
        url,
        lambda where: calls.call_with(wrapped, args, kwargs, filepath=where),
        user_block=weights.user_block(bound["model"]) if saved_as == "h5" else 0,
    )


def open_archive(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``zipfile.ZipFile(file, mode)``: an archive opened for reading is verified."""
    mode = args[1] if len(args) > 1 else kwargs.get("mode", "r")
    if mode != "r" or not args:
        return wrapped(*inline.created(args, kwargs), **kwargs)
    source = location.of(args[0], location.PYTHON)
    calls.refuse_uncheckable(source)
    if not source.is_file:
        return wrapped(*args, **kwargs)
    # The guard of the function we are in closes it.
    return wrapped(paths.open_file(source), *args[1:], **kwargs)


def _is_hdf5(path: str, save_format: Any) -> bool:
    if save_format is None:
        return path.endswith(_HDF5_SUFFIXES)
    return str(save_format).lower().strip() in _HDF5_FORMATS
