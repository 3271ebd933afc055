# SPDX-License-Identifier: Apache-2.0
"""What may follow what in a registry: each rule, each way round it that we know of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from keras_integrity_hook import registry
from keras_integrity_hook.errors import EventRefusedError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import authority, state
from keras_integrity_hook.registry.events import (
    Body,
    Founded,
    Recalled,
    Registered,
    Restored,
    Role,
    Roles,
    RolesChanged,
    Withdrawn,
)
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.state import State
from keras_integrity_hook.signing import keys
from tests.support.registries import ORIGIN, Cast, actor, digests_of, promotion, registration
from tests.support.signers import make_key


class Log:
    """A registry of the usual cast that events are put to."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.state = state.apply(state.EMPTY, cast.founding())

    def put(self, body: Body, *names: str) -> SignedEvent:
        made = self.cast.signed(body, *names)
        self.state = state.apply(self.state, made)
        return made

    def register(self, *args: Any, **more: Any) -> Registered:
        made = registration(*args, **more)
        self.put(made, "carol")
        return made

    def refused(self, body: Body | SignedEvent, *names: str) -> str:
        """The rule that refuses an event; the state stays as it was."""
        made = body if isinstance(body, SignedEvent) else self.cast.signed(body, *names)
        before = repr(self.state)
        with pytest.raises(EventRefusedError) as caught:
            state.apply(self.state, made)
        assert repr(self.state) == before
        assert caught.value.cause.isprintable()
        return caught.value.rule

    def present(self, model: str, stage: str) -> list[str]:
        return [mark.version for mark in self.state.models[model].stages[stage].present]


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Cast:
    return Cast(tmp_path_factory.mktemp("cast"))


@pytest.fixture
def log(cast: Cast) -> Log:
    return Log(cast)


def test_a_type_of_event_that_nobody_was_given_is_nobodys_to_sign(log: Log) -> None:
    class Deprecated(NamedTuple):
        kind: str = "root"
        target: str = "0" * 64
        reason: str = ""

    assert log.state.registry is not None
    with pytest.raises(AssertionError, match="Deprecated"):
        authority.role_for(Deprecated(), log.state.registry.roles)  # type: ignore[arg-type]


def test_the_first_event_founds_the_registry_and_its_id(cast: Cast) -> None:
    founding = cast.founding()
    with pytest.raises(EventRefusedError) as caught:
        state.apply(state.EMPTY, cast.signed(registration(), "carol"))
    assert caught.value.rule == "not-founded"
    after = state.apply(state.EMPTY, founding)
    assert after.registry is not None
    assert (after.registry.id, after.registry.origin) == (founding.id, ORIGIN)


def test_a_registry_is_founded_by_as_many_as_administer_it(cast: Cast) -> None:
    lonely = cast.signed(Founded(ORIGIN, cast.roles()), "alice", registry="")
    with pytest.raises(EventRefusedError) as caught:
        state.apply(state.EMPTY, lonely)
    assert caught.value.rule == "threshold"


def test_a_registry_is_founded_once(log: Log) -> None:
    again = log.cast.signed(
        Founded("other.example.com", log.cast.roles()), "alice", "bob", registry=""
    )
    assert log.refused(again) == "founded"


def test_an_event_of_another_registry_is_refused(log: Log) -> None:
    foreign = log.cast.signed(registration(), "carol", registry="cd" * 32)
    assert log.refused(foreign) == "other-registry"


def test_a_replayed_event_is_refused(log: Log) -> None:
    one = log.register()
    promoted = log.put(promotion(one, "staging"), "carol")
    log.put(Withdrawn(one.model, one.version, one.root, "staging"), "carol")
    assert log.refused(promoted) == "repeated"
    # Nor does another signature make it another event.
    assert log.refused(log.cast.countersigned(promoted, "alice")) == "repeated"


def test_nobody_does_alone_what_needs_two(log: Log) -> None:
    one = log.register()
    assert log.refused(promotion(one), "alice") == "threshold"
    twice = log.cast.countersigned(log.cast.signed(promotion(one), "alice"), "alice")
    assert log.refused(twice) == "signature"
    log.put(promotion(one), "bob", "alice")
    assert log.present(one.model, "production") == ["1.0"]


