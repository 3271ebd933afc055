# SPDX-License-Identifier: Apache-2.0
"""Ask a registry about a model, and tell it of one; wherever it is, and for a bounded time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from keras_integrity_hook.registry.client import asking, deadline, sources
from keras_integrity_hook.registry.client.memory import Asked
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.verdicts import Verdict


def ask(  # noqa: PLR0913
    url: str,
    digests: Sequence[str],
    *,
    registry_id: str,
    max_age: timedelta,
    timeout: timedelta,
    keys: Sequence[str] = (),
) -> Verdict:
    """What the registry behind ``url`` knows of a content.

    Args:
        digests: of the content, hex, by whatever algorithms.
        registry_id: of the registry that has to be there.
        max_age: how old an answer may be where it cannot be reached.
        timeout: how long it may take to ask.
        keys: ids of the keys that have signed the seal, hex.

    Raises:
        RegistryUnavailableError, RegistryForkError, MalformedEventError, LimitExceededError,
        RegistryError: see :func:`asking.ask`.
    """
    asked = Asked(url, registry_id, tuple(digests), tuple(keys))
    return asking.ask(asked, max_age=max_age, timeout=timeout)


def register(url: str, signed: SignedEvent, *, timeout: timedelta) -> int:
    """Have an event put into the log of the registry behind ``url``; its position there.

    An event that is there already is not put there again.

    Raises:
        EventRefusedError: it may not follow those that are there.
        RegistryUnavailableError: it is not known to be there; trying again does no harm.
        RegistryError: nobody can write there.
    """
    seconds = timeout.total_seconds()
    source = sources.source(url, seconds)
    within = None if source.ends_in_time else seconds
    return deadline.within(within, lambda: source.submit(signed))
