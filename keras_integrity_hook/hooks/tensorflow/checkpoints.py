# SPDX-License-Identifier: Apache-2.0
"""What stands before the functions of TensorFlow that read and write checkpoints."""

from __future__ import annotations

import glob
import os
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Any, NamedTuple

from keras_integrity_hook import audit, settings
from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.kinds import (
    SAVED_MODEL,
    TF_CHECKPOINT,
    Place,
)
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files import location
from keras_integrity_hook.history import moves
from keras_integrity_hook.hooks import calls
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.policy import admission, refusal
from keras_integrity_hook.remote import sources
from keras_integrity_hook.saving import pipeline as saving
from keras_integrity_hook.verification import verified_directory
from keras_integrity_hook.verification.verified_directory import VerifiedDirectory

_VARIABLES = os.path.join("variables", "variables")
_TABLE_MAGIC = bytes.fromhex("57fb808b247547db")  # ends every file of a TensorFlow 1 checkpoint
_SEAL_A_COPY = "Copy it to a local path, and give it a seal there: 'keras-integrity seal PATH'."
_readers: ContextVar[ExitStack | None] = ContextVar("_readers", default=None)


class Source(NamedTuple):
    """A checkpoint to be read.

    Attributes:
        path: as errors name it.
        place: the set to check; for a SavedModel's variables the whole model.
        below: what to hand over, relative to the set's directory.
    """

    path: str
    place: Place
    below: str


def checkpoint_at(path: str) -> Source | None:
    """The checkpoint with the prefix ``path``, None where there is none (or a TensorFlow 1 one)."""
    exists = sources.exists if location.is_url(path) else os.path.lexists
    if not any(exists(path + end) for end in (".index", TF_CHECKPOINT.seal)):
        return None
    parent, stem = os.path.split(path)
    outer = os.path.dirname(parent) or "."
    if os.path.join(os.path.basename(parent), stem) == _VARIABLES:
        model = saved_model_at(outer)
        if model is not None:
            return model._replace(below=_VARIABLES)
    return Source(path, Place(TF_CHECKPOINT, parent or ".", stem), stem)


def saved_model_at(path: str) -> Source | None:
    """The SavedModel whose directory is ``path``, None for anything else."""
    if location.is_url(path):
        return _saved_model_at_url(path.rstrip("/"))
    place = recognition.recognise(path)
    return Source(path, place, "") if place is not None and place.kind is SAVED_MODEL else None


def _saved_model_at_url(url: str) -> Source | None:
    heads = [f"{url}/{name}" for name in SAVED_MODEL.heads]
    if not any(map(sources.exists, [*heads, f"{url}/{SAVED_MODEL.seal}"])):
        return None
    return Source(url, Place(SAVED_MODEL, url, ""), "")


