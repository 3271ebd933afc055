# SPDX-License-Identifier: Apache-2.0
"""What stands before each wrapped function of Keras 3.

Each guard has the signature wrapt calls: ``(wrapped, instance, args, kwargs)``. In-memory objects,
remote paths and directories are passed on untouched.
"""

from __future__ import annotations

import importlib
import os
import stat
import sys
from typing import Any

from keras_integrity_hook.files import location
from keras_integrity_hook.files.location import Kind, Location, Reader
from keras_integrity_hook.hooks import calls, remote_files, weights
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.hooks.decorators import (
    deserializes_nothing,
    heeds_safe_mode,
    names_model,
)
from keras_integrity_hook.hooks.keras3 import archived_weights, hub_names, inline
from keras_integrity_hook.hooks.keras3.paths import kept_in_place, open_file, open_path
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.saving import in_progress
from keras_integrity_hook.saving import pipeline as save
from keras_integrity_hook.saving.members_in_pieces import MembersInPieces, is_digested
from keras_integrity_hook.verification import hdf5_reader


def reader_of_models() -> Reader:
    """How this version of Keras understands the argument of ``load_model``."""
    knows_hub = hasattr(sys.modules["keras.src.saving.saving_lib"], "_load_model_from_dir")
    return location.KERAS_AND_HUB if knows_hub else location.KERAS


