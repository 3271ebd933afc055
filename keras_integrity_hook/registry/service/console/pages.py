# SPDX-License-Identifier: Apache-2.0
"""What each page shows, read from the store for each request."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from keras_integrity_hook.registry.events import Role, Roles
from keras_integrity_hook.registry.service.console import commands, links
from keras_integrity_hook.registry.service.console.entries import Entry, details_of, entry_of
from keras_integrity_hook.registry.store import Logged, ModelRow, RecallRow, Store, Subject
from keras_integrity_hook.sealing.statement import spelled
from keras_integrity_hook.sealing.tree import HEX
from keras_integrity_hook.texts import plural

Row = TypeVar("Row")
Shown = dict[str, Any]
"""What a template is given."""

PAGE = 50
"""Rows of a list on one page."""

_RECENT = 10  # events below the facts of something


class NotThereError(Exception):
    """Nothing is at this address; the message says what there is not."""


class About(NamedTuple):
    """What stands on every page."""

    origin: str
    id: str
    size: str


class Right(NamedTuple):
    """What somebody may do, and how many have to sign it."""

    what: str
    role: Role


class StageLine(NamedTuple):
    """A stage of one model.

    Attributes:
        mark: the highest version that was ever promoted to it; empty for none.
        who: may promote to it.
    """

    name: str
    versions: tuple[str, ...]
    mark: str
    who: str


def about(store: Store) -> About:
    """Which registry this is."""
    return About(store.origin(), store.registry_id(), plural(store.size(), "event"))


def is_digest(text: str) -> bool:
    """Whether ``text`` is a digest rather than a part of a name."""
    return HEX.fullmatch(text) is not None


def models(store: Store, sought: str, after: str) -> Shown:
    """The models, by name."""
    rows, has_more = _cut(store.models(after=after, like=sought, limit=PAGE + 1))
    query = {"q": sought} if sought else {}
    return {
        "models": rows,
        "sought": sought,
        "commands": [commands.to_register()],
        "back": links.to("/", **query) if after else None,
        "on": links.to("/", **query, after=rows[-1].name) if has_more else None,
    }


def model(store: Store, name: str, before: int | None) -> Shown:
    """One model, with its versions and stages."""
    found = _there(store.model(name), f"No model is called {name}.")
    roles = store.roles()
    rows, has_more = _cut(store.versions(found.name, before=before, limit=PAGE + 1))
    events, earlier = _cut(store.events(Subject(model=found.name), limit=_RECENT + 1), _RECENT)
    return {
        "name": found.name,
        "stages": [_stage_line(stage, found, roles) for stage in _stages(found, roles)],
        "versions": rows,
        "back": links.model(found.name) if before is not None else None,
        "on": links.to("/model", name=name, before=rows[-1].registered) if has_more else None,
        "entries": _entries(events, roles),
        "earlier": links.to("/events", model=found.name) if earlier else None,
        "commands": commands.about_model(found, roles),
    }


def version(store: Store, name: str, number: str) -> Shown:
    """One version: what it is, whose word that is, and what happened to it."""
    row = _there(store.version(name, number), f"{name} has no version {number}.")
    of_model = _there(store.model(row.model), f"No model is called {name}.")
    roles = store.roles()
    digests = sorted({row.root, *row.digests.values()})
    recalled = _recalls_of(store, digests)
    events = store.events(Subject(row.model, row.version), limit=PAGE)
    for digest in digests:
        events += store.events(Subject(digest=digest), limit=PAGE)
    latest = sorted({one.position: one for one in events}.values(), reverse=True)
    return {
        "it": row,
        "digests": [(name, one) for name, one in row.digests.items() if one != row.root],
        "recalls": recalled,
        "entries": _entries(latest[:PAGE], roles),
        "commands": commands.about_version(row, of_model, roles, recalled),
    }


def content(store: Store, digest: str) -> Shown:
    """A content, registered or not."""
    if not is_digest(digest):
        raise NotThereError(f"{digest} is no digest: one has 64 or 128 hex digits.")
    recalls, roles = _recalls_of(store, [digest]), store.roles()
    return {
        "digest": digest,
        "versions": store.versions_of(digest),
        "recalls": recalls,
        "entries": _entries(store.events(Subject(digest=digest), limit=PAGE), roles),
        "commands": [commands.about_content(digest, roles, recalls[0] if recalls else None)],
    }


def timeline(store: Store, name: str, before: int | None) -> Shown:
    """All events, or those about a model; the last first."""
    about_it = {"model": name} if name else {}
    events = store.events(Subject(name), before=before, limit=PAGE + 1)
    rows, has_more = _cut(events)
    if name and not rows:
        raise NotThereError(f"Nothing happened to a model that is called {name}.")
    return {
        "name": name,
        "entries": _entries(rows, store.roles()),
        "back": links.to("/events", **about_it) if before is not None else None,
        "on": links.to("/events", **about_it, before=rows[-1].position) if has_more else None,
    }


def event(store: Store, position: int) -> Shown:
    """One event, with what was signed."""
    size = store.size()
    if position >= size:
        raise NotThereError(f"The log has {plural(size, 'event')}, counted from 0.")
    logged = Logged(position, store.entry(position))
    roles = store.roles()
    return {
        "entry": entry_of(logged, roles),
        "details": details_of(logged, roles),
        "is_last": position + 1 == size,
    }


def recalls(store: Store, before: int | None) -> Shown:
    """What is recalled now, the last first."""
    rows, has_more = _cut(store.recalls(before=before, limit=PAGE + 1))
    return {
        "recalls": rows,
        "back": links.to("/recalls") if before is not None else None,
        "on": links.to("/recalls", before=rows[-1].event) if has_more else None,
        "commands": commands.about_recalls(rows, store.roles()),
    }


def roles(store: Store) -> Shown:
    """Who may do what, with which keys."""
    there = store.roles()
    now = spelled(datetime.now(UTC))
    return {
        "rights": list(_rights(there)),
        "actors": [(one, store.recall_of("key", one.keyid)) for one in there.actors],
        "services": [(one, one.expires <= now) for one in there.services],
        "commands": commands.about_roles(there),
    }


def _rights(there: Roles) -> Iterable[Right]:
    yield Right("Change these roles", there.administer)
    yield Right("Register versions", there.register)
    for stage, role in sorted(there.stages.items()):
        yield Right(f"Promote to {stage}, and withdraw from it", role)
    yield Right("Recall", there.recall)
    yield Right("Take a recall back", there.restore)


def _stages(found: ModelRow, there: Roles) -> list[str]:
    """Those that somebody may promote to, and those that hold something nevertheless."""
    return sorted({*there.stages, *found.stages})


def _stage_line(stage: str, found: ModelRow, there: Roles) -> StageLine:
    role = there.stages.get(stage, Role(()))
    mark = found.marks.get(stage, "")
    return StageLine(stage, found.stages.get(stage, ()), mark, commands.who(role))


def _recalls_of(store: Store, digests: Iterable[str]) -> list[RecallRow]:
    """The recalls in force of a content, each once."""
    found = (store.recall_of("root", digest) for digest in digests)
    return list({row.event: row for row in found if row is not None}.values())


def _entries(events: Iterable[Logged], there: Roles) -> list[Entry]:
    return [entry_of(one, there) for one in events]


def _cut(rows: list[Row], most: int = PAGE) -> tuple[list[Row], bool]:
    """What a page has room for, and whether there is more."""
    return rows[:most], len(rows) > most


def _there(row: Row | None, otherwise: str) -> Row:
    if row is None:
        raise NotThereError(otherwise)
    return row
