# SPDX-License-Identifier: Apache-2.0
"""What can be demanded of a seal, one small object for each demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from keras_integrity_hook.errors import (
    ExpiredModelError,
    IntegrityError,
    MalformedSealError,
    NotSignedError,
    RecalledModelError,
    RevokedModelError,
    RollbackError,
    UnregisteredModelError,
    WeakAlgorithmError,
    WrongModelError,
    printable,
)
from keras_integrity_hook.sealing.statement import Statement, files_digest, moment
from keras_integrity_hook.settings import History
from keras_integrity_hook.settings.schema import Settings
from keras_integrity_hook.versions import is_at_least

if TYPE_CHECKING:
    from keras_integrity_hook.registry.verdicts import Registration
    from keras_integrity_hook.registry.verdicts import Verdict as Known
else:  # for those who look annotations up at run time
    Known = Registration = object

_CLOCK_SKEW = timedelta(days=1)
_TOLD_AT_MOST = 4  # signatures


class Signer(Protocol):
    """Somebody who is trusted and has signed."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def known_as(self) -> frozenset[str]:
        """All that may stand for this signer in a policy."""


class Verdict(Protocol):
    """What a signature is worth here."""

    def counts_for(self, names: Sequence[str]) -> bool:
        """Whether it is a good one, of one of these."""

    def sentence(self) -> str:
        """A clause about it, printable."""

    def to_dict(self) -> dict[str, object]:
        """JSON-able values."""


def _no_verdicts() -> Sequence[Verdict]:
    return ()


def _no_registry() -> Known | None:
    return None


def _not_computed(algorithm: str) -> str | None:
    return None


def nothing_remembered() -> IntegrityError | None:
    """Of a path that nothing is remembered of."""
    return None


class Evidence(NamedTuple):
    """What is known about a sealed model before its content is read.

    Attributes:
        statement: what the seal says.
        now: the time of the check, with its zone.
        signers: tells which trusted signers have signed; asked only where it matters, since it
            costs imports.
        revocation: tells why the model with this root was recalled, or None.
        verdicts: tells what each signature in the seal is worth; asked only for a refusal.
        history: tells what about the model contradicts what this machine saw at its path before, or
            None.
        registry: tells what a registry knows of the content, or None where none is asked.
        root_under: tells the root that the content itself has now under an algorithm, or None where
            that cannot be computed; it is read for that.
    """

    statement: Statement
    now: datetime
    signers: Callable[[], Sequence[Signer]]
    revocation: Callable[[], str | None]
    verdicts: Callable[[], Sequence[Verdict]] = _no_verdicts
    history: Callable[[], IntegrityError | None] = nothing_remembered
    registry: Callable[[], Known | None] = _no_registry
    root_under: Callable[[str], str | None] = _not_computed


class Check(Protocol):
    """One demand."""

    def verify(self, evidence: Evidence) -> None:
        """Return, or raise the IntegrityError of the demand that is not met."""


class AllOf(NamedTuple):
    """Every one of several demands, in their order."""

    checks: tuple[Check, ...]

    def verify(self, evidence: Evidence) -> None:
        for check in self.checks:
            check.verify(evidence)


class NotRevoked:
    """The model was not recalled."""

    def verify(self, evidence: Evidence) -> None:
        reason = evidence.revocation()
        if reason is not None:
            raise RevokedModelError(f"this model was recalled: {printable(reason)}")


class AlgorithmAmong(NamedTuple):
    """The digest algorithm is one of ``allowed``."""

    allowed: tuple[str, ...]

    def verify(self, evidence: Evidence) -> None:
        used = evidence.statement.algorithm
        if used not in self.allowed:
            allowed = ", ".join(self.allowed)
            raise WeakAlgorithmError(f"the seal uses {used}; the policy allows {allowed}")


class NotExpired:
    """The time up to which the seal says that it is good has not come."""

    def verify(self, evidence: Evidence) -> None:
        expires = evidence.statement.expires
        if expires is not None and evidence.now >= _moment(expires):
            raise ExpiredModelError(f"the seal expired at {expires}")


