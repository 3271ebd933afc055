# SPDX-License-Identifier: Apache-2.0
"""The settings in force: what every other room asks, each time it wants to know."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar

from keras_integrity_hook import notices
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.settings import layers
from keras_integrity_hook.settings.choices import (
    Downloads,
    History,
    Inputs,
    Inspecting,
    Mode,
    OnFailure,
    Permissions,
    Require,
    Sandbox,
    Store,
    Unsealed,
    Verify,
)
from keras_integrity_hook.settings.layers import MODE_VARIABLE, Layers
from keras_integrity_hook.settings.schema import Settings

__all__ = [
    "MODE_VARIABLE",
    "UNSEALED_VARIABLE",
    "Downloads",
    "History",
    "Inputs",
    "Inspecting",
    "Mode",
    "OnFailure",
    "Permissions",
    "Require",
    "Sandbox",
    "Settings",
    "Store",
    "Unsealed",
    "Verify",
    "at",
    "at_each_name",
    "for_save",
    "mode",
    "of_machine",
    "snapshot",
    "under",
]

UNSEALED_VARIABLE = layers.variable_of("unsealed")


class _Snapshot:
    """What was configured when the first in a block asked.

    It is over with the block, also for a thread that has started with a copy of its context.
    """

    is_over = False

    def __init__(self) -> None:
        # At most one entry, for all threads that share the block: setdefault is one step, and what
        # the first of them has read is what all of them are told.
        self._read: dict[None, Layers] = {}

    def layers(self) -> Layers:
        return self._read.get(None) or self.answer_with(layers.current())

    def answer_with(self, found: Layers) -> Layers:
        """What is answered from now on: ``found``, unless another was first."""
        return self._read.setdefault(None, found)


_snapshot: ContextVar[_Snapshot | None] = ContextVar("_snapshot", default=None)


@contextlib.contextmanager
def snapshot() -> Iterator[None]:
    """Read what is configured once for all questions in this block: no change falls in between.

    For one decision and its record, not for the time in which Keras reads or writes a model.
    """
    if _snapshot.get() is not None:
        yield
        return
    taken = _Snapshot()
    token = _snapshot.set(taken)
    try:
        yield
    finally:
        taken.is_over = True
        _snapshot.reset(token)


@contextlib.contextmanager
def under(policy: str, name: str) -> Iterator[None]:
    """As :func:`snapshot`, with the text ``policy`` in the place of the project's policy file.

    What the machine's policy locks stays so.

    Args:
        name: what it is called in messages.

    Raises:
        ConfigurationError, InsecurePermissionsError: as :func:`at`.
    """
    taken = _Snapshot()
    taken.answer_with(layers.current((policy.encode("utf-8", "surrogateescape"), name)))
    token = _snapshot.set(taken)
    try:
        yield
    finally:
        taken.is_over = True
        _snapshot.reset(token)


def _current() -> Layers:
    taken = _snapshot.get()
    if taken is None or taken.is_over:
        return layers.current()
    return taken.layers()


def at(path: str | None = None) -> Settings:
    """The settings in force at ``path``, or for the whole process where it is None.

    Raises:
        ConfigurationError: a policy file or an environment variable has a mistake.
        InsecurePermissionsError: somebody else could have written a policy file.
    """
    return layers.resolve(_current(), path)


def at_each_name(*paths: str, parts: Iterable[str] = ()) -> tuple[Settings, ...]:
    """The settings in force for a model under each name that links give it: all are met.

    Whoever can put a link in the place of a model must not choose which rule the model is under.

    Args:
        paths: what it is loaded by, one or several (a directory, and the step in it). Those that no
            rule is for count where there is a rule for none of them.
        parts: its files, which count where there are rules for them.

    Raises:
        ConfigurationError, InsecurePermissionsError: as :func:`at`.
    """
    return layers.resolve_each(_current(), paths, parts)


def for_save(path: str | None) -> Settings:
    """The settings in force for a save. Never raises: where they have a mistake, a warning and an
    ERROR line say so, and the machine's policy by itself decides.

    A mistake in a policy must not cost anybody the model that was trained for a week. What is
    saved under it is sealed, and refused at the next load if that is not enough.
    """
    try:
        return at(path)
    except IntegrityError as error:
        message = f"saved without regard to settings that have a mistake: {error.in_one_line()}"
        notices.logger().error("%s", message)
        notices.warn(message)
        return of_machine(path)


def of_machine(path: str | None = None) -> Settings:
    """The settings by the machine's policy alone, for when the others have a mistake.

    Otherwise a misspelt variable would get rid of what root has locked. Where the mistake is in the
    machine's policy itself, these are the defaults.
    """
    return layers.resolve(layers.of_machine(), path)


def mode() -> Mode:
    """The mode in force (``KERAS_INTEGRITY``, default ``enforce``); raises as :func:`at`."""
    return at().mode
