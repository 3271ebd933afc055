# SPDX-License-Identifier: Apache-2.0
"""Lists and pages: models, versions, recalls, events, as people look at them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keras_integrity_hook import versions as spellings
from keras_integrity_hook.errors import RegistryError
from keras_integrity_hook.registry import signed as signed_events
from keras_integrity_hook.registry.events import Event, Recalled
from keras_integrity_hook.registry.records import Content, Model, Recall, Stage, Version
from keras_integrity_hook.registry.store import log_tables, record_texts, state_reading
from keras_integrity_hook.registry.store.rows import (
    Logged,
    ModelRow,
    RecallRow,
    Subject,
    VersionRow,
)
from keras_integrity_hook.registry.store.schema import (
    DIGESTS,
    ENTRIES,
    MENTIONS,
    MODELS,
    RECALLS,
    SUBJECTS,
    VERSIONS,
)
from keras_integrity_hook.registry.store.state_reading import Pair

_MOST = 1_000  # rows of one list


def digests(connection: Connection, after: str, limit: int) -> list[str]:
    query = (
        sa.select(DIGESTS.c.digest)
        .where(DIGESTS.c.digest > bytes.fromhex(after))
        .order_by(DIGESTS.c.digest)
        .limit(limit)
    )
    return [digest.hex() for digest in connection.execute(query).scalars()]


def models(connection: Connection, after: str, like: str, limit: int) -> list[ModelRow]:
    query = sa.select(MODELS).where(MODELS.c.name > after)
    if like:
        query = query.where(MODELS.c.name.icontains(like, autoescape=True))
    return [
        _model_row(row)
        for row in connection.execute(query.order_by(MODELS.c.name).limit(min(limit, _MOST)))
    ]


def model(connection: Connection, name: str) -> ModelRow | None:
    row = connection.execute(sa.select(MODELS).where(MODELS.c.name == name)).first()
    return None if row is None else _model_row(row)


def _model_row(row: Any) -> ModelRow:
    stages = record_texts.model(row.name, row.stages).stages
    return ModelRow(
        row.name,
        row.highest,
        row.versions,
        {name: _highest_first(stage) for name, stage in stages.items() if stage.present},
        {name: stage.high_water.version for name, stage in stages.items()},
        row.changed,
        row.time,
    )


def _highest_first(stage: Stage) -> tuple[str, ...]:
    return spellings.highest_first(mark.version for mark in stage.present)


def versions(
    connection: Connection, model: str, before: int | None, limit: int
) -> list[VersionRow]:
    query = sa.select(VERSIONS.c.version, VERSIONS.c.registered).where(VERSIONS.c.model == model)
    if before is not None:
        query = query.where(VERSIONS.c.registered < before)
    query = query.order_by(VERSIONS.c.registered.desc()).limit(min(limit, _MOST))
    return version_rows(connection, [(model, row.version) for row in connection.execute(query)])


def version(connection: Connection, model: str, version: str) -> VersionRow | None:
    if not spellings.is_version(version):
        return None
    return next(iter(version_rows(connection, [(model, spellings.same(version))])), None)


def versions_of(connection: Connection, digest: str, limit: int) -> list[VersionRow]:
    found, _ = state_reading.read_contents(connection, [digest])
    pairs = found[digest].versions if digest in found else ()
    return version_rows(connection, pairs[: min(limit, _MOST)])


def version_rows(connection: Connection, pairs: Sequence[Pair]) -> list[VersionRow]:
    """The rows of versions, in this order; those that are not there are left out."""
    records = state_reading.read_versions(connection, pairs)
    positions = state_reading.registrations(connection, pairs)
    found, _ = state_reading.read_models(connection, {model for model, _ in pairs})
    contents, _ = state_reading.read_contents(
        connection, {record.body.root for record in records.values()}
    )
    return [
        _version_row(records[pair], positions[pair], found, contents)
        for pair in pairs
        if pair in records
    ]


def _version_row(
    record: Version, position: int, models: dict[str, Model], contents: dict[str, Content]
) -> VersionRow:
    body = record.body
    content = contents.get(body.root, Content((body.root,)))
    stages = models[body.model].stages if body.model in models else {}
    return VersionRow(
        body.model,
        body.version,
        body.root,
        body.algorithm,
        body.size,
        body.container,
        body.statement,
        {**body.digests, body.algorithm: body.root},
        body.provenance,
        tuple(
            sorted(
                name
                for name, stage in stages.items()
                if body.version in (mark.version for mark in stage.present)
            )
        ),
        position,
        record.time,
        record.by,
        bool(content.recalls),
    )


def recalls(connection: Connection, before: int | None, limit: int) -> list[RecallRow]:
    query = sa.select(RECALLS.c.position, ENTRIES.c.encoded).join(
        ENTRIES, ENTRIES.c.position == RECALLS.c.position
    )
    if before is not None:
        query = query.where(RECALLS.c.position < before)
    query = query.order_by(RECALLS.c.position.desc()).limit(min(limit, _MOST))
    rows = [(row.position, row.encoded) for row in connection.execute(query)]
    return _recall_rows(connection, rows)


def recall_of(connection: Connection, kind: str, target: str) -> RecallRow | None:
    in_force = _in_force(connection, kind, [target]).get(target, ())
    places = log_tables.positions_of(connection, [recall.event for recall in in_force[-1:]])
    entries = log_tables.read_entries(connection, list(places.values()))
    found = _recall_rows(connection, list(zip(places.values(), entries, strict=True)), target)
    return found[0] if found else None


def _in_force(
    connection: Connection, kind: str, targets: Iterable[str]
) -> dict[str, tuple[Recall, ...]]:
    if kind == "key":
        keys = state_reading.read_keys(connection, targets)
        return {keyid: key.recalls for keyid, key in keys.items()}
    contents, _ = state_reading.read_contents(connection, targets)
    return {digest: content.recalls for digest, content in contents.items()}


class _Told(NamedTuple):
    """The event of a recall, and where it is."""

    position: int
    id: str
    event: Event
    body: Recalled

    @property
    def named(self) -> tuple[str, ...]:
        return (self.body.target, *sorted(self.body.digests.values()))


def _recall_rows(
    connection: Connection, rows: Sequence[tuple[int, bytes]], of: str = ""
) -> list[RecallRow]:
    """The rows of recalls: of what the content or the key ``of`` has to do with, where it is given,
    else of all that each is in force for."""
    events = [_Told(position, *_recalled(entry)) for position, entry in rows]
    every = {of, *(one for told in events for one in told.named)}
    contents, _ = state_reading.read_contents(connection, every)
    pairs = {pair for content in contents.values() for pair in content.versions}
    known = state_reading.read_versions(connection, pairs)
    in_force = _in_force(connection, "key", every)
    in_force |= {digest: content.recalls for digest, content in contents.items()}
    same = contents[of].digests if of in contents else (of,)
    found = []
    for told in events:
        held = {
            one: recall
            for one in (*told.named, of)
            if not of or one in same
            for recall in in_force.get(one, ())
            if recall.event == told.id
        }
        of_these = (pair for one in held if one in contents for pair in contents[one].versions)
        versions = [known[pair] for pair in dict.fromkeys(of_these) if pair in known]
        found.append(_recall_row(told, held, versions))
    return found


def _recall_row(told: _Told, held: Mapping[str, Recall], versions: list[Version]) -> RecallRow:
    """The row of a recall that is in force for ``held``, which these versions have."""
    return RecallRow(
        told.body.kind,
        next(iter(held), told.body.target),
        told.body.reason,
        told.position,
        told.event.time,
        next((recall.by for recall in held.values()), ()),
        tuple((one.body.model, one.body.version) for one in versions),
    )


def _recalled(entry: bytes) -> tuple[str, Event, Recalled]:
    signed = signed_events.decode(entry)
    event = signed_events.event_of(signed)
    if not isinstance(event.body, Recalled):
        raise RegistryError("an event that should recall something does not")
    return signed.id, event, event.body


def events(connection: Connection, about: Subject, before: int | None, limit: int) -> list[Logged]:
    query = sa.select(ENTRIES.c.position, ENTRIES.c.encoded).where(log_tables.OF_ENTRIES)
    if about != Subject():
        query = query.where(ENTRIES.c.position.in_(_about(connection, about)))
    if before is not None:
        query = query.where(ENTRIES.c.position < before)
    query = query.order_by(ENTRIES.c.position.desc()).limit(min(limit, _MOST))
    return [Logged(row.position, row.encoded) for row in connection.execute(query)]


def _about(connection: Connection, about: Subject) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """The positions of events about something."""
    if about.key:
        return sa.select(MENTIONS.c.position).where(MENTIONS.c.target == about.key)
    if about.digest:
        return _about_content(connection, about.digest)
    query = sa.select(SUBJECTS.c.position).where(SUBJECTS.c.model == about.model)
    if about.version:
        is_one = spellings.is_version(about.version)
        same = spellings.same(about.version) if is_one else about.version
        query = query.where(SUBJECTS.c.version == same)
    return query


def _about_content(connection: Connection, digest: str) -> sa.CompoundSelect[Any]:
    found, _ = state_reading.read_contents(connection, [digest])
    content = found.get(digest, Content((digest,)))
    of_versions = sa.select(SUBJECTS.c.position).where(
        sa.tuple_(SUBJECTS.c.model, SUBJECTS.c.version).in_(content.versions)
    )
    return sa.union(
        of_versions, sa.select(MENTIONS.c.position).where(MENTIONS.c.target.in_(content.digests))
    )
