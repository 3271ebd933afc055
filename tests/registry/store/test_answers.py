# SPDX-License-Identifier: Apache-2.0
"""An answer has few events, and what follows from them is what follows from all."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from keras_integrity_hook.errors import EventRefusedError
from keras_integrity_hook.registry import answers, merkle, notes, signed
from keras_integrity_hook.registry.answers import EVERY_KEY, Answer, ProvenEvent
from keras_integrity_hook.registry.events import (
    Body,
    Recalled,
    Registered,
    Restored,
    RolesChanged,
    Withdrawn,
)
from keras_integrity_hook.registry.store import Store, Subject
from keras_integrity_hook.registry.verdicts import Question, Registration, Verdict, verify
from tests.support.logs import NOW
from tests.support.registries import Cast, digests_of, promotion, registration
from tests.support.stores import Kept


def everything(store: Store, digests: tuple[str, ...], keys: tuple[str, ...]) -> Answer:
    """As :meth:`Store.answer`, with every event of the log."""
    size = store.size()
    proofs = merkle.inclusion_proofs(range(size), size, store.nodes)
    entries = store.entries(0, size)
    events = tuple(map(ProvenEvent, range(size), entries, proofs))
    return Answer(digests, keys, events, store.checkpoint())


def verdict(store: Store, answer: Answer) -> Verdict:
    question = Question(store.registry_id(), answer.digests, answer.keys, needs_freshness=False)
    found = verify(answer, question, NOW)
    # Stages stand in the order in which they were first heard of, which says nothing.
    registrations = (one._replace(stages=tuple(sorted(one.stages))) for one in found.registrations)
    return found._replace(registrations=tuple(registrations))


def random_bodies(cast: Cast, seed: int) -> Iterator[tuple[Body, tuple[str, ...]]]:
    """Events about three models, five contents and their keys; some may not follow."""
    chance = random.Random(seed)
    known: list[Registered] = []
    key = cast.keys["carol"].keyid
    for _ in range(60):
        kind = chance.choice("rrrppppppwwcoCO!")
        content = chance.choice("abcde")
        if kind == "r" or not known:
            version = f"{chance.randint(0, 3)}.{chance.randint(0, 2)}"
            known.append(registration(chance.choice("xyz"), version, content))
            yield known[-1], ("alice",)
            continue
        one = chance.choice(known)
        stage = chance.choice(["staging", "production"])
        by = ("carol",) if stage == "staging" else ("alice", "bob")
        # Some recalls name digests of two contents, by mistake or malice.
        named = content if chance.random() < 0.8 else chance.choice("abcde")
        some = dict(chance.sample(sorted(digests_of(named).items()), 2))
        target = chance.choice(sorted(digests_of(content).values()))
        is_alone = chance.random() < 0.3
        possible: dict[str, tuple[Body, tuple[str, ...]]] = {
            "p": (promotion(one, stage, exclusive=is_alone, rollback=True), by),
            "w": (Withdrawn(one.model, one.version, one.root, stage), by),
            "c": (Recalled("root", target, "bad", some), ("alice",)),
            "o": (Restored("root", target, "fine"), ("dave",)),
            "C": (Recalled("key", key, "stolen"), ("alice",)),
            "O": (Restored("key", key, "found"), ("dave",)),
            "!": (RolesChanged(cast.roles()), ("alice", "bob")),
        }
        yield possible[kind]


@pytest.mark.parametrize("seed", [1, 2])
def test_an_answer_leads_to_the_verdict_that_all_events_lead_to(kept: Kept, seed: int) -> None:
    taken = 0
    for body, names in random_bodies(kept.cast, seed):
        try:
            kept.add(body, *names)
        except EventRefusedError:
            continue
        taken += 1
        if taken % 12 == 0:
            check_all(kept)
    assert taken > 20
    check_all(kept)
    before = [kept.store.answer([root]) for root in kept.store.digests()]
    assert kept.store.rebuild() == taken + 1
    assert [kept.store.answer([root]) for root in kept.store.digests()] == before
    assert list(kept.store.differences()) == []


def check_all(kept: Kept) -> None:
    store, keys = kept.store, (kept.cast.keys["carol"].keyid,)
    every = tuple(root for content in "abcde" for root in digests_of(content).values())
    for asked in (*((root,) for root in every), every[::2], every):
        found = verdict(store, store.answer(asked, keys=keys))
        by_all = verdict(store, everything(store, asked, keys))
        assert found.recalls == by_all.recalls
        assert named(found, asked) == named(by_all, asked)
        assert set(map(str, found.registrations)) <= set(map(str, by_all.registrations))
        assert found._replace(registrations=()) == by_all._replace(registrations=())


def named(found: Verdict, asked: tuple[str, ...]) -> list[Registration]:
    """The registrations that name one of the digests. By a recall that was taken back, which is
    not told, the digest of another content may be known to be of the same: nobody is to take that
    for registered."""
    contents = {digests_of(one)["sha256"]: {*digests_of(one).values()} for one in "abcde"}
    return [one for one in found.registrations if not contents[one.root].isdisjoint(asked)]


def test_recalls_that_name_two_contents_are_told_with_all_that_was_said_of_both(
    kept: Kept,
) -> None:
    """Whether such a recall makes them one is decided by what is known of either, and by that what
    is restored with what."""
    a, b, c = map(digests_of, "abc")
    kept.add(registration("m", "1.0", "c"), "carol")
    kept.add(registration("n", "1.5", "a"), "carol")
    kept.add(Recalled("root", c["sha512"], "bad", {"sha256": b["sha256"]}), "carol")
    of_two = {name: a[name] for name in ("sha512", "blake2b")}
    kept.add(Recalled("root", b["sha256"], "bad", of_two), "carol")
    kept.add(Restored("root", a["blake2b"], "fine"), "dave")
    kept.add(Recalled("root", b["sha256"], "bad"), "carol")
    check_all(kept)
    kept.add(registration("n", "1.6", "d"), "carol")  # has nothing to do with it
    told = kept.store.answer([a["sha256"]])
    assert [event.position for event in told.events] == [0, 1, 2, 3, 4, 5, 6]
    assert verdict(kept.store, told).recalls


@pytest.mark.parametrize("restored", ["a", "b"])
def test_recall_of_two_contents_is_listed_while_it_is_in_force_for_one(
    kept: Kept, restored: str
) -> None:
    a, b = map(digests_of, "ab")
    for version, content in (("1.0", "a"), ("2.0", "b")):
        kept.add(registration("m", version, content), "carol")
    kept.add(Recalled("root", a["sha256"], "bad", {"sha512": b["sha512"]}), "carol")
    (row,) = kept.store.recalls()
    assert (row.target, row.versions) == (a["sha256"], (("m", "1.0"), ("m", "2.0")))
    for position, digests in ((1, a), (2, b)):
        log = kept.store.events(Subject(digest=digests["sha256"]))
        assert [one.position for one in log] == [3, position]
    kept.add(Restored("root", digests_of(restored)["sha256"], "fine"), "dave")
    other = digests_of("ab".replace(restored, ""))["sha256"]
    (row,) = kept.store.recalls()
    assert (row.event, row.signers, len(row.versions)) == (3, ("carol",), 1)
    assert kept.store.recall_of("root", digests_of(restored)["sha256"]) is None
    found = kept.store.recall_of("root", other)
    assert found is not None
    assert found.versions == row.versions
    # What the row names is what has to be restored.
    kept.add(Restored("root", row.target, "fine"), "dave")
    assert kept.store.recall_of("root", other) is None
    assert kept.store.recalls() == []
    assert list(kept.store.differences()) == []


def test_an_answer_about_many_versions_has_few_events(kept: Kept) -> None:
    for number in range(12):
        one = registration(version=f"1.{number}")
        kept.append(
            kept.cast.signed(one, "carol"),
            kept.cast.signed(promotion(one, "staging", exclusive=True), "carol"),
        )
    found = kept.store.answer([registration(version="1.3").root])
    # Founded; 1.3; and 1.11 with its promotion, which is the high-water mark.
    assert [event.position for event in found.events] == [0, 7, 23, 24]
    assert verdict(kept.store, found).registrations[0].high_water == {"staging": "1.11"}


def test_unknown_content_is_answered_too(kept: Kept) -> None:
    found = kept.store.answer(["ab" * 32, "cd" * 64], keys=("ef" * 32,))
    assert [event.position for event in found.events] == [0]
    assert verdict(kept.store, found).registrations == ()
    assert answers.decode(answers.encode(found)) == found


def test_recalls_of_all_keys_are_told_where_they_are_asked_for(kept: Kept) -> None:
    kept.add(Recalled("key", "ab" * 32, "stolen"), "carol")
    kept.add(Recalled("key", "cd" * 32, "stolen"), "carol")
    kept.add(Restored("key", "cd" * 32, "found"), "dave")
    assert [e.position for e in kept.store.answer([], keys=(EVERY_KEY,)).events] == [0, 1]
    assert [e.position for e in kept.store.answer([], keys=("cd" * 32,)).events] == [0]
    assert [e.position for e in kept.store.answer([], keys=("ab" * 32,)).events] == [0, 1]


def test_an_answer_continues_what_was_seen(kept: Kept) -> None:
    seen = kept.store.checkpoint()
    kept.add(registration(), "carol")
    found = kept.store.answer([registration().root], since=1)
    question = Question(kept.store.registry_id(), found.digests, seen=seen, needs_freshness=False)
    assert verify(found, question, NOW).checkpoint.size == 2
    assert kept.store.answer([registration().root], since=7).consistency == ()


def test_an_answer_of_before_is_given_only_while_it_is_the_answer(kept: Kept) -> None:
    one = registration()
    kept.add(one, "carol")
    first = kept.store.answer([one.root])
    assert kept.store.answer([one.root]) is first
    kept.add(Recalled("root", one.digests["sha512"], "bad"), "carol")
    second = kept.store.answer([one.root])
    assert len(second.events) == len(first.events) + 1
    assert verdict(kept.store, second).recalls


def test_a_snapshot_stays_as_it_is_whoever_appends(kept: Kept) -> None:
    one = registration()
    with kept.store.snapshot() as moment:
        assert moment.size() == 1
        kept.add(one, "carol")
        assert (moment.size(), kept.store.size()) == (1, 2)
        assert moment.digests() == []
        assert len(moment.answer([one.root]).events) == 1
        shown = notes.unverified_checkpoint(moment.checkpoint())
        assert shown.root == merkle.leaf_hash(moment.entry(0))
        assert signed.decode(moment.entry(0)).id == moment.registry_id()
