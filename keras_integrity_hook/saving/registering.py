# SPDX-License-Identifier: Apache-2.0
"""Register what is saved, where the settings want that: in the background, and never in the way.

A save leaves a task on the disk (``registry.client.spool``) and is done. A thread of the process
works the tasks off, those of earlier processes too: it makes the event, signs it with the key that
has signed the seal, and hands it in, again and again while the registry does not answer. What is
left when the process ends is done by the next one, or by ``keras-integrity registry flush``.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from keras_integrity_hook import audit, notices
from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.model_file import ModelFile, SealedModel
from keras_integrity_hook.containers.opening import open_set
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    ConfigurationError,
    DamagedFileError,
    EventRefusedError,
    IntegrityError,
    MalformedEventError,
    RegistryError,
    RemoteError,
    printable,
)
from keras_integrity_hook.files import location
from keras_integrity_hook.saving import commit, settled
from keras_integrity_hook.saving.statement import NewSeal
from keras_integrity_hook.saving.steps import Outcome
from keras_integrity_hook.settings import Settings

if TYPE_CHECKING:
    from keras_integrity_hook.registry.client.spool import Task
    from keras_integrity_hook.registry.signed import SignedEvent
else:  # for those who look annotations up at run time
    SignedEvent = Task = object

AGAIN = 60.0  # seconds until a registry that does not answer is asked anew
_TIMEOUT = timedelta(seconds=10)
_REMEDY = "Set model and model_version, or save within keras_integrity_hook.provenance(...)."
_PATIENCE = 3.0  # seconds that the end of a process waits for what is left to do


class Flushed(NamedTuple):
    """What became of the models that were waiting to be registered.

    Attributes:
        sent: how many the registry has now.
        refused: paths of those that it will never take, and why.
        waiting: how many still wait.
        cause: why they do, of the first of them.
    """

    sent: int
    refused: tuple[tuple[str, str], ...]
    waiting: int
    cause: str = ""


def after_save(path: str, outcome: Outcome, demands: Settings) -> None:
    """Have the model that was saved at ``path`` registered, if the settings want that. Whatever
    goes wrong is told, and costs nobody the model. Never raises."""
    if not demands.register_on_save:
        return
    try:
        _leave_task(path, outcome, demands)
    except Exception as error:  # whatever it is, the model is saved
        cause = error.in_one_line() if isinstance(error, IntegrityError) else repr(error)
        notices.trouble(f"{printable(path)} is saved and not registered: {cause}")
        return
    _wake()


def flush() -> Flushed:
    """Try to register all that waits, now; what does not succeed still waits.

    Another process may be at it: its work is waited for.
    """
    from keras_integrity_hook.registry.client import spool

    while spool.names():
        with spool.turn() as is_ours:
            if is_ours:
                return _flushed()
        time.sleep(0.05)
    return Flushed(0, (), 0)


def _leave_task(path: str, outcome: Outcome, demands: Settings) -> None:
    from keras_integrity_hook.registry.client import spool

    if not isinstance(outcome, NewSeal):
        raise RegistryError("it has no seal")
    if demands.registry is None or demands.registry_id is None or demands.key is None:
        cause = "register_on_save needs a registry, its registry_id and a key"
        raise ConfigurationError(cause, remedy="'keras-integrity policy show' tells what is set.")
    if not outcome.signed.signatures:
        raise RegistryError("it is not signed")
    for what in ("name", "version"):
        if not outcome.statement.model.get(what):
            raise RegistryError(f"its seal says no {what}", remedy=_REMEDY)
    where = (demands.registry, demands.registry_id, demands.key)
    path = path if location.is_url(path) else os.path.abspath(path)
    spool.add(spool.Task(path, outcome.statement.root, *where))


def _flushed() -> Flushed:
    from keras_integrity_hook.registry.client import spool

    sent, refused, waiting, cause = 0, [], 0, ""
    for name in spool.names():
        task = spool.read(name)
        if task is None:
            if spool.is_there(name):  # else another process has done it
                waiting += 1
                cause = cause or f"{name} in {printable(spool.directory())} cannot be read"
            continue
        try:
            _work_off(name, task)
            sent += 1
        except _REFUSALS as error:
            _lay_aside(name, task, error)
            refused.append((task.path, error.cause))
        except (IntegrityError, OSError) as error:
            waiting += 1
            why = error.cause if isinstance(error, IntegrityError) else str(error)
            cause = cause or f"{printable(task.path)}: {why}"
    return Flushed(sent, tuple(refused), waiting, cause)


class _GoneError(RegistryError):
    """What was saved is not where it was any more."""

    default_remedy = (
        "If what is there now is to be registered, say so: 'keras-integrity registry register "
        "PATH'."
    )


_REFUSALS = (EventRefusedError, MalformedEventError, _GoneError)
"""Trying again would change nothing."""


def _work_off(name: str, task: Task) -> None:
    from keras_integrity_hook.registry import client
    from keras_integrity_hook.registry.client import spool

    event = task.event or spool.signed(name, task, _event_of(task)).event
    assert event is not None
    try:
        position = client.register(task.url, event, timeout=_TIMEOUT)
        facts = {"registry": task.registry_id, "position": position, "event_id": event.id}
        audit.record("register", task.path, outcome="ok", root=task.root, **facts)
    except EventRefusedError as error:
        if error.rule != "registered":
            raise
        # With this content, by an earlier attempt whose end was not seen.
    spool.done(name)


def _event_of(task: Task) -> SignedEvent:
    """The event that says what is at the path of ``task``, signed.

    Raises:
        _GoneError: that is not what was saved there, or not signed by the key of the save: another
            one may have come in between, or somebody else.
        SigningError: the key cannot be used.
    """
    from keras_integrity_hook.registry import contents, signed
    from keras_integrity_hook.signing import signers

    key = signers.find(task.key)
    with _opened(task.path) as model:
        if not isinstance(model, SealedModel) or model.seal.statement.root != task.root:
            raise _GoneError("it was replaced before it could be registered")
        if not signers.has_signed(key, model.seal.envelope):
            raise _GoneError("the key of the save has not signed it, so nor does it register it")
        try:
            body = contents.registration(model)
        except (ChecksumMismatchError, DamagedFileError) as error:
            raise _GoneError(
                f"it was changed before it could be registered: {error.cause}"
            ) from error
    event = signed.SignedEvent(signed.payload_of(signed.new_event(body, task.registry_id)))
    return event._replace(signatures=(signed.sign(event.payload, task.key),))


@contextlib.contextmanager
def _opened(path: str) -> Iterator[ModelFile]:
    """The model at ``path``. Raises _GoneError; RemoteError: its store cannot be asked now."""
    with contextlib.ExitStack() as stack:
        try:
            if location.is_url(path):
                from keras_integrity_hook.saving import remote_models

                model = stack.enter_context(remote_models.opened(path))
            else:
                model = stack.enter_context(_opened_here(path))
        except FileNotFoundError as error:
            raise _GoneError("it is not there any more") from error
        except RemoteError:
            raise
        except IntegrityError as error:
            raise _GoneError(f"it is not there any more: {error.cause}") from error
        yield model


def _opened_here(path: str) -> ModelFile:
    place = recognition.recognise(path)
    if place is None:
        return settled.open_settled(path)
    commit.finish_interrupted(place)
    return open_set(path, place, hold=True)


def _lay_aside(name: str, task: Task, error: IntegrityError) -> None:
    from keras_integrity_hook.registry.client import spool

    with contextlib.suppress(OSError):
        spool.refused(name)
    audit.record("register", task.path, outcome="refused", error=error)
    notices.trouble(f"{printable(task.path)} is not registered: {error.in_one_line()}")


class _Sender(threading.Thread):
    """Works the tasks off, and ends when there are none: a process that forks is to have as few
    threads as it can."""

    def __init__(self) -> None:
        super().__init__(name="keras-integrity-register", daemon=True)
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._more = threading.Event()
        self._idle = threading.Event()
        self._has_ended = False

    def take(self) -> bool:
        """Whether this thread sees to a task that is there now."""
        if self._process != os.getpid():
            return False  # it is the parent's, and so is the lock
        with self._lock:
            if self._has_ended:
                return False
            self._idle.clear()
            self._more.set()
            return True

    def wait(self, seconds: float) -> None:
        """Wait until all that can be done now is done."""
        if self._process == os.getpid():
            self._idle.wait(seconds)

    def run(self) -> None:
        while not self._is_done():
            if self._try().waiting:
                self._idle.set()  # there is nothing to do now
                self._more.wait(AGAIN)

    def _is_done(self) -> bool:
        with self._lock:
            self._has_ended = not self._more.is_set() and not _is_waiting()
            self._more.clear()
        if self._has_ended:
            self._idle.set()
        return self._has_ended

    def _try(self) -> Flushed:
        try:
            return flush()
        except Exception as error:  # an error that nobody thought of must not end the thread
            notices.trouble(f"models that were saved are not registered: {error!r}")
            return Flushed(0, (), 1)


_sender: _Sender | None = None


def _is_waiting() -> bool:
    from keras_integrity_hook.registry.client import spool

    return bool(spool.names())


def _wake() -> None:
    """See to it that a thread works off what was just added."""
    global _sender  # noqa: PLW0603
    if _sender is not None and _sender.take():
        return
    if _sender is None:
        atexit.register(_at_end)
    sender = _Sender()
    sender.take()
    with contextlib.suppress(RuntimeError):  # no more threads, or the interpreter is about to end
        sender.start()
        _sender = sender


def _at_end() -> None:
    """Give the thread a moment: what it is at would else be done by the next process."""
    if _sender is not None:
        _sender.wait(_PATIENCE)
