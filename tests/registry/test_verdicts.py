# SPDX-License-Identifier: Apache-2.0
"""What a client believes of a registry's answer, whoever gave it: its service, a mirror, a database
that somebody edited, or somebody in between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_integrity_hook.errors import (
    IntegrityError,
    LimitExceededError,
    MalformedEventError,
    RegistryForkError,
    RegistryUnavailableError,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import answers, forks, merkle, notes, signed, verdicts
from keras_integrity_hook.registry.answers import Answer
from keras_integrity_hook.registry.events import (
    Recalled,
    Registered,
    Restored,
    RolesChanged,
    Service,
    Withdrawn,
)
from keras_integrity_hook.registry.notes import Checkpoint
from keras_integrity_hook.registry.verdicts import Verdict
from keras_integrity_hook.signing import signers
from tests.support.logs import NOW, Log
from tests.support.registries import NEVER, ORIGIN, Cast, digests_of, promotion, registration
from tests.support.signers import make_key

ONE, TWO = registration(version="1.0"), registration(version="2.0")
UNKNOWN = "0" * 64
BOTH = ("alice", "bob")


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Cast:
    return Cast(tmp_path_factory.mktemp("cast"))


@pytest.fixture
def log(cast: Cast) -> Log:
    """Two versions, the second of which took the first one's place."""
    log = Log(cast)
    log.add(ONE, "carol")
    log.add(promotion(ONE), *BOTH)
    log.add(TWO, "carol")
    log.add(promotion(TWO, exclusive=True), *BOTH)
    return log


def told(log: Log, *digests: str, keys: tuple[str, ...] = (), seen: bytes = b"") -> Verdict:
    """What follows from an honest answer."""
    answer = log.answer(*digests)
    return verdicts.verify(answer, log.question(*digests, keys=keys, seen=seen), NOW)


def is_refused(
    log: Log,
    answer: Answer,
    *digests: str,
    at: datetime = NOW,
    error: type[Exception] = MalformedEventError,
) -> str:
    with pytest.raises(error) as caught:
        verdicts.verify(answer, log.question(*digests), at)
    return str(caught.value)


# What an honest answer says


def test_a_registered_version_its_stages_and_who_registered_it(log: Log) -> None:
    verdict = told(log, TWO.root)
    (found,) = verdict.registrations
    assert (found.model, found.version, found.root) == ("classifier", "2.0", TWO.root)
    assert (found.stages, found.high_water) == (("production",), {"production": "2.0"})
    assert (found.signers, found.statement) == (("carol",), TWO.statement)
    assert (verdict.recalls, verdict.as_of, verdict.good_until) == (
        (),
        NOW,
        NOW + timedelta(hours=1),
    )
    assert verdict.checkpoint.size == 5
    assert notes.unverified_checkpoint(verdict.note) == verdict.checkpoint


def test_a_version_that_another_replaced_is_in_no_stage_but_below_its_high_water(log: Log) -> None:
    (found,) = told(log, ONE.root).registrations
    assert (found.stages, found.high_water) == ((), {"production": "2.0"})


def test_a_version_is_found_by_its_digest_under_every_algorithm(log: Log) -> None:
    for digest in TWO.digests.values():
        assert told(log, digest).registrations == told(log, TWO.root).registrations
    assert len(told(log, *TWO.digests.values()).registrations) == 1


def test_content_under_two_names_has_two_registrations(log: Log) -> None:
    log.add(registration("copy", "7", content="classifier 2.0"), "carol")
    found = told(log, TWO.root).registrations
    assert [(one.model, one.version, one.stages) for one in found] == [
        ("classifier", "2.0", ("production",)),
        ("copy", "7", ()),
    ]


def test_of_what_is_unknown_nothing_is_said_and_that_is_signed(log: Log) -> None:
    verdict = told(log, UNKNOWN)
    assert (verdict.registrations, verdict.recalls) == ((), ())
    assert verdict.good_until