@pytest.mark.parametrize("names", [("carol",), ("dave", "carol")])
def test_who_may_not_do_a_thing_does_not(log: Log, names: tuple[str, ...]) -> None:
    one = log.register()
    assert log.refused(promotion(one), *names) == "not-allowed"
    assert log.refused(RolesChanged(log.cast.roles()), *names) == "not-allowed"


def test_each_task_asks_its_own_role(log: Log) -> None:
    one = log.register()
    other = registration(version="2.0")
    assert log.refused(other, "bob") == "not-allowed"
    assert log.refused(Recalled("root", one.root, "bad"), "dave") == "not-allowed"
    log.put(Recalled("root", one.root, "bad"), "carol")
    assert log.refused(Restored("root", one.root, "good"), "carol") == "not-allowed"
    log.put(Restored("root", one.root, "good"), "dave")
    assert log.refused(Withdrawn("classifier", "1.0", one.root, "staging"), "bob") == "not-allowed"


def test_an_event_that_nobody_signed_is_refused(log: Log) -> None:
    assert log.refused(registration()) == "not-allowed"


def test_a_stranger_s_signature_is_not_kept_beside_good_ones(log: Log, tmp_path: Path) -> None:
    """Else whoever carries an event to the registry could fill its log with what he likes."""
    good = log.cast.signed(registration(), "carol")
    stranger = Cast(tmp_path, ("mallory",))
    assert log.refused(stranger.countersigned(good, "mallory")) == "signature"
    broken = good.signatures[0]._replace(sig="AAAA")
    assert log.refused(SignedEvent(good.payload, (*good.signatures, broken))) == "signature"


def test_an_edited_event_is_refused(log: Log) -> None:
    good = log.cast.signed(registration(), "carol")
    evil = SignedEvent(good.payload.replace(b'"1.0"', b'"9.0"'), good.signatures)
    assert log.refused(evil) == "signature"


def test_new_roles_need_those_who_administer_now(log: Log, tmp_path: Path) -> None:
    """Whoever takes power by new roles is not asked whether the new roles let him."""
    coup = log.cast.roles(administer=Role(("carol",)))
    assert log.refused(RolesChanged(coup), "carol") == "not-allowed"
    assert log.refused(RolesChanged(coup), "alice", "carol") == "threshold"
    log.put(RolesChanged(coup), "alice", "bob")
    assert log.refused(RolesChanged(log.cast.roles()), "alice", "bob") == "not-allowed"
    log.put(RolesChanged(log.cast.roles()), "carol")


def test_who_left_the_roles_signs_no_more_and_what_was_signed_stays(log: Log) -> None:
    one = log.register()
    rest = tuple(log.cast.actor(name) for name in ("alice", "bob", "dave"))
    sole = Role(("alice",))
    fewer = log.cast.roles(actors=rest, register=sole, recall=sole, stages={"production": sole})
    log.put(RolesChanged(fewer), "alice", "bob")
    assert log.refused(registration(version="2.0"), "carol") == "signature"
    assert log.refused(promotion(one, "staging"), "alice") == "unknown-stage"
    log.put(promotion(one), "alice")


def unsound(cast: Cast, tmp_path: Path) -> Iterator[Roles]:
    usual = cast.roles()
    alice, bob, *others = usual.actors
    yield usual._replace(register=Role(()))
    yield usual._replace(register=Role(("alice",), 0))
    yield usual._replace(register=Role(("alice",), 2))
    yield usual._replace(register=Role(("alice", "alice"), 2))
    yield usual._replace(administer=Role(("mallory",)))
    yield usual._replace(stages={"production": Role(("mallory",))})
    yield usual._replace(actors=(alice, alice, *others))
    yield usual._replace(services=())
    # One person with two names, or one RSA key under two schemes, would be two signers.
    yield usual._replace(
        actors=(alice, bob._replace(keyid=alice.keyid, public=alice.public), *others)
    )
    rsa = make_key(tmp_path / "rsa", "rsa")
    other = keys.public_key(rsa.pem.encode(), "rsassa-pss-sha512")
    yield usual._replace(actors=(*usual.actors, actor("erin", rsa), actor("frank", other)))
    yield usual._replace(actors=(alice._replace(keyid="ab" * 32), bob, *others))
    yield usual._replace(actors=(alice._replace(public=alice.public + "\n"), bob, *others))
    yield usual._replace(actors=(alice._replace(scheme="ecdsa-sha2-nistp256"), bob, *others))
    yield usual._replace(actors=(alice._replace(public="no key"), bob, *others))
    service = usual.services[0]
    spare = make_key(tmp_path / "spare")
    second = service._replace(keyid=spare.keyid, public=spare.pem)
    yield usual._replace(services=(service, second))
    yield usual._replace(services=(service._replace(public=alice.public, keyid=alice.keyid),))
    yield usual._replace(services=(service._replace(public=rsa.pem, keyid=rsa.keyid),))