@heeds_safe_mode
def refuse_early(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``saving_api.load_model``: it calls a truncated archive "not found"; say what it is."""
    source = calls.source_argument(wrapped, args, kwargs, reader=reader_of_models())
    path = source.path
    with load.surfacing_failures():
        if source.kind is Kind.PATH and path.endswith(".keras") and not _is_left_to_keras(path):
            # The inner function opens and checks it again; here only the structure is looked at,
            # and that Keras may open it at all: it would wait for ever on a FIFO.
            load.refuse_broken(path)
        return called_in_place(wrapped, args, kwargs, source)


@heeds_safe_mode
def load_archive(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``saving_lib.load_model``: hand over the verified archive as a file object."""
    source = _archive_source(wrapped, args, kwargs)
    if source is None:
        return wrapped(*args, **kwargs)
    if source.kind is Kind.HUB:
        with hub_names.on_hub(source.text):
            return wrapped(*args, **kwargs)
    with load.surfacing_failures():
        file = inline.handed(open_file(source), "file_utils")
        return calls.call_with(wrapped, args, kwargs, filepath=file)


def _archive_source(wrapped: Function, args: Args, kwargs: Kwargs) -> Location | None:
    """The archive to load, or the model on a hub; None for what is neither. Only a hub's name means
    no file here."""
    knows_hub = reader_of_models().hubs
    reader = location.PYTHON._replace(hubs=knows_hub)
    source = calls.source_argument(wrapped, args, kwargs, reader=reader)
    if source.kind is Kind.PATH and not source.path.endswith(".keras"):
        return None
    return source if source.is_file or source.kind is Kind.HUB else None


@deserializes_nothing
def load_weights(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``saving_api.load_weights``: restore the weights if a read is refused in the middle."""
    found = calls.location_argument(wrapped, args, kwargs, reader=location.KERAS_WEIGHTS)
    if found.kind is Kind.REMOTE and found.text.endswith("weights.json"):
        # An index of shards: the inner function fetches and checks all of them, or refuses them.
        return weights.all_or_nothing(wrapped, args, kwargs, dict)
    return load_weights_as(location.KERAS_WEIGHTS, wrapped, args, kwargs)


def load_weights_as(reader: Reader, wrapped: Function, args: Args, kwargs: Kwargs) -> Any:
    """:func:`load_weights` of a function that understands its argument as ``reader`` does."""
    source = calls.source_argument(wrapped, args, kwargs, reader=reader)
    replaced = kept_in_place(source)
    return weights.all_or_nothing(wrapped, args, kwargs, lambda: replaced)


@deserializes_nothing
def load_weights_only(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``saving_lib.load_weights_only``: an archive goes in as a file object; HDF5 through
    :func:`open_store`."""
    path = calls.path_to_load(wrapped, args, kwargs, reader=location.PYTHON)
    if path is None or not path.endswith(".keras"):
        return load_weights_as(location.KERAS_WEIGHTS, wrapped, args, kwargs)
    return weights.all_or_nothing(
        wrapped, args, kwargs, lambda: {"filepath": inline.handed(open_path(path), "zipfile")}
    )


@heeds_safe_mode
def load_legacy(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``load_model_from_hdf5``: takes an open ``h5py.File`` as well as a path; tf_keras also
    TensorFlow's file object of one."""
    source = calls.source_argument(wrapped, args, kwargs, reader=location.PYTHON)
    if not source.is_file:
        return wrapped(*args, **kwargs)
    with load.surfacing_failures(), hdf5_reader.hdf5_over(open_file(source)) as opened:
        return calls.call_with(wrapped, args, kwargs, filepath=opened)


def open_store(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``H5IOStore._get_h5_file``: reads are verified, what is written will be sealed."""
    bound = calls.bind(wrapped, args, kwargs)
    mode = bound.get("mode") or instance.mode
    source: Location | None = None
    if instance.archive:
        if mode == "r":
            _refuse_unverified_archive(instance.archive)
            member = archived_weights.in_place(instance.archive, str(bound["path_or_io"]))
            if member is not None:
                return hdf5_reader.hdf5_over(member)
        elif is_digested(instance.archive):
            instance.archive = MembersInPieces(instance.archive)
    elif mode != "w" or type(instance).__name__ == "H5IOStore" or in_progress.is_saving():
        # Not what a store of shards opens again after it was closed, to add to it.
        source = location.of(bound["path_or_io"], location.PYTHON)
    return inline.hdf5(source, mode, lambda: wrapped(*args, **kwargs))


def _refuse_unverified_archive(archive: Any) -> None:
    """An archive of a guarded load is a verified file of ours; one that the program has opened by
    itself has had no check."""
    source = location.of(archive, location.PYTHON)
    if source.kind is Kind.OPEN_FILE:
        source = source._replace(kind=Kind.UNVERIFIABLE)
    calls.refuse_uncheckable(source)


@names_model
def save_archive(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``saving_lib.save_model``: only zipped archives are single files."""
    path = remote_files.destination(wrapped, args, kwargs)
    zipped = calls.bind(wrapped, args, kwargs).get("zipped", True)
    if path is None or not zipped or not path.endswith(".keras"):
        return wrapped(*args, **kwargs)

    def write(where: str) -> Any:
        # Versions that do not take one open the path, see inline.open_archive.
        takes_files = hasattr(sys.modules[wrapped.__module__], "_save_model_to_fileobj")
        file = in_progress.created(where) if takes_files else None
        if file is None:
            return calls.call_with(wrapped, args, kwargs, filepath=where)
        with inline.buffered(file) as buffered:
            return calls.call_with(wrapped, args, kwargs, filepath=buffered)

    return save.save_sealed(path, write, digested=True)


@names_model
def save_weights_only(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``saving_lib.save_weights_only``: one HDF5 file, unless it is sharded."""
    path = remote_files.destination(wrapped, args, kwargs)
    bound = calls.bind(wrapped, args, kwargs)
    single = bound.get("max_shard_size") is None and bound["model"].built
    if path is None or not single or not path.endswith(".weights.h5"):
        return wrapped(*args, **kwargs)
    return save.save_sealed(
        path,
        lambda where: calls.call_with(wrapped, args, kwargs, filepath=where),
        user_block=weights.user_block(bound["model"]),
        digested=weights.are_large(bound["model"]),
    )


@names_model
def save_legacy(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``save_model_to_hdf5``: give it an ``h5py.File`` that has a user block."""
    path = remote_files.destination(wrapped, args, kwargs)
    bound = calls.bind(wrapped, args, kwargs)
    if path is None:
        return wrapped(*args, **kwargs)
    asks = not bound.get("overwrite", True) and os.path.isfile(path)
    if asks and not may_overwrite(wrapped, path):
        return None
    if os.path.dirname(path) and not location.is_url(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)  # as the original does

    def write(where: str) -> Any:
        import h5py

        room = in_progress.user_block_for(where)
        file = in_progress.created(where) or where
        with h5py.File(file, mode="w", userblock_size=room) as opened:
            return calls.call_with(wrapped, args, kwargs, filepath=opened)

    block, large = weights.user_block(bound["model"]), weights.are_large(bound["model"])
    return save.save_sealed(path, write, user_block=block, digested=large)


def called_in_place(wrapped: Function, args: Args, kwargs: Kwargs, source: Location) -> Any:
    """Call what loads from ``source``, see :func:`paths.kept_in_place`."""
    replaced = kept_in_place(source)
    if not replaced:
        return wrapped(*args, **kwargs)
    return calls.call_with(wrapped, args, kwargs, **replaced)


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


def may_overwrite(wrapped: Function, path: str) -> bool:
    """Ask as the package of ``wrapped`` does before it overwrites ``path``.

    The original would not ask: nothing is at the private path it is given.
    """
    package = wrapped.__module__.partition(".")[0]
    keras = "tensorflow.python.keras" if package == "tensorflow" else f"{package}.src"
    utilities = importlib.import_module(f"{keras}.utils.io_utils")
    return bool(utilities.ask_to_proceed_with_overwrite(path))