def test_a_withdrawn_version_is_in_no_stage(log: Log) -> None:
    log.add(Withdrawn(TWO.model, TWO.version, TWO.root, "production"), *BOTH)
    (found,) = told(log, TWO.root).registrations
    assert (found.stages, found.high_water) == ((), {"production": "2.0"})


@pytest.mark.parametrize("asked", TWO.digests)
@pytest.mark.parametrize("named", TWO.digests)
def test_a_recall_is_told_under_every_digest_until_it_is_taken_back(
    log: Log, asked: str, named: str
) -> None:
    log.add(Recalled("root", TWO.digests[named], "poisoned"), "carol")
    (recall,) = told(log, TWO.digests[asked]).recalls
    assert (recall.kind, recall.reason, recall.by) == ("root", "poisoned", ("carol",))
    log.add(Restored("root", TWO.digests[named], "it was not"), "dave")
    assert told(log, TWO.digests[asked]).recalls == ()


def test_a_recall_of_what_was_never_registered_is_told(log: Log) -> None:
    strange = digests_of("strange")
    log.add(Recalled("root", strange["sha256"], "seen in the wild", strange), "carol")
    for digest in strange.values():
        verdict = told(log, digest)
        assert len(verdict.recalls) == 1
        assert verdict.registrations == ()


def test_the_recall_of_a_key_is_told_to_whoever_asks_about_it(log: Log) -> None:
    log.add(Recalled("key", UNKNOWN, "stolen"), "carol")
    (recall,) = told(log, TWO.root, keys=(UNKNOWN, "1" * 64)).recalls
    assert (recall.kind, recall.target, recall.reason) == ("key", UNKNOWN, "stolen")
    assert told(log, TWO.root).recalls == ()


def test_part_of_the_log_proves_what_the_whole_log_does(log: Log) -> None:
    log.add(registration("other"), "carol")
    log.add(promotion(registration("other"), "staging"), "carol")
    whole = told(log, TWO.root)
    part = log.answer(TWO.root, positions=[0, 3, 4])
    assert verdicts.verify(part, log.question(TWO.root), NOW) == whole
    assert len(answers.encode(part)) < len(answers.encode(log.answer(TWO.root)))


# Attacks by whoever stores and serves


def test_an_event_that_no_actor_signed_is_refused(log: Log, tmp_path: Path) -> None:
    """The service, or whoever has its key, forges a registration."""
    evil = registration(version="3.0", content="evil")
    event = signed.new_event(evil, log.registry_id)
    forged = signed.SignedEvent(signed.payload_of(event))
    make_key(tmp_path / "mallory")
    for path in (log.cast.service, str(tmp_path / "mallory")):
        signature = signed.sign(forged.payload, path)
        for keyid in (signature.keyid, log.cast.keys["carol"].keyid):
            mutilated = forged._replace(signatures=(signature._replace(keyid=keyid),))
            log.entries.append(signed.encode(mutilated))
            assert "cannot be there" in is_refused(log, log.answer(evil.root), evil.root)
            log.entries.pop()


def test_an_actors_event_with_another_payload_is_refused(log: Log) -> None:
    honest = signed.decode(log.entries[3])
    evil = signed.event_of(honest)._replace(body=registration(version="2.0", content="evil"))
    log.entries[3] = signed.encode(honest._replace(payload=signed.payload_of(evil)))
    is_refused(log, log.answer(digests_of("evil")["sha256"]), digests_of("evil")["sha256"])


def test_one_alone_cannot_promote_what_takes_two(log: Log) -> None:
    one = log.cast.signed(promotion(ONE, rollback=True), "alice")
    log.entries.append(signed.encode(one))
    assert "takes 2 of alice, bob" in is_refused(log, log.answer(ONE.root), ONE.root)


def test_an_event_of_another_registry_is_refused(log: Log, cast: Cast) -> None:
    """The same people run a registry for experiments; what they sign there counts there."""
    ours = cast.registry
    theirs = Log(cast)
    cast.registry = ours
    evil = registration(version="9", content="experiment")
    event = cast.signed(evil, "carol", registry=signed.decode(theirs.entries[0]).id)
    log.entries.append(signed.encode(event))
    is_refused(log, log.answer(evil.root), evil.root)