def test_roles_that_cannot_be_met_or_count_one_key_twice_are_refused(
    log: Log, tmp_path: Path
) -> None:
    for roles in unsound(log.cast, tmp_path):
        assert log.refused(RolesChanged(roles), "alice", "bob") == "roles"
        founding = log.cast.signed(Founded(ORIGIN, roles), "alice", "bob", registry="")
        with pytest.raises(EventRefusedError):
            state.apply(state.EMPTY, founding)


def test_a_version_has_one_content_for_ever(log: Log) -> None:
    one = log.register()
    assert log.refused(registration(content="swapped"), "carol") == "version-taken"
    for other in ("1", "1.0.0", "v1.0", "1.00"):
        assert log.refused(registration(version=other, content="swapped"), "carol") == (
            "version-taken"
        )
    assert log.refused(one, "carol") == "registered"
    again = registration(content="classifier 1.0", algorithm="sha512")
    assert log.refused(again, "carol") == "registered"


def test_a_set_of_other_files_with_the_same_bytes_is_other_content(log: Log) -> None:
    one = log.register()
    assert log.refused(one._replace(files="ab" * 32), "carol") == "version-taken"


def test_one_content_may_have_two_names(log: Log) -> None:
    log.register(version="2.0rc1", content="same")
    log.register(version="2.0", content="same")
    digest = digests_of("same")["blake2b"]
    assert log.state.contents[digest].versions == (("classifier", "2rc1"), ("classifier", "2"))


def test_a_registration_states_the_digests_by_which_it_may_be_recalled(log: Log) -> None:
    good = registration()
    for name in state.ALGORITHMS:
        fewer = {key: digest for key, digest in good.digests.items() if key != name}
        if name == good.algorithm:  # the root itself says it
            continue
        assert log.refused(good._replace(digests=fewer), "carol") == "digests"
    other = {**good.digests, "sha256": "ab" * 32}
    assert log.refused(good._replace(digests=other), "carol") == "digests"


def test_digests_that_contradict_what_is_known_are_refused(log: Log) -> None:
    one = log.register()
    stolen = registration(version="2.0")
    mixed = {**stolen.digests, "sha512": one.digests["sha512"]}
    assert log.refused(stolen._replace(digests=mixed), "carol") == "other-content"
    twice = {**stolen.digests, "blake3": stolen.root}
    assert log.refused(stolen._replace(digests=twice), "carol") == "other-content"


def test_a_wrong_digest_in_a_registration_keeps_nobody_from_recalling(log: Log) -> None:
    """Each digest that the recall names is recalled, and restored by itself."""
    true, lie = digests_of("evil"), digests_of("a lie")
    evil = registration(content="evil")
    log.put(evil._replace(digests={**true, "sha512": lie["sha512"]}), "carol")
    log.put(Recalled("root", true["blake2b"], "bad", true), "carol")
    for digest in (*true.values(), lie["sha512"]):
        assert log.state.contents[digest].recalls[0].reason == "bad"
    sealed_anew = registration("other", "1", "evil", algorithm="sha512")
    assert log.refused(sealed_anew._replace(digests=true), "carol") == "other-content"
    log.put(Restored("root", true["sha256"], "fine"), "dave")
    assert log.state.contents[true["sha512"]].recalls
    assert not log.state.contents[lie["sha512"]].recalls


