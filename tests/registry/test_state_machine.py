# SPDX-License-Identifier: Apache-2.0
"""The pure state against another account of its rules, over any sequence of events.

:class:`Book` keeps the events that happened as a list, and answers each question by going through
it from the start. It shares nothing with the state but the events.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from packaging.version import Version as Number

from keras_integrity_hook.errors import EventRefusedError
from keras_integrity_hook.registry import state
from keras_integrity_hook.registry.events import (
    Body,
    Promoted,
    Recalled,
    Registered,
    Restored,
    Role,
    Roles,
    RolesChanged,
    Withdrawn,
)
from keras_integrity_hook.registry.signed import SignedEvent, event_of
from keras_integrity_hook.registry.state import State, Touched
from tests.support.registries import Cast, digests_of, registration

MODELS = ("m", "n")
VERSIONS = ("1.0", "v1", "1.5rc1", "1.5", "2.0", "10.0")
CONTENTS = ("a", "b", "c", "d")
STAGES = ("production", "staging", "nowhere")
PEOPLE = ("alice", "bob", "carol", "dave")
ALGORITHMS = ("sha256", "sha512", "blake2b")


class Entry(NamedTuple):
    """An event that happened, and who signed it."""

    body: Body
    by: frozenset[str]
    contradicted: bool | None = None  # of a recall of a content: whether its digests were


class Book:
    """What happened, and what follows from it: by looking at all of it, each time."""

    def __init__(self, roles: Roles) -> None:
        self.entries: list[Entry] = []
        self.first_roles = roles

    def roles(self) -> Roles:
        changed = [one.body.roles for one in self.entries if isinstance(one.body, RolesChanged)]
        return changed[-1] if changed else self.first_roles

    def registered(self) -> Iterator[Registered]:
        return (one.body for one in self.entries if isinstance(one.body, Registered))

    def version(self, model: str, version: str) -> Registered | None:
        for one in self.registered():
            if one.model == model and Number(one.version) == Number(version):
                return one
        return None

    def statements(self) -> Iterator[tuple[dict[str, str], set[str]]]:
        """Of each event that says which digests belong together: them by algorithm, and all."""
        for one in self.entries:
            if isinstance(one.body, Registered):
                named = {**one.body.digests, one.body.algorithm: one.body.root}
                yield named, set(named.values())
            elif isinstance(one.body, Recalled) and one.contradicted is False:
                named = dict(one.body.digests)
                yield named, {*named.values(), one.body.target}

    def same_content(self, digests: set[str]) -> set[str]:
        """All digests that are known to be of one content with any of these."""
        found = set(digests)
        for _ in range(len(self.entries) + 1):
            for _, together in self.statements():
                if together & found:
                    found |= together
        return found

    def contradicts(self, named: Mapping[str, str], digests: set[str]) -> bool:
        of_it = self.same_content(digests)
        by_algorithm: dict[str, set[str]] = {}
        pairs = list(named.items())
        for known, _ in self.statements():
            pairs += [(name, digest) for name, digest in known.items() if digest in of_it]
        for name, digest in pairs:
            by_algorithm.setdefault(name, set()).add(digest)
        return any(len(several) > 1 for several in by_algorithm.values())

    def recalled(self, digests: set[str]) -> bool:
        """Whether a recall of this content is in force."""
        return bool(self.recalls_in_force("root") & self.same_content(digests))

    def recalls_in_force(self, kind: str) -> set[str]:
        targets: set[str] = set()
        for number, one in enumerate(self.entries):
            if isinstance(one.body, Recalled) and one.body.kind == kind:
                targets |= {one.body.target, *one.body.digests.values()}
            if isinstance(one.body, Restored) and one.body.kind == kind:
                then = Book(self.first_roles)
                then.entries = self.entries[:number]
                is_root = kind == "root"
                gone = then.same_content({one.body.target}) if is_root else {one.body.target}
                targets -= gone
        return targets

    def present(self, model: str, stage: str) -> set[str]:
        """The versions in a stage, as they were registered."""
        found: set[str] = set()
        for one in self.entries:
            body = one.body
            if not isinstance(body, Promoted | Withdrawn):
                continue
            if (body.model, body.stage) != (model, stage):
                continue
            was = self.version(model, body.version)
            assert was is not None
            if isinstance(body, Withdrawn):
                found.discard(was.version)
            else:
                found = {was.version} | (set() if body.exclusive else found)
        return found

    def high_water(self, model: str, stage: str) -> Number | None:
        every = [
            Number(one.body.version)
            for one in self.entries
            if isinstance(one.body, Promoted) and (one.body.model, one.body.stage) == (model, stage)
        ]
        return max(every, default=None)

    def broken(self, body: Body, by: frozenset[str], keyids: Mapping[str, str]) -> set[str]:
        """Every rule that an event would break now; none where it may happen."""
        return {*self._not_entitled(body, by, keyids), *self._impossible(body)}

    def _not_entitled(
        self, body: Body, by: frozenset[str], keyids: Mapping[str, str]
    ) -> Iterator[str]:
        roles = self.roles()
        if not by <= {actor.name for actor in roles.actors}:
            yield "signature"
        if isinstance(body, Promoted | Withdrawn) and body.stage not in roles.stages:
            yield "unknown-stage"
            return
        role = {
            RolesChanged: lambda: roles.administer,
            Registered: lambda: roles.register,
            Promoted: lambda: roles.stages[body.stage],  # type: ignore[union-attr]
            Withdrawn: lambda: roles.stages[body.stage],  # type: ignore[union-attr]
            Recalled: lambda: roles.recall,
            Restored: lambda: roles.restore,
        }[type(body)]()
        if not isinstance(body, RolesChanged):
            gone = self.recalls_in_force("key")
            yield from ("recalled-key" for name in by if keyids[name] in gone)
        who = [name for name in role.actors if name in by]
        if not who:
            yield "not-allowed"
        elif len(who) < role.threshold:
            yield "threshold"

    def _impossible(self, body: Body) -> Iterator[str]:
        if isinstance(body, Registered):
            yield from self._not_registrable(body)
        elif isinstance(body, Promoted | Withdrawn):
            yield from self._not_staged(body)
        elif isinstance(body, Restored):
            in_force = self.recalls_in_force(body.kind)
            about = {body.target}
            if not in_force & (self.same_content(about) if body.kind == "root" else about):
                yield "not-recalled"

    def _not_staged(self, body: Promoted | Withdrawn) -> Iterator[str]:
        known = self.version(body.model, body.version)
        if known is None:
            yield "unknown-version"
        elif known.root != body.root:
            yield "other-root"
        elif isinstance(body, Withdrawn):
            if known.version not in self.present(body.model, body.stage):
                yield "not-there"
        else:
            high = self.high_water(body.model, body.stage)
            if self.recalled({body.root}):
                yield "recalled"
            if high is not None and Number(body.version) < high and not body.rollback:
                yield "rollback"

    def _not_registrable(self, body: Registered) -> Iterator[str]:
        known = self.version(body.model, body.version)
        if known is not None:
            same = body.root in {known.root, *known.digests.values()}
            yield "registered" if same else "version-taken"
        if not set(ALGORITHMS) <= {*body.digests, body.algorithm}:
            yield "digests"
        named = {**body.digests, body.algorithm: body.root}
        if self.contradicts(named, set(named.values())):
            yield "other-content"
        if self.recalled(set(named.values())):
            yield "recalled"


def restricted(whole: State, part: Touched) -> State:
    """What a store would load for an event."""
    return State(
        whole.registry,
        {key: whole.models[key] for key in part.models if key in whole.models},
        {key: whole.versions[key] for key in part.versions if key in whole.versions},
        {key: whole.contents[key] for key in part.digests if key in whole.contents},
        {key: whole.keys[key] for key in part.keys if key in whole.keys},
        {part.event} & set(whole.events),
    )


people = st.sets(st.sampled_from(PEOPLE), max_size=3).map(sorted)
algorithms = st.sampled_from(ALGORITHMS)


class Registry(RuleBasedStateMachine):
    """Events of all kinds, most of them possible, by anybody."""

    def __init__(self) -> None:
        super().__init__()
        self.cast = CAST
        self.replay = state.Replay()
        self.log: list[SignedEvent] = []
        self.keyids = {name: self.cast.keys[name].keyid for name in PEOPLE}

    @initialize()
    def found(self) -> None:
        usual = self.cast.roles()
        self.book = Book(usual)
        self.log.append(self.cast.founding(usual))
        self.replay.apply(self.log[0])

    def put(self, body: Body, by: list[str]) -> None:
        made = self.cast.signed(body, *by)
        broken = self.book.broken(body, frozenset(by), self.keyids)
        part = restricted(self.replay.state, state.touched(made))
        try:
            of_part = state.consequences(part, made)
            assert of_part == self.replay.apply(made)
        except EventRefusedError as error:
            refused = error.rule
        else:
            refused = ""
        assert refused in (broken or {"", "too-many"})
        if refused:
            return
        contradicted = None
        if isinstance(body, Recalled) and body.kind == "root":
            every = {body.target, *body.digests.values()}
            contradicted = self.book.contradicts(body.digests, every)
        self.log.append(made)
        self.book.entries.append(Entry(body, frozenset(by), contradicted))
        with pytest.raises(EventRefusedError, match="already"):
            self.replay.apply(made)

    @rule(
        model=st.sampled_from(MODELS),
        version=st.sampled_from(VERSIONS),
        content=st.sampled_from(CONTENTS),
        algorithm=algorithms,
        by=st.one_of(st.just(["carol"]), people),
    )
    def register(
        self, model: str, version: str, content: str, algorithm: str, by: list[str]
    ) -> None:
        self.put(registration(model, version, content, algorithm=algorithm), by)

    @rule(
        left=st.sampled_from(CONTENTS),
        right=st.sampled_from(CONTENTS),
        algorithm=algorithms,
        lacking=st.sampled_from([*ALGORITHMS, None]),
    )
    def register_a_lie(self, left: str, right: str, algorithm: str, lacking: str | None) -> None:
        """Digests of two contents as if they were one, or not all."""
        one = registration("m", "10.0", left)
        digests = {**one.digests, algorithm: digests_of(right)[algorithm]}
        root = digests["sha256"]
        digests = {name: digest for name, digest in digests.items() if name != lacking}
        self.put(one._replace(root=root, digests=digests), ["carol"])

    @rule(
        data=st.data(),
        stage=st.sampled_from(STAGES),
        exclusive=st.booleans(),
        rollback=st.booleans(),
        by=st.one_of(st.just(["alice", "bob"]), st.just(["carol"]), people),
    )
    def promote(
        self, data: st.DataObject, stage: str, exclusive: bool, rollback: bool, by: list[str]
    ) -> None:
        one = self.some_version(data)
        self.put(Promoted(one.model, one.version, one.root, stage, exclusive, rollback), by)

    @rule(
        data=st.data(),
        stage=st.sampled_from(STAGES),
        by=st.one_of(st.just(["alice", "bob"]), st.just(["carol"]), people),
    )
    def withdraw(self, data: st.DataObject, stage: str, by: list[str]) -> None:
        one = self.some_version(data)
        self.put(Withdrawn(one.model, one.version, one.root, stage, "worse"), by)

    def some_version(self, data: st.DataObject) -> Registered:
        """One that is registered, mostly."""
        known = list(self.book.registered())
        if known and not data.draw(st.sampled_from([False] * 5 + [True])):
            of_these: Registered = data.draw(st.sampled_from(known))
            return of_these
        return registration(
            data.draw(st.sampled_from(MODELS)),
            data.draw(st.sampled_from(VERSIONS)),
            data.draw(st.sampled_from(CONTENTS)),
        )

    @rule(
        content=st.sampled_from(CONTENTS),
        algorithm=algorithms,
        also=st.sets(algorithms),
        other=st.sampled_from(CONTENTS),
        by=st.one_of(st.just(["carol"]), people),
    )
    def recall(
        self, content: str, algorithm: str, also: set[str], other: str, by: list[str]
    ) -> None:
        """By one digest, perhaps with others, which perhaps are of something else."""
        digests = {name: digests_of(other)[name] for name in also if name != algorithm}
        self.put(Recalled("root", digests_of(content)[algorithm], "bad", digests), by)

    @rule(content=st.sampled_from(CONTENTS), algorithm=algorithms, by=st.just(["dave"]) | people)
    def restore(self, content: str, algorithm: str, by: list[str]) -> None:
        self.put(Restored("root", digests_of(content)[algorithm], "fine"), by)

    @rule(whose=st.sampled_from(PEOPLE), by=st.just(["carol"]) | people)
    def recall_key(self, whose: str, by: list[str]) -> None:
        self.put(Recalled("key", self.keyids[whose], "stolen"), by)

    @rule(whose=st.sampled_from(PEOPLE), by=st.just(["dave"]) | people)
    def restore_key(self, whose: str, by: list[str]) -> None:
        self.put(Restored("key", self.keyids[whose], "found"), by)

    @rule(
        without=st.sampled_from([*PEOPLE, None]),
        threshold=st.integers(1, 2),
        by=st.just(["alice", "bob"]) | people,
    )
    def change_roles(self, without: str | None, threshold: int, by: list[str]) -> None:
        names = tuple(name for name in PEOPLE if name != without)
        every = Role(names, threshold)
        roles = self.cast.roles(
            actors=tuple(map(self.cast.actor, names)),
            administer=every,
            register=Role(names),
            recall=Role(names),
            restore=every,
            stages={"production": every, "staging": Role(names)},
        )
        self.put(RolesChanged(roles), by)

    @invariant()
    def stages_hold_what_the_book_says(self) -> None:
        for name, model in self.replay.state.models.items():
            for stage in STAGES:
                found = model.stages.get(stage)
                present = [mark.version for mark in found.present] if found else []
                assert set(present) == self.book.present(name, stage)
                assert len(set(present)) == len(present)
                high = self.book.high_water(name, stage)
                assert (Number(found.high_water.version) if found else None) == high

    @invariant()
    def recalls_are_those_of_the_book(self) -> None:
        for content in CONTENTS:
            for digest in digests_of(content).values():
                known = self.replay.state.contents.get(digest)
                assert bool(known and known.recalls) == self.book.recalled({digest})
        for keyid in self.keyids.values():
            key = self.replay.state.keys.get(keyid)
            assert bool(key and key.recalls) == (keyid in self.book.recalls_in_force("key"))

    @invariant()
    def one_content_is_one_record(self) -> None:
        contents = self.replay.state.contents
        for digest, content in contents.items():
            assert digest in content.digests
            assert all(contents[other] == content for other in content.digests)

    def teardown(self) -> None:
        """Of each version, those events alone that its records name say the same of it."""
        whole = self.replay.state
        for pair, version in whole.versions.items():
            part = self.needed(whole, pair[0], version)
            alone = state.Replay()
            for event in part:
                alone.apply(event)
            assert alone.state.versions[pair] == version
            for name, stage in whole.models[pair[0]].stages.items():
                marks = [one for one in stage.present if one.version == version.body.version]
                there = alone.state.models[pair[0]].stages.get(name)
                assert there is not None
                assert (there.high_water, there.left) == (stage.high_water, stage.left)
                is_highest = stage.high_water.version in [mark.version for mark in stage.present]
                assert is_highest == (not stage.left)
                assert [m for m in there.present if m.version == version.body.version] == marks
            recalls = whole.contents[version.body.root].recalls
            assert set(alone.state.contents[version.body.root].recalls) == set(recalls)

    @staticmethod
    def named(body: Body) -> set[str]:
        """The digests of contents that are recalled or restored."""
        if isinstance(body, Recalled | Restored) and body.kind == "root":
            return {body.target, *getattr(body, "digests", {}).values()}
        return set()

    def is_recall_of(self, content: state.Content, body: Body) -> bool:
        return not self.named(body).isdisjoint(content.digests)

    def needed(self, whole: State, model: str, version: state.Version) -> list[SignedEvent]:
        ids = {version.event, self.log[0].id}
        ids |= {one.id for one in self.log if isinstance(event_of(one).body, RolesChanged)}
        for stage in whole.models[model].stages.values():
            present = (one for one in stage.present if one.version == version.body.version)
            for mark in (stage.high_water, *stage.left, *present):
                ids.add(mark.event)
                ids |= {
                    one.event
                    for one in whole.versions.values()
                    if one.body.model == model and one.body.version == mark.version
                }
        content = whole.contents[version.body.root]
        ids |= {whole.versions[pair].event for pair in content.versions}
        # What was said of it before may be what links two of its digests; and whether something
        # that a recall names with it is the same, what was said of that.
        told = [content] if content.recalls else []
        for content in told:
            ids |= {whole.versions[pair].event for pair in content.versions}
            for one in self.log:
                body = event_of(one).body
                if self.is_recall_of(content, body):
                    ids.add(one.id)
                    others = (whole.contents[digest] for digest in self.named(body))
                    told += [other for other in others if other not in told]
        return [one for one in self.log if one.id in ids]


CAST = Cast(Path(tempfile.mkdtemp(prefix="cast-")))
TestRegistry = Registry.TestCase
TestRegistry.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_the_state_keeps_to_the_book_at_length() -> None:
    # Other examples every night.
    long = settings(
        max_examples=1_000, stateful_step_count=60, deadline=None, derandomize=False, database=None
    )
    run_state_machine_as_test(Registry, settings=long)