def test_another_registry_by_the_same_people_does_not_pass_for_this_one(
    log: Log, cast: Cast
) -> None:
    ours = cast.registry
    theirs = Log(cast)
    theirs.add(ONE, "carol")
    answer = theirs.answer(ONE.root)
    cast.registry = ours
    assert "another registry" in is_refused(log, answer, ONE.root)


def test_an_event_that_is_replayed_is_refused(log: Log) -> None:
    """The promotion of the first version once more, after it was replaced."""
    log.entries.append(log.entries[2])
    is_refused(log, log.answer(ONE.root), ONE.root)
    is_refused(log, log.answer(ONE.root, positions=[0, 1, 3, 4, 5]), ONE.root)


def test_a_recall_cannot_be_cut_out_of_an_answer(log: Log) -> None:
    """By somebody between the service and the client: the freshness is over all events."""
    log.add(Recalled("root", TWO.root, "poisoned"), "carol")
    answer = log.answer(TWO.root)
    is_refused(log, answer._replace(events=answer.events[:-1]), TWO.root)


def test_an_old_freshness_does_not_fit_another_answer(log: Log) -> None:
    """Mix and match: the events of now with the word of before, and the other way round."""
    before = log.answer(TWO.root)
    log.add(Recalled("root", TWO.root, "poisoned"), "carol")
    now = log.answer(TWO.root)
    for answer in (
        before._replace(freshness=now.freshness),
        now._replace(freshness=before.freshness),
        before._replace(checkpoint=now.checkpoint),
        now._replace(checkpoint=before.checkpoint),
        now._replace(freshness=log.answer(ONE.root).freshness),
        now._replace(freshness=now.checkpoint),
    ):
        is_refused(log, answer, TWO.root)


def test_an_answer_to_another_question_is_none(log: Log) -> None:
    """ "Unknown" about one digest is no word on another, nor on keys that were not asked about."""
    is_refused(log, log.answer(UNKNOWN), TWO.root)
    question = log.question(TWO.root, keys=(UNKNOWN,))
    with pytest.raises(MalformedEventError):
        verdicts.verify(log.answer(TWO.root, keys=()), question, NOW)
    verdicts.verify(log.answer(TWO.root, keys=(UNKNOWN,)), question, NOW)


def test_without_freshness_only_a_reader_of_the_database_believes_it(log: Log) -> None:
    answer = log.answer(TWO.root)._replace(freshness=b"")
    is_refused(log, answer, TWO.root)
    verdict = verdicts.verify(answer, log.question(TWO.root)._replace(needs_freshness=False), NOW)
    assert (verdict.as_of, verdict.good_until) == (NOW, None)


def test_a_frozen_answer_ends(log: Log) -> None:
    answer, end = log.answer(TWO.root), NOW + timedelta(hours=1)
    verdicts.verify(answer, log.question(TWO.root), end - timedelta(seconds=1))
    with pytest.raises(RegistryUnavailableError) as caught:
        verdicts.verify(answer, log.question(TWO.root), end)
    assert caught.value.since == 3600


def test_an_answer_of_the_future_says_that_a_clock_is_wrong(log: Log) -> None:
    answer = log.answer(TWO.root)
    verdicts.verify(answer, log.question(TWO.root), NOW - timedelta(minutes=4))
    said = is_refused(
        log, answer, TWO.root, at=NOW - timedelta(days=1), error=RegistryUnavailableError
    )
    assert "clock" in said


def test_events_are_where_they_are_said_to_be(log: Log) -> None:
    answer = log.answer(TWO.root)
    moved = answer.events[3]._replace(position=7)
    foreign = answer.events[3]._replace(proof=answer.events[2].proof)
    for events in (
        (*answer.events[:3], moved),
        (*answer.events[:3], foreign),
        (*answer.events[:3], answer.events[3]._replace(proof=())),
        (answer.events[0], answer.events[2], answer.events[1]),
        (*answer.events, answer.events[-1]),
        answer.events[1:],
        (),
    ):
        is_refused(log, log.refreshed(answer._replace(events=events)), TWO.root)


