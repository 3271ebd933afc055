# SPDX-License-Identifier: Apache-2.0
"""What events change in the tables of the state: computed first, then written at once.

The rules are those of ``registry.state``; here is only where a record stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keras_integrity_hook import versions
from keras_integrity_hook.registry import signed as signed_events
from keras_integrity_hook.registry import state
from keras_integrity_hook.registry.events import (
    Body,
    Promoted,
    Recalled,
    Registered,
    Restored,
    Withdrawn,
)
from keras_integrity_hook.registry.records import Changes, Content, State
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.store import (
    log_tables,
    record_texts,
    rows_writing,
    state_reading,
)
from keras_integrity_hook.registry.store.schema import (
    CONTENTS,
    DIGESTS,
    ENTRIES,
    KEYS,
    MENTIONS,
    MODELS,
    RECALLS,
    REGISTRY,
    STATE,
    SUBJECTS,
    VERSIONS,
)
from keras_integrity_hook.registry.store.state_reading import Head, Known, Tally

_Row = dict[str, Any]
_KEYS_OF_ROWS = {table: tuple(table.primary_key.columns.keys()) for table in STATE}


class Following:
    """What follows from some events, after what is known already.

    Attributes:
        head: the registry after them.
    """

    def __init__(self, head: Head, known: Known) -> None:
        self.head = head
        self._known = known
        self._events: set[str] = set()
        self._state = State(
            head.registry, known.models, known.versions, known.contents, known.keys, self._events
        )
        # By their primary keys: a record that changes twice is written once.
        self._rows: dict[sa.Table, dict[Any, _Row]] = {table: {} for table in STATE}
        self._joined: set[int] = set()  # contents that turned out to be others
        self._ended: set[str] = set()  # events whose recalls are over for a content or a key

    def apply(self, position: int, signed: SignedEvent) -> None:
        """Let the event at ``position`` happen.

        Raises:
            EventRefusedError: it may not follow the events before.
            MalformedEventError: it is no event.
        """
        changes = state.consequences(self._state, signed)
        event = signed_events.event_of(signed)
        body = event.body
        self._end_recalls(body)
        self._adopt(position, changes)
        if isinstance(body, Registered | Promoted | Withdrawn):
            self._count(position, event.time, body)
        if isinstance(body, Recalled | Restored):
            self._mention(position, body)

    def write(self, connection: Connection, more: rows_writing.Rows) -> None:
        """Write all of it, with ``more`` rows of the log, or none where they are there already."""
        changed = {table: list(rows.values()) for table, rows in self._rows.items()}
        rows_writing.write(connection, {**more, **changed})
        if self._joined:
            connection.execute(CONTENTS.delete().where(CONTENTS.c.number.in_(self._joined)))
        if over := [bytes.fromhex(event) for event in self._over(connection)]:
            places = sa.select(ENTRIES.c.position).where(ENTRIES.c.event.in_(over))
            connection.execute(RECALLS.delete().where(RECALLS.c.position.in_(places)))

    def _over(self, connection: Connection) -> set[str]:
        """The events whose recalls are over. One that named two contents may be in force for the
        other, as the tables say by now."""
        places = log_tables.positions_of(connection, self._ended)
        entries = log_tables.read_entries(connection, list(places.values()))
        recalls = [signed_events.event_of(signed_events.decode(one)).body for one in entries]
        named = {
            digest
            for body in recalls
            if isinstance(body, Recalled)
            for digest in (body.target, *body.digests.values())
        }
        contents, _ = state_reading.read_contents(connection, named)
        return self._ended - {
            recall.event for content in contents.values() for recall in content.recalls
        }

    def _put(self, table: sa.Table, **row: Any) -> None:
        self._rows[table][tuple(row[name] for name in _KEYS_OF_ROWS[table])] = row

    def _adopt(self, position: int, changes: Changes) -> None:
        """Take the records over that an event made anew."""
        self._events.add(changes.event)
        if changes.registry:
            self._adopt_registry(position, changes)
        self._known.models.update(changes.models)
        self._known.versions.update(changes.versions)
        for (model, version), record in changes.versions.items():
            signers = record_texts.of_names(record.by)
            self._put(VERSIONS, model=model, version=version, registered=position, signers=signers)
        for content in _distinct(changes.contents.values()):
            self._adopt_content(position, content)
        self._known.keys.update(changes.keys)
        for keyid, key in changes.keys.items():
            self._put(KEYS, keyid=keyid, recalls=record_texts.of_recalls(key.recalls))

    def _adopt_registry(self, position: int, changes: Changes) -> None:
        registry = changes.registry
        assert registry is not None
        self.head = Head(registry, (*self.head.changes, position))
        self._state = self._state._replace(registry=registry)
        self._put(
            REGISTRY,
            id=bytes.fromhex(registry.id),
            origin=registry.origin,
            changes=record_texts.of_numbers(self.head.changes),
        )

    def _adopt_content(self, position: int, content: Content) -> None:
        """What was held for several contents so far has the number of the first."""
        numbers = self._known.numbers
        held = {numbers[digest] for digest in content.digests if digest in numbers}
        number = min(held, default=position)
        self._joined |= held - {number}
        for other in held - {number}:
            self._rows[CONTENTS].pop((other,), None)
        self._put(CONTENTS, number=number, record=record_texts.of_content(content))
        for digest in content.digests:
            self._known.contents[digest] = content
            if numbers.get(digest) != number:
                numbers[digest] = number
                self._put(DIGESTS, digest=bytes.fromhex(digest), content=number)

    def _count(self, position: int, time: str, body: Registered | Promoted | Withdrawn) -> None:
        """Keep what lists tell of a model, and that the event is about it."""
        tallies = self._known.tallies
        highest, count, *_ = tallies.get(body.model, Tally(body.version, 0, position, time))
        if isinstance(body, Registered):
            count += 1
            highest = body.version if versions.is_below(highest, body.version) else highest
        tallies[body.model] = tally = Tally(highest, count, position, time)
        stages = record_texts.of_stages(self._known.models[body.model].stages)
        self._put(MODELS, name=body.model, stages=stages, **tally._asdict())
        version = versions.same(body.version)
        self._put(SUBJECTS, model=body.model, version=version, position=position)

    def _mention(self, position: int, body: Recalled | Restored) -> None:
        targets = {body.target}
        if isinstance(body, Recalled):
            targets.update(body.digests.values())
            self._put(RECALLS, position=position, kind=body.kind, target=body.target)
        for target in sorted(targets):
            self._put(MENTIONS, target=target, position=position)
        if body.kind == "root":
            contents = self._known.contents
            for model, version in {pair for one in targets for pair in contents[one].versions}:
                self._put(SUBJECTS, model=model, version=version, position=position)

    def _end_recalls(self, body: Body) -> None:
        if isinstance(body, Restored):
            records = self._known.contents if body.kind == "root" else self._known.keys
            self._ended.update(recall.event for recall in records[body.target].recalls)


def _distinct(contents: Iterable[Content]) -> Iterable[Content]:
    return {content.digests: content for content in contents}.values()
