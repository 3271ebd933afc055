# SPDX-License-Identifier: Apache-2.0
"""What stands before the functions of Keras 3 that read and write more than one file."""

from __future__ import annotations

import errno
import os
from typing import Any

from keras_integrity_hook.containers.kinds import KERAS_DIRECTORY, KERAS_SHARDS, Place
from keras_integrity_hook.files import location
from keras_integrity_hook.files.location import Kind
from keras_integrity_hook.hooks import calls, weights
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.hooks.decorators import (
    deserializes_nothing,
    heeds_safe_mode,
    names_model,
)
from keras_integrity_hook.hooks.keras3 import guards
from keras_integrity_hook.hooks.keras3.hub_names import called_as_on_hub
from keras_integrity_hook.hooks.keras3.members import checked_with_its_set
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.saving import pipeline as save
from keras_integrity_hook.verification import verified_directory

_ASSETS = "assets/"


@heeds_safe_mode
def load_directory(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``_load_model_from_dir``: an unzipped model, or what was downloaded from a hub."""
    path = calls.set_to_load(wrapped, args, kwargs, "dirpath", location.KERAS)
    # What an outer function was given a URL for is fetched and checked.
    if path is None or verified_directory.is_verified(path):
        return wrapped(*args, **kwargs)
    if not location.is_url(path) and not os.path.isdir(path):
        # Keras's own words. It is not asked: it might find one that has appeared meanwhile.
        raise ValueError(f"Path isn't a directory: {path}")
    with (
        called_as_on_hub(path) as name,
        load.verified_set(name, Place(KERAS_DIRECTORY, path, "")) as checked,
    ):
        where = path if checked is None else checked.path
        with load.surfacing_failures():
            model = calls.call_with(wrapped, args, kwargs, dirpath=where)
        if checked is not None and any(name.startswith(_ASSETS) for name in checked.names):
            # A layer may keep the path its assets were loaded from.
            checked.outlive(model, _ASSETS)
        return model


@names_model
def save_directory(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``_save_model_to_dir``: an unzipped model, or what is about to be uploaded to a hub."""
    path = calls.set_argument(wrapped, args, kwargs, "dirpath")
    if path is None:
        return wrapped(*args, **kwargs)
    return save.save_directory_sealed(
        path,
        KERAS_DIRECTORY,
        lambda where: calls.call_with(wrapped, args, kwargs, dirpath=where),
    )


@deserializes_nothing
def load_weights_only(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``saving_lib.load_weights_only``: an index of shards with its shards, or one file."""
    path = _shards_to_load(wrapped, args, kwargs)
    if path is None or not path.endswith("weights.json") or verified_directory.is_verified(path):
        with checked_with_its_set(path) as where:
            if where == path:
                return guards.load_weights_only(wrapped, instance, args, kwargs)
            return weights.all_or_nothing(wrapped, args, kwargs, lambda: {"filepath": where})
    if not location.is_url(path) and not os.path.lexists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    folder, name = os.path.split(path)
    with load.verified_set(path, Place(KERAS_SHARDS, folder or ".", name)) as checked:
        where = path if checked is None else os.path.join(checked.path, name)
        return weights.all_or_nothing(wrapped, args, kwargs, lambda: {"filepath": where})


@names_model
def save_weights_only(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``saving_lib.save_weights_only``: sharded, or one file."""
    path = calls.set_argument(wrapped, args, kwargs, reader=location.KERAS)
    shard_size = calls.bind(wrapped, args, kwargs).get("max_shard_size") if path else None
    if path is None or shard_size is None or not path.endswith(("weights.h5", "weights.json")):
        return guards.save_weights_only(wrapped, instance, args, kwargs)
    suffix = os.path.splitext(path)[1]  # Keras warns of one that is not .json, and replaces it

    def write(index: str) -> Any:
        # So spelt that Keras does not take it for remote: of that it would copy the index alone.
        where = location.of(os.path.splitext(index)[0] + suffix, location.KERAS_WEIGHTS)
        return calls.call_with(wrapped, args, kwargs, filepath=where.in_place)

    return save.save_files_sealed(os.path.splitext(path)[0] + ".json", KERAS_SHARDS, write)


def _shards_to_load(wrapped: Function, args: Args, kwargs: Kwargs) -> str | None:
    """The path of what is loaded, or the URL of an index of shards; a single file's is looked at
    by the guard that is for those."""
    found = calls.location_argument(wrapped, args, kwargs, reader=location.KERAS)
    if found.kind is Kind.REMOTE and found.text.endswith("weights.json"):
        return found.text
    return calls.path_to_load(wrapped, args, kwargs, reader=location.PYTHON)
