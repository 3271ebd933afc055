# SPDX-License-Identifier: Apache-2.0
"""What stands before ``BackupAndRestore``: its weights and their training metadata, as one pair.

The weights have a seal of their own. The seal of the pair is there for the metadata (which epoch
to go on with), and so that weights of another run cannot be put beside it. With
``double_checkpoint`` the pair before is kept, its seal with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

from keras_integrity_hook import audit, notices
from keras_integrity_hook.containers.kinds import KERAS_BACKUP, Place
from keras_integrity_hook.errors import (
    ConfigurationError,
    IntegrityError,
)
from keras_integrity_hook.files import location
from keras_integrity_hook.files.location import Kind
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.hooks.decorators import names_model
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.policy import admission, refusal
from keras_integrity_hook.remote import sources, spool, upload
from keras_integrity_hook.saving import commit
from keras_integrity_hook.saving import pipeline as save


class DamagedBackupError(OSError):
    """Tells Keras, which falls back on an OSError alone, to go back to the pair before.

    Attributes:
        refusal: what was wrong with the latest pair.
    """

    def __init__(self, refusal: IntegrityError) -> None:
        super().__init__(refusal.in_one_line())
        self.refusal = refusal


@names_model
def save_pair(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``_save_model``: write the pair beside the old one, seal it, and put it in place."""
    metadata = instance._training_metadata_path
    folder = os.path.dirname(metadata)
    if not _is_remote(metadata):
        os.makedirs(folder, exist_ok=True)  # as the original does
        if not os.access(folder, os.W_OK):
            return wrapped(*args, **kwargs)  # its files can be overwritten, but no seal be placed

    def write(where: str) -> Any:
        with _looking_at(instance, os.path.dirname(where)):
            return wrapped(*args, **kwargs)

    if getattr(instance, "double_checkpoint", False):
        _keep_previous(instance)
    return save.save_files_sealed(metadata, KERAS_BACKUP, write)


def resume(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``on_train_begin``: up to Keras 3.7 it loads itself, since then by ``_load_model``."""
    if not hasattr(instance, "_load_model"):
        return _load(wrapped, instance, args, kwargs)
    try:
        return wrapped(*args, **kwargs)
    except DamagedBackupError as error:  # the pair before is no better
        raise error.refusal from None


def load_pair(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``_load_model``: Keras calls it again for the pair before, if there is one.

    Raises:
        DamagedBackupError: damaged, and a sealed pair is there to fall back to.
        IntegrityError: damaged, and there is none.
    """
    try:
        return _load(wrapped, instance, args, kwargs)
    except ConfigurationError:
        raise
    except IntegrityError as error:
        # Damage is answered with what has a seal, or not at all.
        if not _exists(_seal_of(instance._prev_training_metadata_path)):
            raise
        _bring_seal_back(instance)
        earlier = instance._prev_training_metadata_path
        metadata = instance._training_metadata_path
        audit.record("fallback", metadata, outcome="retried", instead=earlier, error=error)
        notices.warn(f"trying the backup before: {error.in_one_line()}")
        if not _is_remote(metadata):
            raise DamagedBackupError(error) from error
        # Keras's own copy appends to what is there in TensorFlow's ram://.
        _copy_if_there(instance._prev_weights_path, instance._weights_path)
        _copy_if_there(earlier, metadata)
        try:
            return _load(wrapped, instance, args, kwargs)
        except IntegrityError:  # the pair before is no better
            raise error from None
    except OSError:
        if _exists(instance._prev_weights_path):
            _bring_seal_back(instance)
        raise


def _load(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    metadata = instance._training_metadata_path
    folder, name = os.path.split(metadata)
    place = Place(KERAS_BACKUP, folder or ".", name)
    if not _is_remote(metadata):
        commit.finish_interrupted(place)
    if not _exists(metadata):
        return wrapped(*args, **kwargs)  # the weights, if any, have a seal of their own
    if not _exists(_seal_of(metadata)):
        # What an older version or a kill between two renames left; the weights say the rest.
        try:
            admission.refuse_unsealed(metadata, "the training metadata")
        except IntegrityError as error:
            refusal.is_refused(error)
            raise
        return wrapped(*args, **kwargs)
    with load.verified_set(metadata, place) as checked:
        if checked is None:
            return wrapped(*args, **kwargs)
        with _looking_at(instance, checked.path):
            return wrapped(*args, **kwargs)


@contextlib.contextmanager
def _looking_at(instance: Any, folder: str) -> Iterator[None]:
    """Let the callback find its two files in ``folder``."""
    weights, metadata = instance._weights_path, instance._training_metadata_path
    instance._weights_path = os.path.join(folder, os.path.basename(weights))
    instance._training_metadata_path = os.path.join(folder, os.path.basename(metadata))
    try:
        yield
    finally:
        instance._weights_path, instance._training_metadata_path = weights, metadata


def _keep_previous(instance: Any) -> None:
    """What Keras does itself where it finds the files, and the seal of the pair along with them."""
    metadata, kept = instance._training_metadata_path, instance._prev_training_metadata_path
    _remove(_seal_of(kept))  # never an old seal beside a new pair, however this ends
    _copy_if_there(instance._weights_path, instance._prev_weights_path)
    _copy_if_there(metadata, kept)
    _copy_if_there(_seal_of(metadata), _seal_of(kept))


def _bring_seal_back(instance: Any) -> None:
    """Keras is about to copy the pair before over the latest: its seal goes first.

    A kill in between leaves a pair that does not match its seal, which falls back again.
    """
    target = _seal_of(instance._training_metadata_path)
    _remove(target)
    _copy_if_there(_seal_of(instance._prev_training_metadata_path), target)


def _seal_of(metadata: str) -> str:
    return metadata + KERAS_BACKUP.seal


def _is_remote(path: str) -> bool:
    return location.of(path, location.TENSORFLOW).kind is Kind.REMOTE


def _exists(path: str) -> bool:
    return sources.exists(path) if _is_remote(path) else os.path.lexists(path)


def _copy_if_there(source: str, target: str) -> None:
    if not _is_remote(source):
        if os.path.exists(source):
            shutil.copy(source, target)
        return
    with (
        contextlib.suppress(FileNotFoundError),
        sources.open_source(source) as opened,
        spool.fetched(opened) as local,
    ):
        upload.put(local, target)


def _remove(path: str) -> None:
    if _is_remote(path):
        upload.remove(path)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
