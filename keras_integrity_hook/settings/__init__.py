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
    Mode,
    OnFailure,
    Permissions,
    Require,
    Store,
    Unsealed,
)
from keras_integrity_hook.settings.layers import MODE_VARIABLE, Layers
from keras_integrity_hook.settings.schema import Settings

__all__ = [
    "MODE_VARIABLE",
    "UNSEALED_VARIABLE",
    "Downloads",
    "Mode",
    "OnFailure",
    "Permissions",
    "Require",
    "Settings",
    "Store",
    "Unsealed",
    "at",
    "at_each_name",
    "for_save",
    "held",
    "mode",
    "of_machine",
]

UNSEALED_VARIABLE = layers.variable_of("unsealed")


class _Held:
    """What was configured when the first asked; over with the block, for those too whom a copy of
    its context has reached."""

    layers: Layers | None = None
    is_over = False


_held: ContextVar[_Held | None] = ContextVar("_held", default=None)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let all that this thread asks in this block be answered by one look at what is configured.

    For one decision and its record, not for the time in which Keras reads or writes a model.
    """
    if _held.get() is not None:
        yield
        return
    kept = _Held()
    token = _held.set(kept)
    try:
        yield
    finally:
        kept.is_over = True
        _held.reset(token)


def _current() -> Layers:
    kept = _held.get()
    if kept is None or kept.is_over:
        return layers.current()
    if kept.layers is None:
        kept.layers = layers.current()
    return kept.layers


def at(path: str | None = None) -> Settings:
    """The settings in force at ``path``, or for the whole process where it is None.

    Raises:
        ConfigurationError: a policy file or an environment variable has a mistake.
        InsecurePermissionsError: somebody else could have written a policy file.
    """
    return layers.resolve(_current(), path)


def at_each_name(*paths: str, parts: Iterable[str] = ()) -> tuple[Settings, ...]:
    """The settings in force for a model under each name that links give it; all are to be met.

    Whoever can put a link in the place of a model must not choose the rule that it is held against.

    Args:
        paths: what it is loaded by, one or several (a directory, and the step in it). Those that no
            rule is for count where there is a rule for none of them.
        parts: its files, which count where there are rules for them.

    Raises:
        ConfigurationError, InsecurePermissionsError: as :func:`at`.
    """
    return layers.resolve_each(_current(), paths, parts)


def for_save(path: str | None) -> Settings:
    """The settings in force for a save; where they have a mistake that is said loudly, and the
    machine's policy by itself decides.

    A mistake in a policy must not cost anybody the model that was trained for a week. What was
    saved under it is sealed, and refused later if that is not enough.
    """
    try:
        return at(path)
    except IntegrityError as error:
        import logging

        told = f"saved without regard to settings that have a mistake: {error}"
        logging.getLogger("keras_integrity_hook").error("%s", told)
        notices.warn(told)
        return of_machine(path)


def of_machine(path: str | None = None) -> Settings:
    """What the machine's policy says by itself, for when the other settings have a mistake.

    Nobody can get rid of what root has locked by misspelling something. Where the mistake is in
    the machine's policy itself, these are the defaults.
    """
    return layers.resolve(layers.of_machine(), path)


def mode() -> Mode:
    """The mode in force (``KERAS_INTEGRITY``, default ``enforce``); raises as :func:`at`."""
    return at().mode
