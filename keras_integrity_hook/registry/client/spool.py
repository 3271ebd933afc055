# SPDX-License-Identifier: Apache-2.0
"""What a registry is yet to be told: one small file for each, in a directory of the user's.

First the file says which model is to be registered, then it is the signed event; it goes when the
registry has that. Each step is on the disk before the next begins, so that a crash loses nothing:
at worst it is done twice, and the registry has it once.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from keras_integrity_hook.errors import IntegrityError, RegistryError
from keras_integrity_hook.files import atomic, kept, permissions, portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry.signed import SignedEvent, decode, encode
from keras_integrity_hook.sealing import canonical

_SUFFIX = ".json"
_LOCK = "lock"
_REFUSED = "refused"


class Task(NamedTuple):
    """A model that is to be registered.

    Attributes:
        path: of the model, absolute.
        root: of its content, hex, which it must still have.
        url, registry_id: of the registry.
        key: a reference to the key that signs, as settings have it.
        event: the signed event; None where it is yet to be made.
    """

    path: str
    root: str
    url: str
    registry_id: str
    key: str
    event: SignedEvent | None = None


def directory() -> str:
    """Where the files are."""
    return os.path.join(kept.state_directory(), "registry", "spool")


def add(task: Task) -> str:
    """Put a task on the disk; its name.

    Raises:
        OSError: it is not there.
        IntegrityError: others could change it, or there are too many.
    """
    folder = directory()
    os.makedirs(folder, mode=0o700, exist_ok=True)
    permissions.check_path(folder)
    if len(names()) >= LIMITS.registry_spool:
        raise RegistryError(f"over {LIMITS.registry_spool} models are waiting to be registered")
    name = f"{time.time_ns():020}-{os.getpid()}-{os.urandom(4).hex()}{_SUFFIX}"
    _write(name, task)
    return name


def names() -> list[str]:
    """The tasks that there are, the oldest first."""
    try:
        found = os.listdir(directory())
    except OSError:
        return []
    return sorted(name for name in found if name.endswith(_SUFFIX))


def read(name: str) -> Task | None:
    """A task; None where it is done, or no such file can be believed."""
    data = kept.read(os.path.join(directory(), name), 2 * LIMITS.registry_event)
    try:
        said = None if data is None else canonical.decode(data)
        return None if said is None else _task(said)
    except (IntegrityError, KeyError, TypeError, AttributeError):
        return None


def is_there(name: str) -> bool:
    """Whether a task is not done yet."""
    return os.path.lexists(os.path.join(directory(), name))


def signed(name: str, task: Task, event: SignedEvent) -> Task:
    """Keep the event that a task has become; raises OSError."""
    done = task._replace(event=event)
    _write(name, done)
    return done


def done(name: str) -> None:
    """Take away what the registry has."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(directory(), name))


def refused(name: str) -> str:
    """Lay aside what the registry will never take; where it is now. Raises OSError.

    The oldest go where there are too many: training that saves under one version each time has one
    more with each save.
    """
    folder = os.path.join(directory(), _REFUSED)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    laid = sorted(os.listdir(folder))
    for old in laid[: max(0, len(laid) + 1 - LIMITS.registry_refused)]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, old))
    target = os.path.join(folder, name)
    with contextlib.suppress(FileNotFoundError):
        os.replace(os.path.join(directory(), name), target)
    return target


@contextlib.contextmanager
def turn() -> Iterator[bool]:
    """Whether this process may work the tasks off, while no other does.

    Two that do at once do no harm: where there are no locks, everybody may.
    """
    try:
        fd = system.open(
            os.path.join(directory(), _LOCK), os.O_RDWR | os.O_CREAT | portable.O_CLOEXEC, 0o600
        )
    except FileNotFoundError:
        yield False  # there are no tasks
        return
    try:
        try:
            portable.lock(fd)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass
        yield True
    finally:
        os.close(fd)


def _write(name: str, task: Task) -> None:
    """Whole, and on the disk when this returns."""
    data = canonical.encode(_plain(task))
    path = os.path.join(directory(), name)
    with atomic.open_target(path) as final, atomic.private_file(final) as private:
        with os.fdopen(private.create(0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        private.put_in_place()
    _settle(directory())


def _settle(folder: str) -> None:
    """Have the names in a directory on the disk."""
    fd = system.open(folder, os.O_RDONLY | portable.O_DIRECTORY | portable.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _plain(task: Task) -> dict[str, Any]:
    event = "" if task.event is None else encode(task.event).decode()
    return {**task._asdict(), "event": event}


def _task(said: dict[str, Any]) -> Task:
    event = decode(said["event"].encode()) if said["event"] else None
    texts = {name: said[name] for name in Task._fields if name != "event"}
    if not all(isinstance(text, str) for text in texts.values()):
        raise TypeError("not a text")
    return Task(**texts, event=event)