class NoOlderThan(NamedTuple):
    """The seal was made less than ``age`` ago, and not in the future."""

    age: timedelta

    def verify(self, evidence: Evidence) -> None:
        created = _moment(evidence.statement.created)
        if evidence.now - created > self.age:
            raise ExpiredModelError(
                f"the seal was made at {evidence.statement.created}, which is longer ago than the "
                f"policy allows ({self.age})"
            )
        if created - evidence.now > _CLOCK_SKEW:
            raise ExpiredModelError(
                f"the seal claims to be made at {evidence.statement.created}, in the future, so "
                "its age cannot be known"
            )


class NameIs(NamedTuple):
    """The seal is that of the model called ``name``.

    Attributes:
        or_none: it need not say so: the registry will.
    """

    name: str
    or_none: bool = False

    def verify(self, evidence: Evidence) -> None:
        found = evidence.statement.model.get("name")
        if found is None and self.or_none:
            return
        if found != self.name:
            stated = f"of '{printable(found)}'" if found else "of a model without a name"
            raise WrongModelError(f"the seal is {stated}; here belongs '{printable(self.name)}'")


class VersionAtLeast(NamedTuple):
    """The model's version is not below ``minimum`` (PEP 440).

    Attributes:
        or_none: as of :class:`NameIs`.
    """

    minimum: str
    or_none: bool = False

    def verify(self, evidence: Evidence) -> None:
        found = evidence.statement.model.get("version")
        if found is None and self.or_none:
            return
        if found is None or not is_at_least(found, self.minimum):
            stated = f"of version '{printable(found)}'" if found else "of no version"
            raise RollbackError(
                f"the seal is {stated}; the policy asks for {self.minimum} or later"
            )


class SignedBy(NamedTuple):
    """At least ``threshold`` trusted signers have signed, of those ``named`` if any are."""

    named: tuple[str, ...]
    threshold: int

    def verify(self, evidence: Evidence) -> None:
        signers = evidence.signers()
        if not self.is_met_by(signers):
            found = tuple(signer.name for signer in self._counted(signers))
            verdicts = evidence.verdicts()
            raise NotSignedError(
                self._cause(found, verdicts),
                signers=found,
                needed=self.threshold,
                signatures=tuple(one.to_dict() for one in verdicts),
            )

    def is_met_by(self, signers: Sequence[Signer]) -> bool:
        """Whether enough of ``signers`` count."""
        return len(self._counted(signers)) >= self.threshold

    def _counted(self, signers: Sequence[Signer]) -> list[Signer]:
        wanted = frozenset(self.named)
        return [one for one in signers if not wanted or one.known_as & wanted]

    def _cause(self, found: tuple[str, ...], verdicts: Sequence[Verdict]) -> str:
        whom = ", ".join(self.named) if self.named else "anybody who is trusted here"
        needed = (
            "a valid signature" if self.threshold == 1 else f"{self.threshold} valid signatures"
        )
        among = "by" if len(self.named) < 2 else "by some of"
        there = f"only that of {', '.join(found)}" if found else "none"
        told = [one.sentence() for one in verdicts if not one.counts_for(found)]
        rest = f"; and {len(told) - _TOLD_AT_MOST} more" if len(told) > _TOLD_AT_MOST else ""
        why = f": {'; '.join(told[:_TOLD_AT_MOST])}{rest}" if told else ""
        return printable(f"{needed} {among} {whom} is required, and {there} was found{why}")


class AsRemembered:
    """Nothing about it contradicts what this machine saw at its path before."""

    def verify(self, evidence: Evidence) -> None:
        error = evidence.history()
        if error is not None:
            raise error


class NotRecalled:
    """The registry that is asked has recalled neither the content nor a key that signed it."""

    def verify(self, evidence: Evidence) -> None:
        refuse_recalled(evidence.registry())


def refuse_recalled(known: Known | None) -> None:
    """Refuse what a registry has recalled, as far as it is known. Raises RecalledModelError."""
    for recall in known.recalls if known is not None else ():
        signer = f"the key {recall.target[:12]}…, which signed it,"
        what = "this model" if recall.kind == "root" else signer
        by, reason = printable(", ".join(recall.by)), printable(recall.reason)
        cause = f"{what} was recalled by {by}: {reason}"
        raise RecalledModelError(cause, by=recall.by, since=recall.time)


