# SPDX-License-Identifier: Apache-2.0
"""What follows from an answer of a registry, whoever gave it: nothing of it is believed that its
actors did not sign."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from keras_integrity_hook.errors import (
    EventRefusedError,
    MalformedEventError,
    RegistryUnavailableError,
    WrongClockError,
)
from keras_integrity_hook.registry import forks, merkle, notes
from keras_integrity_hook.registry.answers import Answer, freshness_of, is_about
from keras_integrity_hook.registry.notes import Checkpoint
from keras_integrity_hook.registry.records import Registry, Stage, State
from keras_integrity_hook.registry.signed import decode
from keras_integrity_hook.registry.state import Replay
from keras_integrity_hook.sealing.statement import moment

LEEWAY = timedelta(minutes=5)
"""By which two honest clocks may differ."""


class Registration(NamedTuple):
    """A version that has the content that was asked about.

    Attributes:
        root, algorithm, files, container, statement: as it was registered.
        stages: those that the version is in now.
        high_water: of its model, the highest version ever promoted to each stage.
        signers: names of those who registered it.
        time: when, UTC, as seals spell a time.
    """

    model: str
    version: str
    root: str
    algorithm: str
    files: str
    container: str
    statement: str
    stages: tuple[str, ...]
    high_water: Mapping[str, str]
    signers: tuple[str, ...]
    time: str


class RecallFound(NamedTuple):
    """A recall in force of what was asked about.

    Attributes:
        kind, target, reason: as it was recalled.
        by: names of those who did.
        time: when, UTC, as seals spell a time.
    """

    kind: str
    target: str
    reason: str
    by: tuple[str, ...]
    time: str


class Verdict(NamedTuple):
    """What a registry knows of some content.

    Attributes:
        registrations: those with one of the digests, in the order of the log.
        recalls: of one of the digests or keys.
        checkpoint: what the log was, to be remembered; ``note`` is how it was signed.
        as_of: since when this is what the registry says.
        good_until: when it ends to be believed, or None: whoever gave it saw the present.
    """

    registrations: tuple[Registration, ...]
    recalls: tuple[RecallFound, ...]
    checkpoint: Checkpoint
    note: bytes
    as_of: datetime
    good_until: datetime | None = None


class Question(NamedTuple):
    """What was asked, by somebody who remembers.

    Attributes:
        registry_id: the SHA-256 of the payload of the first event, hex.
        digests, keys: what was asked about.
        seen: the checkpoint, a note, that had been seen when it was asked; empty for none.
        consistency: the proof that the log continues that one, where the answer has none: a static
            mirror does not know what somebody saw.
        needs_freshness: False for whoever reads the database himself.
    """

    registry_id: str
    digests: tuple[str, ...]
    keys: tuple[str, ...] = ()
    seen: bytes = b""
    consistency: tuple[bytes, ...] | None = None
    needs_freshness: bool = True


def verify(answer: Answer, question: Question, now: datetime) -> Verdict:
    """What ``answer`` says, as far as it is proven.

    Args:
        now: aware.

    Raises:
        RegistryForkError: the log does not continue the one that was seen before.
        RegistryUnavailableError: the freshness has ended.
        WrongClockError: it is yet to begin.
        MalformedEventError: a signature, a proof or the registry's id does not fit, an event could
            not be there, or something else was asked.
        LimitExceededError: a note or an event is too long.
    """
    # (1) It is about what was asked, and about this registry.
    _refuse_other_question(answer, question)
    # (2) Its events were signed by those who may, and could follow each other.
    state = _replayed(answer, question.registry_id)
    registry = _registry(state)
    # (3) A service of this registry says how long the log is, and each event is in it.
    services = registry.roles.services
    checkpoint = notes.verify_checkpoint(answer.checkpoint, services, registry.origin, now)
    for event in answer.events:
        leaf = merkle.leaf_hash(event.entry)
        merkle.verify_inclusion(event.position, checkpoint.size, leaf, event.proof, checkpoint.root)
    # (4) It is the log that was seen before, continued.
    forks.refuse_fork(question.seen, answer.checkpoint, _continuity(answer, question))
    # (5) A service says that this is all there is, as of now.
    issued, until = now, None
    if question.needs_freshness:
        issued, until = _freshness(answer, registry, now)
    # (6) What follows.
    return Verdict(
        tuple(_registrations(state, question.digests)),
        tuple(_recalls(state, question)),
        checkpoint,
        answer.checkpoint,
        issued,
        until,
    )


def _refuse_other_question(answer: Answer, question: Question) -> None:
    asked = ((question.digests, answer.digests), (question.keys, answer.keys))
    unanswered = [one for ones, named in asked for one in ones if not is_about(named, one)]
    if unanswered:
        raise MalformedEventError(f"a registry did not answer about {unanswered[0][:12]}…")


def _replayed(answer: Answer, registry_id: str) -> State:
    """The state after the events of ``answer``; raises MalformedEventError."""
    positions = [event.position for event in answer.events]
    if positions[:1] != [0] or any(map(operator.ge, positions, positions[1:])):
        raise MalformedEventError("an answer has not the first event, or not in their order")
    replay = Replay()
    for event in answer.events:
        signed = decode(event.entry)
        if event.position == 0 and signed.id != registry_id:
            raise MalformedEventError(
                f"this is another registry ({signed.id[:12]}…) than the expected one "
                f"({registry_id[:12]}…)"
            )
        try:
            replay.apply(signed)
        except EventRefusedError as error:
            cause = f"event {event.position} cannot be there: {error.cause}"
            raise MalformedEventError(cause) from error
    return replay.state


def _registry(state: State) -> Registry:
    if state.registry is None:
        raise MalformedEventError("an answer has not the event that founded the registry")
    return state.registry


def _continuity(answer: Answer, question: Question) -> Sequence[bytes] | None:
    """The proof that the log continues the one that was seen."""
    if question.consistency is None and question.seen:
        seen = notes.unverified_checkpoint(question.seen)
        return answer.consistency if seen.size == answer.since else None
    return question.consistency


def _freshness(answer: Answer, registry: Registry, now: datetime) -> tuple[datetime, datetime]:
    """From when until when a service says that ``answer`` is all there is."""
    said = freshness_of(answer, registry.roles.services, (registry.origin, registry.id), now)
    issued, until = (_moment(text) for text in (said.issued, said.until))
    if until <= now:
        ago = int((now - issued).total_seconds())
        cause = f"the registry's answer was good until {said.until}"
        raise RegistryUnavailableError(cause, since=ago)
    if issued > now + LEEWAY:
        cause = f"the registry's answer is of {said.issued}, which is yet to come here"
        raise WrongClockError(cause)
    return issued, until


def _registrations(state: State, digests: Sequence[str]) -> Iterator[Registration]:
    contents = (state.contents[one] for one in digests if one in state.contents)
    for pair in dict.fromkeys(pair for content in contents for pair in content.versions):
        version, stages = state.versions[pair], state.models[pair[0]].stages
        body = version.body
        yield Registration(
            *(body.model, body.version, body.root, body.algorithm, body.files, body.container),
            statement=body.statement,
            stages=tuple(name for name, stage in stages.items() if _holds(stage, body.version)),
            high_water={name: stage.high_water.version for name, stage in stages.items()},
            signers=version.by,
            time=version.time,
        )


def _holds(stage: Stage, version: str) -> bool:
    return any(mark.version == version for mark in stage.present)


def _recalls(state: State, question: Question) -> Iterator[RecallFound]:
    contents = {digest: state.contents.get(digest) for digest in question.digests}
    told = set()
    for kind, found in (("root", contents), ("key", {k: state.keys.get(k) for k in question.keys})):
        for target, record in found.items():
            for recall in record.recalls if record else ():
                if recall.event not in told:
                    told.add(recall.event)
                    yield RecallFound(kind, target, recall.reason, recall.by, recall.time)


def _moment(text: str) -> datetime:
    try:
        return moment(text)
    except ValueError as error:
        raise MalformedEventError("the freshness of an answer has no times") from error
