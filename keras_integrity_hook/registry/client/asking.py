# SPDX-License-Identifier: Apache-2.0
"""Ask a registry, in numbered steps.

1. What a *service or mirror* said within the last minute is said again. A database is asked each
   time: it shows the present.
2. A registry that did not answer within the last minute is not asked again.
3. It is *asked*, for no longer than the time-out.
4. What it says is *verified*: by its events, and against the checkpoint that was seen before, so
   that it can neither forget nor tell each another past.
5. That is *kept*, for the next minute and for the time in which it cannot be reached.
6. Where there was no answer that counts, the one that is *kept* does, until it is too old.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from keras_integrity_hook.errors import (
    IntegrityError,
    LimitExceededError,
    MalformedEventError,
    RegistryError,
    RegistryForkError,
    RegistryUnavailableError,
    WrongClockError,
    printable,
)
from keras_integrity_hook.registry import answers, verdicts
from keras_integrity_hook.registry.client import deadline, memory, sources
from keras_integrity_hook.registry.client.memory import Asked, Given, Seen
from keras_integrity_hook.registry.client.source import Said, Source
from keras_integrity_hook.registry.verdicts import Question, Verdict

REUSED = timedelta(minutes=1)
"""For how long an answer of a service is taken without asking anew."""
SILENCE = timedelta(minutes=1)
"""For how long one that does not answer is left alone."""
_MOST_KNOWN = 1_000  # of this process
_known: dict[Asked, _Known] = {}


def clock() -> datetime:
    """Now, UTC."""
    return datetime.now(UTC)


class _Known(NamedTuple):
    """What this process was told, and what follows from it."""

    given: Given
    verdict: Verdict

    def is_of_last_minute(self, now: datetime, max_age: timedelta) -> bool:
        """Whether it need not be asked about again; not where the clock was turned back."""
        age = now - self.given.at
        return timedelta() <= age < REUSED and _is_young(self.verdict, now, max_age)


def ask(asked: Asked, *, max_age: timedelta, timeout: timedelta) -> Verdict:
    """What the registry says about ``asked``, or said not longer than ``max_age`` ago.

    Args:
        timeout: how long this may take where it has to be asked.

    Raises:
        RegistryUnavailableError: it does not answer, and what it said before is too old.
        WrongClockError: this machine's clock is behind what the registry has signed.
        RegistryForkError: it shows another past than it showed before.
        MalformedEventError, LimitExceededError: what it says is not proven by anything, and what it
            said before is too old.
        RegistryError: none is there, or nothing to ask it with is installed.
    """
    now = clock()
    source = sources.source(asked.url, timeout.total_seconds())
    if source.needs_freshness:
        recent = _recalled(asked, now)
        if recent is not None and recent.is_of_last_minute(now, max_age):
            return recent.verdict  # 1
    try:
        _refuse_silent(asked, now)  # 2
        return _asked(asked, source, now, max_age, timeout)
    except (RegistryForkError, WrongClockError):
        raise
    except (RegistryError, LimitExceededError) as error:
        verdict = _fallen_back(asked, now, max_age)  # 6
        if verdict is None:
            raise _told(error, asked, now) from None
        return verdict


def _asked(
    asked: Asked, source: Source, now: datetime, max_age: timedelta, timeout: timedelta
) -> Verdict:
    seen = memory.seen(asked)
    try:
        with _as_registry_errors():
            said = deadline.within(  # 3
                None if source.ends_in_time else timeout.total_seconds(),
                lambda: source.answers(asked, seen.note),
            )
            verdict, given = _verified(said, asked, source, seen, now)  # 4
    except WrongClockError:
        raise  # it did answer
    except RegistryUnavailableError as error:
        memory.keep_silence(asked, now, error.cause)
        raise
    _refuse_wrong_clock(verdict.as_of, now)
    if not _is_young(verdict, now, max_age):
        cause = f"what the registry says is of {verdict.as_of:%Y-%m-%d %H:%M:%S} UTC, which is too"
        raise RegistryUnavailableError(f"{cause} long ago (registry_max_age)")
    _keep(asked, verdict, given, seen)  # 5
    return verdict


def _verified(
    said: Sequence[Said], asked: Asked, source: Source, seen: Seen, now: datetime
) -> tuple[Verdict, Given]:
    """What was said, verified. Never in the thread that is waited for: OpenSSL takes a lock as that
    ends, and who forks then has a child that waits for it at its first signature."""
    given = Given(now, tuple(answers.encode(one.answer) for one in said))
    known = _known.get(asked)
    if known is not None and not source.needs_freshness and known.given.answers == given.answers:
        return known.verdict._replace(as_of=now), given  # nothing has happened since
    found = []
    for one, question in zip(said, _questions(asked, source, len(said)), strict=True):
        continued = question._replace(seen=seen.note, consistency=one.consistency)
        found.append(verdicts.verify(one.answer, continued, now))
    return _merged(found), given


def _questions(asked: Asked, source: Source, count: int) -> list[Question]:
    """What each of ``count`` answers has to be about: one about all, or one about each digest."""
    about = [asked.digests] if count == 1 else [(digest,) for digest in asked.digests]
    fresh = source.needs_freshness
    return [
        Question(asked.registry_id, digests, asked.keys, needs_freshness=fresh) for digests in about
    ]


def _merged(found: list[Verdict]) -> Verdict:
    """What several answers of a mirror say together: the least of what each is good for."""
    if not found:
        raise MalformedEventError("a registry said nothing")
    latest = max(found, key=lambda one: one.checkpoint.size)
    until = [one.good_until for one in found if one.good_until is not None]
    return latest._replace(
        registrations=tuple(each for one in found for each in one.registrations),
        recalls=tuple(each for one in found for each in one.recalls),
        as_of=min(one.as_of for one in found),
        good_until=min(until, default=None),
    )


def _keep(asked: Asked, verdict: Verdict, given: Given, seen: Seen) -> None:
    """(5) What was said, and what the registry was. A file that says the same is not written anew
    within a minute: an answer is then taken for that much older than it is."""
    known = _known.get(asked)
    is_kept = known is not None and known.given.answers == given.answers
    if known is not None and is_kept and timedelta() <= given.at - known.given.at < REUSED:
        return
    _note(asked, _Known(given, verdict))
    memory.keep(asked, given)
    memory.forget_silence(asked)
    # Whoever saw the present knows that a clock which was ahead has been put right. An answer with
    # a freshness may be an old one.
    latest = verdict.as_of if verdict.good_until is None else max(verdict.as_of, seen.at)
    if verdict.note != seen.note or not timedelta() <= latest - seen.at <= REUSED:
        memory.keep_seen(asked, Seen(verdict.note, latest))


def _fallen_back(asked: Asked, now: datetime, max_age: timedelta) -> Verdict | None:
    """(6) What was said before, if that is not too old."""
    known = _recalled(asked, now)
    if known is None:
        return None
    # Where the clock was turned back, everything looks young.
    _refuse_wrong_clock(max(known.verdict.as_of, memory.seen(asked).at), now)
    return known.verdict if _is_young(known.verdict, now, max_age) else None


def _recalled(asked: Asked, now: datetime) -> _Known | None:
    """What was said the last time, to this process or to another, and what follows from it."""
    known = _known.get(asked)
    if known is None or now - known.given.at >= REUSED:
        given = memory.given(asked)
        if given is not None and (known is None or given.at > known.given.at):
            known = _read_again(asked, given) or known
    return known


def _read_again(asked: Asked, given: Given) -> _Known | None:
    """What follows from answers that another process was given, as of then."""
    source = sources.source(asked.url, 0)
    questions = _questions(asked, source, len(given.answers))
    try:
        found = [
            verdicts.verify(answers.decode(one), question, given.at)
            for one, question in zip(given.answers, questions, strict=True)
        ]
        known = _Known(given, _merged(found))
    except (IntegrityError, ValueError):
        return None
    _note(asked, known)
    return known


def _note(asked: Asked, known: _Known) -> None:
    while len(_known) >= _MOST_KNOWN:
        with contextlib.suppress(KeyError, RuntimeError, StopIteration):  # another thread's turn
            del _known[next(iter(_known))]
    _known[asked] = known


def _is_young(verdict: Verdict, now: datetime, max_age: timedelta) -> bool:
    return now - verdict.as_of < max_age


def _refuse_silent(asked: Asked, now: datetime) -> None:
    silent = memory.silence(asked)
    if silent is not None and timedelta() <= now - silent[0] < SILENCE:
        cause = f"{silent[1]} (at {silent[0]:%H:%M:%S} UTC; it is asked once a minute)"
        raise RegistryUnavailableError(cause)


def _refuse_wrong_clock(latest: datetime, now: datetime) -> None:
    if latest - now > verdicts.LEEWAY:
        cause = (
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, and the registry was seen at "
            f"{latest:%Y-%m-%d %H:%M}: how old an answer is cannot be known"
        )
        raise WrongClockError(cause)


def _told(error: IntegrityError, asked: Asked, now: datetime) -> IntegrityError:
    """``error``, and since when nothing else is known."""
    if isinstance(error, RegistryUnavailableError) and error.since is None:
        last = memory.given(asked)
        if last is not None:
            error.since = int((now - last.at).total_seconds())
    return error


@contextlib.contextmanager
def _as_registry_errors() -> Iterator[None]:
    """An error that nobody thought of, of a library that was given what a stranger sent."""
    try:
        yield
    except (RegistryError, LimitExceededError):
        raise
    except Exception as error:
        why = (
            error.cause if isinstance(error, IntegrityError) else f"{type(error).__name__}: {error}"
        )
        cause = f"the registry could not be asked ({printable(why)})"
        raise RegistryUnavailableError(cause) from error