def test_an_event_that_is_not_in_the_log_is_refused(log: Log) -> None:
    """Carol signed it, and it was never logged: nobody else could see it."""
    secret = log.forked(log.size)
    secret.add(registration(version="3.0"), "carol")
    answer = secret.answer(registration(version="3.0").root)
    shown = log.refreshed(answer._replace(checkpoint=log.checkpoint()))
    is_refused(log, shown, registration(version="3.0").root)


# Forks


def test_a_log_that_was_continued_is_the_same(log: Log) -> None:
    seen = told(log, TWO.root).note
    log.add(registration("other"), "carol")
    answer = log.answer(TWO.root, since=5)
    assert verdicts.verify(answer, log.question(TWO.root, seen=seen), NOW).checkpoint.size == 6
    assert told(log, TWO.root, seen=log.checkpoint()).checkpoint.size == 6


def test_a_log_that_forgets_is_a_fork(log: Log) -> None:
    """A backup is put back, or a recall is cut off: the shorter log is signed like any other."""
    log.add(Recalled("root", TWO.root, "poisoned"), "carol")
    seen = log.checkpoint()
    shorter = log.forked(5)
    with pytest.raises(RegistryForkError) as caught:
        told(shorter, TWO.root, seen=seen)
    assert caught.value.seen == seen.decode()
    assert caught.value.shown == shorter.checkpoint().decode()


@pytest.mark.parametrize("kept", [1, 4, 5])
def test_a_log_that_tells_another_past_is_a_fork(log: Log, kept: int) -> None:
    """As long as before, or longer, with any proof that it can make."""
    log.add(Recalled("root", TWO.root, "poisoned"), "carol")
    seen, other = log.checkpoint(), log.forked(kept)
    while other.size < log.size:
        other.add(registration(f"filler {other.size}"), "carol")
    with pytest.raises(RegistryForkError):
        told(other, TWO.root, seen=seen)
    other.add(registration("one more"), "carol")
    answer = other.answer(TWO.root, since=log.size)
    with pytest.raises(RegistryForkError):
        verdicts.verify(answer, log.question(TWO.root, seen=seen), NOW)


def test_a_log_that_grew_and_does_not_prove_it_is_refused(log: Log) -> None:
    seen = log.checkpoint()
    log.add(registration("other"), "carol")
    with pytest.raises(MalformedEventError):
        told(log, TWO.root, seen=seen)


def test_a_mirror_lets_the_client_make_the_proof(log: Log) -> None:
    seen = log.checkpoint()
    log.add(registration("other"), "carol")
    proof = merkle.consistency_proof(5, 6, log.nodes)
    question = log.question(TWO.root, seen=seen)._replace(consistency=proof)
    assert verdicts.verify(log.answer(TWO.root), question, NOW).checkpoint.size == 6
    with pytest.raises(RegistryForkError):
        verdicts.verify(log.answer(TWO.root), question._replace(consistency=proof[:-1]), NOW)


def test_a_log_that_changes_its_name_is_a_fork(log: Log) -> None:
    renamed = notes.sign_checkpoint(Checkpoint("elsewhere.example", 5, bytes(32)), log.key)
    with pytest.raises(RegistryForkError):
        forks.refuse_fork(renamed, log.checkpoint(), ())


# Service keys


def with_services(log: Log, *services: Service) -> None:
    log.add(RolesChanged(log.cast.roles(services=services)), *BOTH)