def restore(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``TrackableSaver.restore``: every object-based restore comes through it."""
    path = _unverified(wrapped, args, kwargs, "save_path")
    if path is None:
        return wrapped(*args, **kwargs)
    source = checkpoint_at(path)
    if source is None:
        _admit_version_1(path)
        return wrapped(*args, **kwargs)
    return restoring(wrapped, args, kwargs, "save_path", source)


def restore_outer(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``Checkpoint.restore``: takes SavedModels too, and reads its counter of saves at the end."""
    path = _unverified(wrapped, args, kwargs, "save_path")
    if path is None:
        return wrapped(*args, **kwargs)
    # A save in another thread may still be writing what is to be read.
    getattr(instance, "sync", lambda: None)()
    source = saved_model_at(path) or checkpoint_at(path)
    if source is None:
        return wrapped(*args, **kwargs)  # the inner function finds out what it is
    return restoring(wrapped, args, kwargs, "save_path", source)


def restoring(wrapped: Function, args: Args, kwargs: Kwargs, argument: str, source: Source) -> Any:
    """Call what restores objects and returns a status, with the checked files of ``source``.

    Args:
        argument: the name of the path's argument.

    Raises:
        IntegrityError: one of its kinds.
    """
    with load.verified_set(source.path, source.place) as checked:
        if checked is None:
            return wrapped(*args, **kwargs)
        where = os.path.join(checked.path, source.below).rstrip(os.sep)
        status = calls.call_with(wrapped, args, kwargs, **{argument: where})
        _finish()
        _keep_what_is_read_later(checked, status)
        return status


def restore_by_name(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``Saver.restore`` of TensorFlow 1: reads everything before it returns."""
    path = _unverified(wrapped, args, kwargs, "save_path")
    if path is None:
        return wrapped(*args, **kwargs)
    source = checkpoint_at(path)
    if source is None:
        if not location.is_url(path) and not os.path.lexists(path) and not glob.glob(path):
            # The original's words. It is not asked: it might find what has appeared meanwhile.
            raise ValueError(f"The passed save_path is not a valid checkpoint: {path}")
        _admit_version_1(path)
        return wrapped(*args, **kwargs)
    with load.verified_set(source.path, source.place) as checked:
        if checked is None:
            return wrapped(*args, **kwargs)
        where = os.path.join(checked.path, source.below)
        return calls.call_with(wrapped, args, kwargs, save_path=where)


def open_reader(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``NewCheckpointReader``: opens the index now, and data when it is asked for it."""
    path = calls.set_to_load(wrapped, args, kwargs, "filepattern")
    if path is None or verified_directory.is_verified(path):
        return wrapped(*args, **kwargs)
    source = checkpoint_at(path)
    if source is None:
        _admit_version_1(path)
        return wrapped(*args, **kwargs)
    outer = _readers.get()
    with ExitStack() as stack:
        checked = (outer or stack).enter_context(load.verified_set(source.path, source.place))
        if checked is None:
            return wrapped(*args, **kwargs)
        where = os.path.join(checked.path, source.below)
        reader = calls.call_with(wrapped, args, kwargs, filepattern=where)
        if outer is None:
            checked.outlive(reader)
        return reader


def read_at_once(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``list_variables`` and the like: their reader ends with the call and needs no copies."""
    with ExitStack() as stack:
        token = _readers.set(stack)
        try:
            return wrapped(*args, **kwargs)
        finally:
            _readers.reset(token)


def save(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``TrackableSaver.save``: everything but TensorFlow 1's ``Saver`` comes through it."""
    path = calls.set_argument(wrapped, args, kwargs, "file_prefix")
    if path is None:
        return wrapped(*args, **kwargs)
    bound = calls.bind(wrapped, args, kwargs)
    number = bound.get("checkpoint_number")
    if number:
        path = f"{path}-{int(number)}"
    hindrance = _hindrance(path, bound.get("options"))
    if hindrance:
        written = wrapped(*args, **kwargs)
        audit.record("save", path, outcome="unsealed", why=hindrance)
        moves.left_unsealed(path, settings.for_save(path))
        return written
    if not location.is_url(path):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)  # as the original does

    def write(where: str) -> Any:
        replaced = {"file_prefix": where, "checkpoint_number": None}
        written = calls.call_with(wrapped, args, kwargs, **replaced)
        _finish()
        return written

    return _naming(saving.save_files_sealed(path, TF_CHECKPOINT, write), path)


def delete(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``_delete_file_if_exists``: with its index a checkpoint's seal goes too."""
    wrapped(*args, **kwargs)
    path = calls.set_argument(wrapped, args, kwargs, "filespec")
    if path is not None and path.endswith(".index"):
        wrapped(path.removesuffix(".index") + TF_CHECKPOINT.seal)


def _unverified(wrapped: Function, args: Args, kwargs: Kwargs, argument: str) -> str | None:
    """The path or the URL in ``argument`` if it is to be checked."""
    path = calls.set_to_load(wrapped, args, kwargs, argument)
    if path is None or verified_directory.is_verified(path):
        return None
    if _is_elsewhere(calls.bind(wrapped, args, kwargs).get("options")):
        admission.refuse_unsealed(path, "what another machine reads")
        audit.record("load", path, outcome="unchecked", why="another machine reads it")
        return None
    return path


def _admit_version_1(path: str) -> None:
    """There is no index at ``path``. A TensorFlow 1 file, or pattern of files, has no seal.

    What is no such file the original refuses, unless an index has appeared when it looks.

    Raises:
        tensorflow.errors.NotFoundError: the original's; it is not called, it might find what has
            appeared meanwhile.
        UnsealedModelError: a seal is required; or StrippedModelError, one was there before.
    """
    if location.is_url(path):
        if glob.has_magic(path) or sources.exists(path):
            cause = "a seal is required, and a checkpoint of TensorFlow 1 has none"
            return admission.refuse_uncheckable(path, cause, _SEAL_A_COPY)
        found = []
    else:
        found = [path] if os.path.lexists(path) else glob.glob(path)
    if not found:
        from tensorflow.python.framework import errors_impl

        raise errors_impl.NotFoundError(
            None,
            None,
            "Unsuccessful TensorSliceReader constructor: "
            f"Failed to find any matching files for {path}",
        )
    try:
        admission.refuse_unsealed(path)
        admission.refuse_stripped(path)
    except IntegrityError as error:
        refusal.is_refused(error)
        raise
    if any(_is_table(name) for name in found):
        admission.warn_unsealed(path)
    return None


def _is_table(path: str) -> bool:
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - len(_TABLE_MAGIC)))
        return file.read() == _TABLE_MAGIC


def _keep_what_is_read_later(checked: VerifiedDirectory, status: Any) -> None:
    """Variables created later, and graphs run later, are restored from the same path."""
    owner = getattr(status, "_checkpoint", status)
    if owner is not None and not _is_consumed(owner):
        checked.outlive(owner, *({"variables"} & {os.path.dirname(n) for n in checked.names}))


def _is_consumed(coordinator: Any) -> bool:
    """Whether every value in the checkpoint has found its object."""
    from tensorflow.python.eager import context

    graph = getattr(coordinator, "object_graph_proto", None)
    if graph is None or not context.executing_eagerly():
        return False
    if coordinator.slot_restorations or coordinator.deferred_slot_restorations:
        return False
    holding = (
        number
        for number, node in enumerate(graph.nodes)
        if node.children
        or node.attributes
        or node.slot_variables
        or node.HasField("registered_saver")
    )
    return bool(coordinator.matched_proto_ids.issuperset(holding))


def _hindrance(path: str, options: Any) -> str | None:
    """Why a checkpoint saved to ``path`` cannot be sealed, None where it can."""
    from tensorflow.python.framework import ops

    if ops.inside_function():
        return "a graph holds the path and writes later"
    if _is_elsewhere(options):
        return "another machine writes it"
    return None if os.path.basename(path) else "its prefix has no name"


def _is_elsewhere(options: Any) -> bool:
    device = str(getattr(options, "experimental_io_device", None) or "")
    return "job:" in device and "job:localhost" not in device


def _finish() -> None:
    """Wait for operations that TensorFlow was told to run in the background."""
    from tensorflow.python.eager import context

    if context.executing_eagerly():
        context.async_wait()


def _naming(written: Any, path: str) -> Any:
    """What a save returns, the path it wrote to, with the user's path."""
    from tensorflow.python.framework import constant_op, ops, tensor_util

    if not tensor_util.is_tf_type(written):
        return os.fsencode(path)
    with ops.device("/cpu:0"):
        return constant_op.constant(path)
