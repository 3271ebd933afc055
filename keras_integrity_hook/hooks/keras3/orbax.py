# SPDX-License-Identifier: Apache-2.0
"""What stands before Keras's use of Orbax: ``OrbaxCheckpoint`` and the loads of its checkpoints.

A checkpoint is a root directory with one directory per step, and each step has a seal of its own.
Orbax writes a step in the background and renames it into place: only then it is final, and sealed.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from keras_integrity_hook.containers.kinds import ORBAX, Place
from keras_integrity_hook.errors import AuditError, IntegrityError, RemoteError, SigningError
from keras_integrity_hook.files import location
from keras_integrity_hook.hooks import calls, weights
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.hooks.decorators import heeds_safe_mode, names_model
from keras_integrity_hook.hooks.keras3 import guards, orbax_remote, orbax_steps
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.policy import admission, refusal
from keras_integrity_hook.remote import sources, urls
from keras_integrity_hook.saving import autosign
from keras_integrity_hook.saving import pipeline as save

# ``load_weights`` decides by these endings first; only what has none of them can be a checkpoint.
_FILES = (".keras", ".h5", ".hdf5", ".weights.json")
_MARKS = ("orbax.checkpoint", "pytree.orbax-checkpoint", "checkpoint_metadata")  # as Keras has it


@names_model
def save_step(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``OrbaxCheckpoint._save_checkpoint``: seal the step once Orbax is done with it."""
    # Never two at once: the save may remove older steps, and must not meet us in one of them.
    finish_sealing(instance)
    number = str(calls.bind(wrapped, args, kwargs)["step"])
    remote = orbax_remote.root_of(instance)
    root = location.of(remote.folder if remote else instance.directory, location.TENSORFLOW)
    step = os.path.join(root.path, number)
    # What is there already was not written by this call, and is not ours to vouch for.
    ours = root.is_file and not os.path.lexists(step) and _is_primary(instance)
    if ours:
        autosign.check_key(step if remote is None else f"{urls.shown(remote.url)}/{number}")
    result = wrapped(*args, **kwargs)
    if ours:
        futures = getattr(instance, "_async_futures", None)
        wait = futures[-1].result if futures and futures[-1] else instance.checkpointer.wait
        instance._keras_integrity_sealing = _Sealing(step, wait, _seal_of(step, remote))
        if not instance.save_on_background:
            finish_sealing(instance)
    return result


def _seal_of(step: str, remote: orbax_remote.RemoteRoot | None) -> Callable[[], None]:
    """What makes the seal of ``step`` once that is final."""
    if remote is not None:
        return functools.partial(remote.put, os.path.basename(step))
    return functools.partial(save.seal_written, Place(ORBAX, step, ""), step)


def finish(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``wait_until_finished`` and ``on_train_end``: the seal is a part of a save."""
    # Before the original: in a training on many hosts the others go on when it returns.
    try:
        finish_sealing(instance)
    finally:
        result = wrapped(*args, **kwargs)
    return result


def finish_sealing(instance: Any) -> None:
    """Wait for the seal of the last step.

    Raises:
        OSError: it could not be written. SigningError: it could not be signed.
        RemoteError: it could not be put at its URL.
        AuditError: see :func:`audit.record`.
    """
    sealing: _Sealing | None = getattr(instance, "_keras_integrity_sealing", None)
    if sealing is not None:
        instance._keras_integrity_sealing = None
        sealing.finish()


@heeds_safe_mode
def load_model(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``_load_model_from_orbax_checkpoint``: hand over a root that holds the checked step alone."""
    path = calls.set_to_load(wrapped, args, kwargs)
    if path is None:
        return wrapped(*args, **kwargs)
    with _verified_root(path, _latest_step(path)) as root:
        return calls.call_with(wrapped, args, kwargs, filepath=root)


def load_weights(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``saving_api.load_weights``: it opens checkpoints of Orbax inline."""
    path = calls.set_to_load(wrapped, args, kwargs, reader=location.KERAS_WEIGHTS)
    if path is None or path.endswith(_FILES):
        return guards.load_weights(wrapped, instance, args, kwargs)
    if not _is_checkpoint(path):
        _refuse_unknown(path)
        return guards.load_weights(wrapped, instance, args, kwargs)
    if not _holds_steps(path):  # a step itself
        with load.verified_set(path, Place(ORBAX, path, "")) as checked:
            where = path if checked is None else checked.path
            return weights.all_or_nothing(wrapped, args, kwargs, lambda: {"filepath": where})
    with _verified_root(path, _latest_step(path)) as root:
        return weights.all_or_nothing(wrapped, args, kwargs, lambda: {"filepath": root})


def _latest_step(root: str) -> str:
    """The directory of the step that a load of ``root`` is about; raises Keras's ValueError.

    Orbax says which: what it does not take for final is no step.
    """
    if location.is_url(root):
        return orbax_steps.latest_at_url(root)
    from keras.src.saving.orbax_util import find_latest_orbax_checkpoint

    return str(find_latest_orbax_checkpoint(root))


@contextlib.contextmanager
def _verified_root(root: str, step: str) -> Iterator[str]:
    name = os.path.basename(step)
    with load.verified_set(step, Place(ORBAX, step, ""), below=name, named=root) as checked:
        yield root if checked is None else os.path.dirname(checked.path)


def _is_checkpoint(path: str) -> bool:
    if location.is_url(path):
        return is_checkpoint_at_url(path)
    try:
        from keras.src.saving.orbax_util import is_orbax_checkpoint
    except ImportError:  # this version of Keras only writes checkpoints
        return False
    return bool(is_orbax_checkpoint(path))


def is_checkpoint_at_url(url: str) -> bool:
    """What Keras finds out of a directory, behind a URL."""
    try:
        names = {entry.url.rpartition("/")[2] for entry in sources.listing(url)}
    except (FileNotFoundError, NotADirectoryError):
        return False
    return any(name.isdigit() for name in names) or not names.isdisjoint(_MARKS)


def _refuse_unknown(path: str) -> None:
    """Refuse what the original refuses too, unless it has become a checkpoint when that looks.

    Raises:
        UnsealedModelError: a seal is required.
    """
    try:
        admission.refuse_unsealed(path, "what is no file of weights")
    except IntegrityError as error:
        refusal.is_refused(error)
        raise


def _holds_steps(path: str) -> bool:
    return bool(orbax_steps.steps_of(path))


def _is_primary(instance: Any) -> bool:
    asked = getattr(instance, "is_primary_host", None)
    return asked is None or bool(asked())


class _Sealing:
    """Seals a step in the background, as soon as it is final; the process waits for it to end.

    Args:
        step: the directory that the step will be renamed to.
        wait: returns when Orbax is done with it, and with removing older ones.
        seal: seals it, where it is to lie.
    """

    def __init__(self, step: str, wait: Callable[[], Any], seal: Callable[[], None]) -> None:
        self._step = step
        self._wait = wait
        self._seal = seal
        self._error: OSError | AuditError | RemoteError | SigningError | None = None
        # What the user states about the model in this thread holds for its seal, too.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name="keras-integrity-seal")
        self._thread.start()

    def finish(self) -> None:
        """Return when the step is sealed; raises as :func:`finish_sealing`."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._wait()
        except Exception:  # Orbax tells the user itself; there is nothing to seal
            return
        try:
            if os.path.isdir(self._step):
                self._seal()
        except (OSError, AuditError, RemoteError, SigningError) as error:
            self._error = error
