# SPDX-License-Identifier: Apache-2.0
"""What follows from the events of a registry, one after the other; a pure function of them.

An event is refused with the word of the rule that it breaks:

=====================  =============================================================================
``not-founded``        the first event founds the registry,
``founded``            and no later one does
``other-registry``     an event is for the registry whose id it has,
``repeated``           and happens once
``signature``          each signature is a good one, by an actor of the registry,
``recalled-key``       whose key is not recalled,
``not-allowed``        who may do this,
``threshold``          together with as many others as the role asks for
``roles``              roles name actors that there are, each key once, and can be met
``registered``         a version of a model is registered once,
``version-taken``      and has one content for ever
``digests``            a registration states the digest under each of :data:`ALGORITHMS`,
``other-content``      which contradict none that is known of the same content,
``recalled``           and what was recalled is neither registered nor promoted, in whatever form
``unknown-version``    promoted and withdrawn is what was registered,
``other-root``         with the root that it was registered with
``unknown-stage``      at a stage that the roles have
``rollback``           nothing goes below the highest version ever promoted there, unless it says so
``not-there``          withdrawn is what is in the stage,
``not-recalled``       and restored what was recalled
``too-many``           no record grows beyond its limit
=====================  =============================================================================

Applied to some of a log's events, in their order, with all changes of roles and all that each of
them needs, none is refused that was not: so a part of the log proves what is true of its subject.
A recall needs all that was said of each content that it names: by that its digests are of one
content or of several, and what is restored later is one of them or all.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple, NoReturn, TypeVar, assert_never

from keras_integrity_hook import versions
from keras_integrity_hook.errors import EventRefusedError, printable
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import authority, spelling
from keras_integrity_hook.registry.events import (
    Event,
    Founded,
    Promoted,
    Recalled,
    Registered,
    Restored,
    RolesChanged,
    Withdrawn,
)
from keras_integrity_hook.registry.records import (
    Changes,
    Content,
    Key,
    Mark,
    Model,
    Recall,
    Registry,
    Stage,
    State,
    Touched,
    Version,
)
from keras_integrity_hook.registry.signed import SignedEvent, event_of

__all__ = [
    "ALGORITHMS",
    "EMPTY",
    "Changes",
    "Content",
    "Key",
    "Mark",
    "Model",
    "Recall",
    "Registry",
    "Replay",
    "Stage",
    "State",
    "Touched",
    "Version",
    "apply",
    "consequences",
    "touched",
]

EMPTY = State()
"""Before the first event."""

ALGORITHMS = ("sha256", "sha512", "blake2b")
"""Those that every Python has. A registration states the digest under each of them, so that
content which was recalled under one is known under the others."""


_Record = TypeVar("_Record")
_Recallable = TypeVar("_Recallable", Key, Content)


class _Act(NamedTuple):
    """An event that may happen: its id, when it was signed, and by whom."""

    event: str
    time: str
    by: tuple[str, ...]


def touched(signed: SignedEvent) -> Touched:
    """Which records :func:`consequences` needs for an event; raises MalformedEventError."""
    body = event_of(signed).body
    models: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    digests: set[str] = set()
    keyids = {signature.keyid for signature in signed.signatures}
    if isinstance(body, Registered | Promoted | Withdrawn):
        models.add(body.model)
        pairs.add((body.model, versions.same(body.version)))
        digests.add(body.root)
    if isinstance(body, Registered | Recalled):
        digests.update(body.digests.values())
    if isinstance(body, Recalled | Restored):
        (keyids if body.kind == "key" else digests).add(body.target)
    return Touched(
        frozenset(models), frozenset(pairs), frozenset(digests), frozenset(keyids), signed.id
    )


def consequences(state: State, signed: SignedEvent) -> Changes:
    """The records that an event makes anew.

    Args:
        state: the records that the event touches, at least; see :func:`touched`.

    Raises:
        EventRefusedError: it may not follow the events before; ``rule`` says why.
        MalformedEventError: it is no event.
    """
    event, eventid = event_of(signed), signed.id
    registry = _registry_before(state, event, eventid)
    by = authority.authors(signed, event.body, registry.roles, _recalled_keys(state, signed))
    act, body = _Act(eventid, event.time, by), event.body
    if isinstance(body, Founded | RolesChanged):
        _check_roles(signed.payload)
        return Changes(eventid, registry._replace(roles=body.roles))
    if isinstance(body, Registered):
        return _registered(state, body, act)
    if isinstance(body, Promoted):
        return _promoted(state, body, act)
    if isinstance(body, Withdrawn):
        return _withdrawn(state, body, act)
    if isinstance(body, Recalled):
        return _recalled(state, body, act)
    if isinstance(body, Restored):
        return _restored(state, body, act)
    assert_never(body)


def apply(state: State, signed: SignedEvent) -> State:
    """``state`` after one more event; raises as :func:`consequences`."""
    made = consequences(state, signed)
    return State(
        made.registry or state.registry,
        {**state.models, **made.models},
        {**state.versions, **made.versions},
        {**state.contents, **made.contents},
        {**state.keys, **made.keys},
        {*state.events, made.event},
    )


class Replay:
    """The state after many events. :func:`apply` copies all records for each of them.

    Attributes:
        state: changes with each event; not to be kept.
    """

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}
        self._versions: dict[tuple[str, str], Version] = {}
        self._contents: dict[str, Content] = {}
        self._keys: dict[str, Key] = {}
        self._events: set[str] = set()
        self.state = self._with(None)

    def apply(self, signed: SignedEvent) -> Changes:
        """Let one more event happen; raises as :func:`consequences`, and nothing has happened."""
        made = consequences(self.state, signed)
        self._models.update(made.models)
        self._versions.update(made.versions)
        self._contents.update(made.contents)
        self._keys.update(made.keys)
        self._events.add(made.event)
        self.state = self._with(made.registry or self.state.registry)
        return made

    def _with(self, registry: Registry | None) -> State:
        return State(
            registry, self._models, self._versions, self._contents, self._keys, self._events
        )


# Every answer of a registry begins with the same ones.
@functools.lru_cache(maxsize=16)
def _check_roles(payload: bytes) -> None:
    """Whether the roles of an event can be in force; raises EventRefusedError."""
    body = spelling.read(payload).body
    assert isinstance(body, Founded | RolesChanged)
    authority.check(body.roles)


def _refuse(rule: str, cause: str, **more: str) -> NoReturn:
    raise EventRefusedError(cause, rule=rule, **more)


def _registry_before(state: State, event: Event, eventid: str) -> Registry:
    """The registry that the event is for; that which it founds, where it does."""
    if state.registry is None:
        if not isinstance(event.body, Founded):
            _refuse("not-founded", "the first event of a registry founds it, and this does not")
        return Registry(eventid, event.body.origin, event.body.roles)
    if eventid in state.events:
        _refuse("repeated", "the registry has this event already")
    if isinstance(event.body, Founded):
        _refuse("founded", "this registry is founded already")
    if event.registry != state.registry.id:
        cause = f"the event is for the registry {event.registry[:12]}, this is another"
        _refuse("other-registry", cause)
    return state.registry


def _recalled_keys(state: State, signed: SignedEvent) -> set[str]:
    keyids = {signature.keyid for signature in signed.signatures}
    return {one for one in keyids & state.keys.keys() if state.keys[one].recalls}


def _registered(state: State, body: Registered, act: _Act) -> Changes:
    pair = (body.model, versions.same(body.version))
    known = state.versions.get(pair)
    if known is not None:
        _refuse_known(known, body)
    digests = {**body.digests, body.algorithm: body.root}
    missing = [name for name in ALGORITHMS if name not in digests]
    if missing or body.digests.get(body.algorithm, body.root) != body.root:
        cause = f"no digest under {missing[0]} is stated" if missing else "two roots are stated"
        _refuse("digests", f"{cause} for {_shown(body)}")
    content = _joined(state, digests)
    _refuse_recalled(content, body)
    content = content._replace(
        versions=_within(LIMITS.registry_same_content, (*content.versions, pair))
    )
    models = {} if body.model in state.models else {body.model: Model(body.model)}
    version = Version(body, *act)
    return Changes(act.event, None, models, {pair: version}, _under_all(content))


def _refuse_known(known: Version, body: Registered) -> NoReturn:
    its_roots = (known.body.root, *known.body.digests.values())
    if body.root in its_roots and body.files == known.body.files:
        _refuse("registered", f"{_shown(body)} is registered already, with this content")
    cause = f"{_shown(body)} is registered already, with other content ({known.body.root[:12]}…)"
    _refuse("version-taken", cause, remedy="Seal and register this content under a new version.")


def _promoted(state: State, body: Promoted, act: _Act) -> Changes:
    version = _version(state, body)
    _refuse_recalled(_joined(state, {"": body.root}), body)
    model = state.models.get(body.model, Model(body.model))
    mark = Mark(version.body.version, act.event)
    before = model.stages.get(body.stage, Stage((), mark))
    highest = before.high_water
    if versions.is_below(mark.version, highest.version) and not body.rollback:
        _refuse_rollback(before, body)
    if versions.is_below(highest.version, mark.version):
        highest = mark
    others = () if body.exclusive else _without(before.present, mark.version)
    present = _within(LIMITS.registry_stage, (*others, mark))
    left = (mark,) if body.exclusive else before.left
    if highest.version in (one.version for one in present):
        left = ()
    return _staged(model, body.stage, Stage(present, highest, left), act)


def _refuse_rollback(stage: Stage, body: Promoted) -> NoReturn:
    cause = f"'{printable(body.stage)}' had {stage.high_water.version} of the model before"
    remedy = "If going back is meant, say so: --rollback."
    _refuse("rollback", f"{_shown(body)} is below it: {cause}", remedy=remedy)


def _withdrawn(state: State, body: Withdrawn, act: _Act) -> Changes:
    version = _version(state, body).body.version
    model = state.models.get(body.model, Model(body.model))
    before = model.stages.get(body.stage)
    if before is None or version not in (mark.version for mark in before.present):
        _refuse("not-there", f"{_shown(body)} is not in '{printable(body.stage)}'")
    present, left = _without(before.present, version), before.left
    if version == before.high_water.version or [one.version for one in left] == [version]:
        left = (*left, Mark(version, act.event))
    return _staged(model, body.stage, Stage(present, before.high_water, left), act)


def _staged(model: Model, name: str, stage: Stage, act: _Act) -> Changes:
    made = model._replace(stages={**model.stages, name: stage})
    return Changes(act.event, None, {model.name: made})


def _without(marks: Iterable[Mark], version: str) -> tuple[Mark, ...]:
    return tuple(mark for mark in marks if mark.version != version)


def _version(state: State, body: Promoted | Withdrawn) -> Version:
    """The version that an event is about."""
    found = state.versions.get((body.model, versions.same(body.version)))
    if found is None:
        _refuse("unknown-version", f"{_shown(body)} is not registered")
    if found.body.root != body.root:
        cause = f"{_shown(body)} is registered with another root ({found.body.root[:12]}…)"
        _refuse("other-root", cause)
    return found


def _recalled(state: State, body: Recalled, act: _Act) -> Changes:
    recall = Recall(body.reason, *act)
    if body.kind == "key":
        key = state.keys.get(body.target, Key(body.target))
        return Changes(act.event, keys={body.target: _with_recall(key, recall)})
    contents: dict[str, Content] = {}
    for content in _meant(state, body):
        contents |= _under_all(_with_recall(content, recall))
    return Changes(act.event, contents=contents)


def _meant(state: State, body: Recalled) -> list[Content]:
    """What a recall is about: one content; where its digests contradict what is known, that which
    has any of them. Whoever registers with a wrong digest must not keep others from recalling."""
    try:
        return [_joined(state, body.digests, body.target)]
    except EventRefusedError:
        digests = {body.target, *body.digests.values()}
        return [_joined(state, {}, digest) for digest in sorted(digests)]


def _with_recall(record: _Recallable, recall: Recall) -> _Recallable:
    recalls = _within(LIMITS.registry_recalls, (*record.recalls, recall))
    return record._replace(recalls=recalls)


def _restored(state: State, body: Restored, act: _Act) -> Changes:
    if body.kind == "key":
        key = state.keys.get(body.target)
        if key is None or not key.recalls:
            _refuse("not-recalled", f"the key {body.target[:12]}… is not recalled")
        return Changes(act.event, keys={body.target: key._replace(recalls=())})
    content = state.contents.get(body.target)
    if content is None or not content.recalls:
        _refuse("not-recalled", f"nothing with the digest {body.target[:12]}… is recalled")
    return Changes(act.event, contents=_under_all(content._replace(recalls=())))


def _refuse_recalled(content: Content, body: Registered | Promoted) -> None:
    if content.recalls:
        recall = content.recalls[0]
        cause = f"the content of {_shown(body)} was recalled by {', '.join(recall.by)}"
        _refuse("recalled", f"{cause}: {printable(recall.reason)}" if recall.reason else cause)


def _joined(state: State, stated: Mapping[str, str], *digests: str) -> Content:
    """All that is known of the content with these digests, which may be several records so far.

    Args:
        stated: digests by their algorithms; these may be unknown ("").
    """
    every = dict.fromkeys((*stated.values(), *digests))
    known = (state.contents[one] for one in every if one in state.contents)
    records = {record.digests: record for record in known}.values()
    algorithms = {name: digest for name, digest in stated.items() if name}
    for record in records:
        for name, digest in record.algorithms.items():
            if algorithms.setdefault(name, digest) != digest:
                cause = f"what has the digest {next(iter(every))[:12]}… has another under {name}"
                _refuse("other-content", f"{cause} than what is known of the same content")
    if len(set(algorithms.values())) < len(algorithms):
        _refuse("other-content", "one digest is stated for two algorithms")
    return Content(
        tuple(sorted({*every, *(digest for one in records for digest in one.digests)})),
        algorithms,
        tuple(dict.fromkeys(pair for one in records for pair in one.versions)),
        tuple(dict.fromkeys(recall for one in records for recall in one.recalls)),
    )


def _under_all(content: Content) -> dict[str, Content]:
    return dict.fromkeys(content.digests, content)


def _within(most: int, records: tuple[_Record, ...]) -> tuple[_Record, ...]:
    if len(records) > most:
        _refuse("too-many", f"over {most} of these at a time are not kept; withdraw some first")
    return records


def _shown(body: Registered | Promoted | Withdrawn) -> str:
    return f"version {printable(body.version)} of '{printable(body.model)}'"