@pytest.mark.parametrize("recalled_as", ["sha256", "sha512", "blake2b"])
@pytest.mark.parametrize("back_as", ["sha256", "sha512", "blake2b"])
def test_recalled_content_does_not_come_back_in_another_form(
    log: Log, recalled_as: str, back_as: str
) -> None:
    """Known before or not: a recall of one digest is met by each that states it."""
    digests = digests_of("poisoned")
    log.put(Recalled("root", digests[recalled_as], "poisoned"), "carol")
    back = registration("innocent", "7.0", "poisoned", algorithm=back_as)
    assert log.refused(back, "carol") == "recalled"

    known = log.register(content="known")
    log.put(Recalled("root", digests_of("known")[recalled_as], "bad"), "carol")
    assert log.refused(promotion(known, "staging"), "carol") == "recalled"
    again = registration("innocent", "7.0", "known", algorithm=back_as)
    assert log.refused(again, "carol") == "recalled"
    assert log.state.contents[digests_of("known")[back_as]].recalls[0].reason == "bad"


def test_what_was_restored_may_be_used_again_by_every_digest(log: Log) -> None:
    one = log.register()
    log.put(promotion(one, "staging"), "carol")
    log.put(Recalled("root", one.root, "first"), "carol")
    log.put(Recalled("root", one.digests["sha512"], "second"), "alice")
    log.put(Restored("root", one.digests["blake2b"], "both were wrong"), "dave")
    assert all(not log.state.contents[digest].recalls for digest in one.digests.values())
    assert log.present(one.model, "staging") == ["1.0"]
    assert log.refused(Restored("root", one.root, "again"), "dave") == "not-recalled"
    assert log.refused(Restored("root", "ef" * 32, "never"), "dave") == "not-recalled"
    assert log.refused(Restored("key", "ef" * 32, "never"), "dave") == "not-recalled"


def test_only_what_is_registered_is_promoted_or_withdrawn_with_its_root(log: Log) -> None:
    one = log.register()
    stranger = registration(version="2.0")
    assert log.refused(promotion(stranger, "staging"), "carol") == "unknown-version"
    assert log.refused(promotion(one._replace(root=stranger.root), "staging"), "carol") == (
        "other-root"
    )
    gone = Withdrawn("classifier", "2.0", stranger.root, "staging")
    assert log.refused(gone, "carol") == "unknown-version"
    assert log.refused(gone._replace(version="1.0"), "carol") == "other-root"
    assert log.refused(Withdrawn("classifier", "1.0", one.root, "staging"), "carol") == "not-there"
    log.put(promotion(one, "staging"), "carol")
    log.put(Withdrawn("classifier", "v1", one.root, "staging"), "carol")
    assert log.present("classifier", "staging") == []


def test_nothing_goes_below_the_high_water_mark_unless_it_says_so(log: Log) -> None:
    old, new = log.register(version="1.9"), log.register(version="1.10")
    log.put(promotion(new, "staging"), "carol")
    assert log.refused(promotion(old, "staging"), "carol") == "rollback"
    log.put(Withdrawn(new.model, new.version, new.root, "staging"), "carol")
    assert log.refused(promotion(old, "staging"), "carol") == "rollback"
    log.put(promotion(old, "staging", rollback=True), "carol")
    assert log.present("classifier", "staging") == ["1.9"]
    assert log.state.models["classifier"].stages["staging"].high_water.version == "1.10"
    # Each stage, and each model, has its own.
    log.put(promotion(old), "alice", "bob")
    other = log.register("other", "0.1")
    log.put(promotion(other, "staging"), "carol")


def test_an_exclusive_promotion_takes_all_others_out(log: Log) -> None:
    one, two, three = (log.register(version=version) for version in ("1.0", "2.0", "3.0"))
    for each in (one, two):
        log.put(promotion(each, "staging"), "carol")
    assert log.present("classifier", "staging") == ["1.0", "2.0"]
    log.put(promotion(three, "staging", exclusive=True), "carol")
    assert log.present("classifier", "staging") == ["3.0"]
    assert log.refused(promotion(two, "production"), "carol") == "not-allowed"