class Registered(NamedTuple):
    """A registration of the content counts here.

    Attributes:
        stages: it is in one of them, if any are named.
        model: it has that name, if one is.
        minimum: its version is not below that one, if one is named.
    """

    stages: tuple[str, ...]
    model: str | None = None
    minimum: str | None = None

    def verify(self, evidence: Evidence) -> None:
        known = evidence.registry()
        # The root of a set does not say where one file ends and the next begins.
        files = files_digest(evidence.statement.files)
        known_here = [one for one in known.registrations if one.files == files] if known else []
        found = [one for one in known_here if _is_content_of(one, evidence)]
        if not found:
            raise UnregisteredModelError("the registry does not know this model")
        named = [one for one in found if self.model in (None, one.model)]
        if not named:
            told, wanted = printable(_told(found)), printable(self.model or "")
            raise WrongModelError(f"it is registered as {told}; here belongs '{wanted}'")
        enough = [one for one in named if self._is_enough(one)]
        if not enough:
            cause = (
                f"it is registered as {_told(named)}; the policy asks for {self.minimum} or later"
            )
            raise RollbackError(printable(cause))
        if self.stages and not any(set(one.stages) & set(self.stages) for one in enough):
            raise self._not_there(enough)

    def _is_enough(self, one: Registration) -> bool:
        return self.minimum is None or is_at_least(one.version, self.minimum)

    def _not_there(self, found: Sequence[Registration]) -> RollbackError | UnregisteredModelError:
        wanted = " or ".join(self.stages)
        for one in found:
            for stage in self.stages:
                highest = one.high_water.get(stage)
                if highest is not None and not is_at_least(one.version, highest):
                    cause = f"it is {one.model} {one.version}; {stage} has had {highest} since"
                    return RollbackError(printable(cause))
        stages = tuple(dict.fromkeys(stage for one in found for stage in one.stages))
        where = f"at {', '.join(stages)}" if stages else "at no stage"
        cause = f"it is registered as {_told(found)}, {where}; the policy asks for {wanted}"
        return UnregisteredModelError(printable(cause), stages=stages)


def _is_content_of(one: Registration, evidence: Evidence) -> bool:
    """Whether the content has the root that was registered. The digests under other algorithms are
    the word of whoever registered it alone; what people promote is this root."""
    return evidence.statement.root == one.root or evidence.root_under(one.algorithm) == one.root


def _told(found: Sequence[Registration]) -> str:
    names = [f"{one.model} {one.version}" for one in found]
    rest = f" and {len(names) - _TOLD_AT_MOST} more" if len(names) > _TOLD_AT_MOST else ""
    return ", ".join(names[:_TOLD_AT_MOST]) + rest


def from_settings(settings: Settings) -> AllOf:
    """The demands that ``settings`` makes of a sealed model."""
    checks: list[Check] = [NotRevoked(), NotExpired(), AlgorithmAmong(settings.allowed_algorithms)]
    if settings.needs_signatures:
        checks.append(SignedBy(settings.signers, settings.threshold))
    if settings.model is not None:
        checks.append(NameIs(settings.model, or_none=settings.needs_registration))
    if settings.minimum_version is not None:
        checks.append(VersionAtLeast(settings.minimum_version, or_none=settings.needs_registration))
    if settings.maximum_age is not None:
        checks.append(NoOlderThan(settings.maximum_age))
    if settings.history is History.ENFORCE:
        checks.append(AsRemembered())
    return AllOf((*checks, *of_registry(settings)))


def of_registry(settings: Settings) -> tuple[Check, ...]:
    """Those of them that a registry is asked for; last of all, since it may be far away."""
    asked: tuple[Check, ...] = (NotRecalled(),) if settings.registry is not None else ()
    if not settings.needs_registration:
        return asked
    return (*asked, Registered(settings.stages, settings.model, settings.minimum_version))


def _moment(text: str) -> datetime:
    """A time as statements spell it. Raises MalformedSealError."""
    try:
        return moment(text)
    except ValueError:
        raise MalformedSealError("the seal names a time that is none") from None
