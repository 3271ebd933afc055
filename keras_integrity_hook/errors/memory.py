# SPDX-License-Identifier: Apache-2.0
"""Errors of what is remembered of a model: by this machine, and by a registry."""

from __future__ import annotations

from typing import Any

from keras_integrity_hook.errors.base import IntegrityError
from keras_integrity_hook.errors.integrity import UnsealedModelError
from keras_integrity_hook.errors.policy import NotSignedError, RevokedModelError


class StrippedModelError(UnsealedModelError):
    """What this path held had a seal when this machine last saw it, and has none now."""

    code = "stripped-model"
    default_remedy = (
        "Restore the sealed model. If its seal was taken away on purpose, say so with "
        "'keras-integrity history forget PATH'."
    )


class SignerChangedError(NotSignedError):
    """What this path held was signed by a key when this machine last saw it, and by none of those
    now; ``signers`` are the key ids of then."""

    code = "signer-changed"
    default_remedy = (
        "Ask whoever publishes the model who signs it now, and have it signed. If the change was "
        "meant, say so with 'keras-integrity history forget PATH'."
    )


class RegistryError(IntegrityError):
    """A registry cannot do what it was asked for, or holds something that it may not hold."""

    code = "registry"
    default_remedy = (
        "'keras-integrity registry verify' looks at the whole log and says what is wrong."
    )


class RegistryUnavailableError(RegistryError):
    """The registry does not answer, and no answer of it is at hand that is young enough.

    Args:
        since: seconds since it last answered, or None.
    """

    code = "registry-unavailable"
    default_remedy = (
        "Try again when the registry answers: 'keras-integrity registry status' asks it. How old "
        "an answer may be is set by registry_max_age."
    )

    def __init__(
        self,
        cause: str,
        *,
        path: str | None = None,
        since: int | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(cause, path=path, remedy=remedy)
        self.since = since

    def evidence(self) -> dict[str, Any]:
        return {"since": self.since}


class WrongClockError(RegistryUnavailableError):
    """This machine's clock is behind a time that a registry has signed, so that nobody can tell how
    old its answers are."""

    code = "wrong-clock"
    default_remedy = (
        "Set this machine's clock; or, if it is right, ask whoever runs the registry to set that "
        "one's."
    )


class RegistryForkError(RegistryError):
    """The registry shows another past than it showed before: it forgets, or tells each his own.

    Args:
        seen: the checkpoint that was seen before, as text.
        shown: the one that does not continue it.
    """

    code = "registry-fork"
    default_remedy = (
        "Trust nothing that it says until its administrators have explained this. Keep both "
        "checkpoints, which the evidence has: they prove it."
    )

    def __init__(
        self,
        cause: str,
        *,
        path: str | None = None,
        seen: str = "",
        shown: str = "",
        remedy: str | None = None,
    ) -> None:
        super().__init__(cause, path=path, remedy=remedy)
        self.seen, self.shown = seen, shown

    def evidence(self) -> dict[str, Any]:
        return {"seen": self.seen, "shown": self.shown}


class EventRefusedError(RegistryError):
    """An event may not follow those that a registry has; nothing was stored.

    Args:
        rule: the rule that it breaks, a word that stays.
    """

    code = "event-refused"
    default_remedy = (
        "'keras-integrity registry log' shows the events that are there, and 'keras-integrity "
        "registry roles' who may do what."
    )

    def __init__(
        self,
        cause: str,
        *,
        path: str | None = None,
        rule: str = "",
        remedy: str | None = None,
    ) -> None:
        super().__init__(cause, path=path, remedy=remedy)
        self.rule = rule

    def evidence(self) -> dict[str, Any]:
        return {"rule": self.rule}


class MalformedEventError(RegistryError):
    """An event, an answer, a checkpoint or a proof of a registry is not well formed, or is not
    what its signatures and its place in the log say."""

    code = "malformed-event"
    default_remedy = "Get it anew; if it stays so, tell whoever runs the registry."


class UnregisteredModelError(IntegrityError):
    """No registry event that counts here says that this model may be used, or not at this stage.

    Args:
        stages: those that it is in.
    """

    code = "unregistered-model"
    default_remedy = (
        "Have it registered with 'keras-integrity registry register PATH', and promoted to a stage "
        "that the policy names, by those who may; or load the version that is."
    )

    def __init__(
        self,
        cause: str,
        *,
        path: str | None = None,
        stages: tuple[str, ...] = (),
        remedy: str | None = None,
    ) -> None:
        super().__init__(cause, path=path, remedy=remedy)
        self.stages = stages

    def evidence(self) -> dict[str, Any]:
        return {"stages": list(self.stages)}


class RecalledModelError(RevokedModelError):
    """A registry recalled this model, by its content or by a key that signed it.

    Args:
        by: names of those who recalled it.
        since: when, UTC, as seals spell it.
    """

    code = "recalled-model"
    default_remedy = "Do not load it: get the version that replaces it."

    def __init__(
        self,
        cause: str,
        *,
        path: str | None = None,
        by: tuple[str, ...] = (),
        since: str = "",
        remedy: str | None = None,
    ) -> None:
        super().__init__(cause, path=path, remedy=remedy)
        self.by, self.since = by, since

    def evidence(self) -> dict[str, Any]:
        return {"by": list(self.by), "since": self.since}
