# SPDX-License-Identifier: Apache-2.0
"""A finding while it is being made: facts as they become known, and every reason to refuse."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from keras_integrity_hook.containers.model_file import ModelFile
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    ConfigurationError,
    DamagedFileError,
    ExaminationTimeoutError,
    IntegrityError,
    LimitExceededError,
    RegistryUnavailableError,
    RemoteError,
    UnreadableFileError,
    UnregisteredModelError,
    WorkerLostError,
)
from keras_integrity_hook.fleet.findings import Finding, Observation, Outcome, Refusal, State
from keras_integrity_hook.fleet.targets import Target
from keras_integrity_hook.inspection.findings import Finding as Inspected
from keras_integrity_hook.inspection.findings import Verdict, worst, worst_first
from keras_integrity_hook.sealing.statement import moment

_DAMAGE = (ChecksumMismatchError, DamagedFileError, LimitExceededError)
_NOBODY_COULD_LOOK = (
    ConfigurationError,
    ExaminationTimeoutError,
    RemoteError,
    UnreadableFileError,
    WorkerLostError,
)
_WORSE = (State.UNKNOWN, State.SEALED, State.UNSEALED, State.DAMAGED)
_NO_SEAL: dict[str, Any] = {
    **dict.fromkeys(("algorithm", "root", "model", "model_version"), ""),
    **dict.fromkeys(("sealed_at", "expires")),
    "assurance": "none",
    "signers": (),
}


class Draft:
    """What is known so far of one model.

    Attributes:
        signers: names of those who have signed its seal and are trusted.
        facts: fields of the finding, by name.
    """

    def __init__(self, target: Target, run: str = "") -> None:
        self._begun = time.monotonic()
        self._examined = datetime.now(UTC)
        self._refusals: list[Refusal] = []
        self._has_failed = False
        self._is_told_of = True
        self.facts: dict[str, Any] = {
            "location": target.location,
            "run": run,
            "size": target.size,
            "version": target.version,
            "state": State.UNKNOWN,
            "container": target.container,
        }

    def opened(self, model: ModelFile) -> None:
        """It has a structure: what that is, and what its seal says."""
        state = State.UNSEALED if model.seal is None else State.SEALED
        # A directory can be two models: what is good of one hides nothing that is bad of another.
        self._is_told_of = _WORSE.index(state) >= _WORSE.index(self.facts["state"])
        if not self._is_told_of:
            return
        self.facts |= {"container": model.container, "state": state}
        if model.seal is None:
            self.facts |= _NO_SEAL
            return
        stated = model.seal.statement
        self.facts |= {
            "assurance": "integrity only",
            "algorithm": stated.algorithm,
            "root": stated.root,
            "sealed_at": _moment(stated.created),
            "expires": _moment(stated.expires),
            "model": stated.model.get("name") or "",
            "model_version": stated.model.get("version") or "",
        }

    def signed_by(self, names: tuple[str, ...]) -> None:
        """Trusted signers whose signatures are good; none is no news."""
        if names and self._is_told_of:
            self.facts |= {"assurance": "signed", "signers": names}

    def inspected(self, found: tuple[Inspected, ...]) -> None:
        """What the inspection found, as the settings judge it."""
        self.facts["inspection"] = str(worst(found))
        self.facts["observations"] = tuple(
            Observation(one.rule, str(one.verdict), one.sentence()) for one in worst_first(found)
        )

    def refuse(self, error: IntegrityError) -> None:
        """One more reason to refuse it, or why nobody could look."""
        refusal = Refusal(error.code, error.cause, error.remedy())
        if refusal not in self._refusals:
            self._refusals.append(refusal)
        if isinstance(error, _DAMAGE):
            self.facts["state"] = State.DAMAGED
        if isinstance(error, ChecksumMismatchError):
            self.facts["damaged_parts"] = error.parts
        if isinstance(error, UnregisteredModelError):
            self.facts["is_registered"] = False
        could_look = not isinstance(error, _NOBODY_COULD_LOOK)
        self._has_failed |= not could_look and not isinstance(error, RegistryUnavailableError)

    def not_found(self, error: IntegrityError) -> None:
        """Why the search has no model to examine here: a directory is empty, say, or endless. That
        is said of the place; only what is left of a model is refused."""
        self.refuse(error)
        if not isinstance(error, DamagedFileError):
            self._has_failed = True
            self.facts["state"] = State.UNKNOWN

    def finding(self) -> Finding:
        """The finding, when all is known."""
        return Finding(
            outcome=self._outcome(),
            examined=self._examined,
            seconds=round(time.monotonic() - self._begun, 6),
            refusals=tuple(self._refusals),
            **self.facts,
        )

    def _outcome(self) -> Outcome:
        if self._has_failed:
            return Outcome.FAILED
        if self._refusals:
            return Outcome.REFUSED
        needs_review = self.facts.get("inspection") == Verdict.REVIEW
        return Outcome.REVIEW if needs_review else Outcome.PASSED


def _moment(text: str | None) -> datetime | None:
    """A time as seals spell it; None for none, and for one that is none: a seal is checked for that
    where it counts."""
    try:
        return moment(text) if text else None
    except ValueError:
        return None