def test_it_is_known_why_the_highest_version_is_not_there(log: Log) -> None:
    """By two events at most, which leave no other version there that is not."""

    def left() -> tuple[tuple[str, str], ...]:
        stage = log.state.models["classifier"].stages["staging"]
        return tuple((mark.version, mark.event) for mark in stage.left)

    one, two = log.register(version="1.0"), log.register(version="2.0")
    log.put(promotion(two, "staging"), "carol")
    assert left() == ()
    gone = log.put(Withdrawn(two.model, "2.0", two.root, "staging"), "carol")
    assert left() == (("2.0", gone.id),)
    log.put(promotion(two, "staging"), "carol")
    assert left() == ()
    back = promotion(one, "staging", rollback=True, exclusive=True)
    instead = log.put(back, "carol")
    assert left() == (("1.0", instead.id),)
    also = log.put(Withdrawn(one.model, "1.0", one.root, "staging"), "carol")
    assert left() == (("1.0", instead.id), ("1.0", also.id))
    log.put(promotion(one, "staging", rollback=True), "carol")
    log.put(Withdrawn(one.model, "1.0", one.root, "staging"), "carol")
    assert len(left()) == 2
    again = log.put(back._replace(version="v1.0"), "carol")
    assert left() == (("1.0", again.id),)
    log.put(promotion(two, "staging"), "carol")
    assert left() == ()


def test_a_recalled_key_signs_nothing_but_roles(log: Log) -> None:
    """Not even its own restoration; and whoever may recall cannot lock the administrators out."""
    for name in ("alice", "bob", "dave"):
        log.put(Recalled("key", log.cast.keys[name].keyid, "stolen"), "carol")
    one = log.register()
    assert log.refused(promotion(one), "alice", "bob") == "recalled-key"
    own = Restored("key", log.cast.keys["dave"].keyid, "found it again")
    assert log.refused(own, "dave") == "recalled-key"
    calm = log.cast.roles(recall=Role(("alice",)), restore=Role(("carol",)))
    log.put(RolesChanged(calm), "alice", "bob")
    log.put(Restored("key", log.cast.keys["alice"].keyid, "a false alarm"), "carol")
    assert log.refused(promotion(one), "alice", "bob") == "recalled-key"
    assert log.refused(promotion(one), "alice") == "threshold"
    log.put(Restored("key", log.cast.keys["bob"].keyid, "a false alarm"), "carol")
    log.put(promotion(one), "alice", "bob")


def test_no_record_grows_without_end(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    small = LIMITS._replace(registry_stage=3, registry_same_content=2, registry_recalls=2)
    monkeypatch.setattr(state, "LIMITS", small)
    versions = [log.register(version=f"{number}.0") for number in range(1, 5)]
    for each in versions[:3]:
        log.put(promotion(each, "staging"), "carol")
    assert log.refused(promotion(versions[3], "staging"), "carol") == "too-many"
    log.put(promotion(versions[3], "staging", exclusive=True), "carol")
    for number in (10, 11):
        log.register(version=f"{number}", content="same")
    assert log.refused(registration(version="12", content="same"), "carol") == "too-many"
    for kind, target in (("root", versions[0].root), ("key", "ab" * 32)):
        for _ in range(2):
            log.put(Recalled(kind, target, "bad"), "carol")
        assert log.refused(Recalled(kind, target, "bad"), "carol") == "too-many"


def test_a_replay_says_what_one_event_after_the_other_says(log: Log) -> None:
    replay = state.Replay()
    events = [log.cast.founding()]
    one = registration()
    events += [log.cast.signed(one, "carol"), log.cast.signed(promotion(one, "staging"), "carol")]
    by_itself = State()
    for event in events:
        replay.apply(event)
        by_itself = state.apply(by_itself, event)
    with pytest.raises(EventRefusedError):
        replay.apply(events[1])
    assert replay.state == by_itself


def test_every_rule_is_documented() -> None:
    """Scripts tell refusals apart by these words."""
    package = Path(registry.__file__).parent
    page = Path(__file__).parents[2] / "docs" / "json-output.md"
    sources = "".join(file.read_text() for file in package.rglob("*.py"))
    rules = set(re.findall(r'rule="([a-z-]+)"', sources))
    rules |= set(re.findall(r'_refuse\(\s*"([a-z-]+)"', sources))
    assert len(rules) > 20
    if not page.exists():
        pytest.skip("the docs are not beside the tests")
    text = page.read_text()
    assert {rule for rule in rules if f"`{rule}`" not in text} == set()