def test_a_stolen_service_key_is_of_no_use_once_the_roles_have_another(
    log: Log, tmp_path: Path
) -> None:
    thief, before = log.key, log.answer(TWO.root)
    key = make_key(tmp_path / "new")
    with_services(log, Service("new", key.keyid, key.pem, NEVER))
    is_refused(log, log.answer(TWO.root), TWO.root)
    log.key = signers.find(str(tmp_path / "new"))
    assert told(log, TWO.root).registrations
    log.key = thief
    is_refused(log, log.answer(TWO.root), TWO.root)
    # What he can do: show the log as it was, until the service's own end.
    verdicts.verify(before, log.question(TWO.root), NOW)


def test_a_service_key_ends_and_takes_its_freshness_with_it(log: Log) -> None:
    (service,) = log.cast.roles().services
    end = NOW + timedelta(minutes=10)
    with_services(log, service._replace(expires=end.strftime("%Y-%m-%dT%H:%M:%SZ")))
    answer = log.answer(TWO.root)
    assert verdicts.verify(answer, log.question(TWO.root), NOW).good_until == end
    is_refused(log, answer, TWO.root, at=end)


# Form


def test_an_answer_is_read_as_what_it_was(log: Log) -> None:
    answer = log.answer(TWO.root, UNKNOWN, since=3)
    assert answers.decode(answers.encode(answer)) == answer


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b" ",
        lambda data: b"[" + data + b"]",
        lambda data: data.replace(b'"since":0', b'"since":-1'),
        lambda data: data.replace(b'"since":0', b'"since":true'),
        lambda data: data.replace(b'"since":0', b'"since":"0"'),
        lambda data: data.replace(b'"since":0', b'"since":0.0'),
        lambda data: data.replace(b'"since":0', b'"sense":0'),
        lambda data: data.replace(b'"consistency":""', b'"consistency":"AAAA"'),
        lambda data: data.replace(b'"consistency":""', b'"consistency":"!"'),
        lambda data: data.replace(b'"keys":["*"]', b'"keys":"*"'),
        lambda data: data.replace(b'"events":[', b'"events":[3,'),
        lambda data: data.replace(b'"events":[[0,', b'"events":[['),
        lambda data: b"",
        lambda data: b"null",
        lambda data: b"\xff",
        lambda data: b"[" * 100_000,
    ],
)
def test_half_an_answer_or_another_thing_is_refused(
    log: Log, change: Callable[[bytes], bytes]
) -> None:
    data = answers.encode(log.answer(TWO.root))
    assert change(data) != data
    with pytest.raises((MalformedEventError, LimitExceededError)):
        answers.decode(change(data))


def test_an_answer_that_is_too_long_is_not_read(log: Log) -> None:
    data = answers.encode(log.answer(TWO.root))
    with pytest.raises(LimitExceededError):
        answers.decode(data + b" " * LIMITS.registry_answer)
    answer = log.answer(TWO.root)
    many = answer._replace(events=answer.events[:1] * (LIMITS.registry_events + 1))
    with pytest.raises(LimitExceededError):
        answers.decode(answers.encode(many))
    long = answer._replace(consistency=(bytes(32),) * (LIMITS.registry_proof + 1))
    with pytest.raises(LimitExceededError):
        answers.decode(answers.encode(long))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_byte_of_an_answer_can_be_changed(log: Log, data: st.DataObject) -> None:
    spelt = answers.encode(log.answer(TWO.root))
    changed = bytearray(spelt)
    position = data.draw(st.integers(0, len(spelt) - 1))
    changed[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(IntegrityError):
        verdicts.verify(answers.decode(bytes(changed)), log.question(TWO.root), NOW)


def test_times_without_a_zone_are_none(log: Log) -> None:
    assert told(log, TWO.root).as_of.tzinfo is UTC


def test_a_registration_is_of_the_files_that_it_names(log: Log) -> None:
    one_set: Registered = registration("set")._replace(container="saved-model", files="ab" * 32)
    log.add(one_set, "carol")
    (found,) = told(log, one_set.root).registrations
    assert (found.files, found.container) == ("ab" * 32, "saved-model")
    assert found.algorithm == "sha256"
    assert told(log, one_set.root).checkpoint.origin == ORIGIN
