# SPDX-License-Identifier: Apache-2.0
"""Which events say what is true of some content now, and the proofs that the log has them.

Whoever is told replays them and believes nothing else. So all that changed roles is among them, and
with a promotion the registration of what was promoted. What is no longer so is left out: a version
that left a stage is not in it where nobody is told that it once came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from sqlalchemy.engine import Connection

from keras_integrity_hook import versions
from keras_integrity_hook.errors import RegistryError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import merkle
from keras_integrity_hook.registry.answers import EVERY_KEY, Answer, ProvenEvent
from keras_integrity_hook.registry.merkle import Node
from keras_integrity_hook.registry.records import Content, Mark, Model
from keras_integrity_hook.registry.store import log_tables, state_reading
from keras_integrity_hook.registry.store.batches import Batch, Question
from keras_integrity_hook.registry.store.log_tables import Tip
from keras_integrity_hook.registry.store.state_reading import Pair


def answer(
    connection: Connection, digests: Sequence[str], keys: Sequence[str], since: int
) -> Answer:
    """As :meth:`keras_integrity_hook.registry.store.store.Store.answer`."""
    (size, note), positions = _positions(connection, digests, keys)
    if len(positions) > LIMITS.registry_events:
        raise RegistryError(f"more than {LIMITS.registry_events} events are about this content")
    entries: list[bytes] = []

    def read(nodes: Sequence[Node]) -> list[bytes]:
        with Batch(connection) as batch:
            found = batch.ask(log_tables.entries_question(positions))
            hashes = batch.ask(log_tables.nodes_question(nodes))
        entries.extend(found.said)
        return hashes.said

    proofs, consistency = merkle.both_proofs(positions, since, size, read)
    return Answer(
        tuple(digests),
        tuple(keys),
        tuple(map(ProvenEvent, positions, entries, proofs)),
        note,
        since,
        consistency,
    )


def _positions(
    connection: Connection, digests: Sequence[str], keys: Sequence[str]
) -> tuple[Tip, list[int]]:
    """The end of the log, and where the events are."""
    with Batch(connection) as batch:  # what was asked about
        tip = batch.ask(log_tables.tip_question())
        name = batch.ask(state_reading.name_question())
        found = batch.ask(state_reading.contents_question(digests))
        recalled = batch.ask(_recalled_keys(keys))
    contents = _each(found.said[0])
    pairs = _pairs(contents)
    targets = {one for content in contents if content.recalls for one in content.digests}
    with Batch(connection) as batch:  # what was done with it
        models = batch.ask(state_reading.models_question(model for model, _ in pairs))
        registered = batch.ask(state_reading.registrations_question(pairs))
        # All is told that was said of it: an earlier event can be what makes two digests those of
        # one content.
        mentioned = batch.ask(state_reading.mentions_question([*targets, *recalled.said]))
    entangled = _entangled(connection, targets, mentioned.said.targets - set(recalled.said))
    marks = list(_marks(models.said[0].values(), pairs))
    promoted = {(name, versions.same(mark.version)) for name, mark in marks}
    with Batch(connection) as batch:  # and what stands above it
        above = batch.ask(state_reading.registrations_question(promoted - pairs))
        places = batch.ask(log_tables.positions_question(mark.event for _, mark in marks))
    positions = {
        *name.said.changes,
        *registered.said.values(),
        *mentioned.said.positions,
        *entangled,
        *above.said.values(),
        *places.said.values(),
    }
    return tip.said, sorted(positions)


def _entangled(connection: Connection, told: set[str], named: Set[str]) -> set[int]:
    """Where the events are that say what contents are named together with others in recalls.

    Such a recall is of all of them, and makes them one content unless what is known of any
    contradicts that. So it can only be understood with all that was said of each, and so on.

    Args:
        told: the digests of which all is told already.
        named: those that these events name.
    """
    positions: set[int] = set()
    while others := named - told:
        with Batch(connection) as batch:
            found = batch.ask(state_reading.contents_question(others))
        contents = _each(found.said[0])
        targets = {one for content in contents for one in content.digests}
        with Batch(connection) as batch:
            registered = batch.ask(state_reading.registrations_question(_pairs(contents)))
            mentioned = batch.ask(state_reading.mentions_question(targets))
        positions |= {*registered.said.values(), *mentioned.said.positions}
        if len(positions) > LIMITS.registry_events:
            break
        told, named = told | others | targets, mentioned.said.targets
    return positions


def _each(contents: Mapping[str, Content]) -> list[Content]:
    return list({content.digests: content for content in contents.values()}.values())


def _pairs(contents: Iterable[Content]) -> set[Pair]:
    return {pair for content in contents for pair in content.versions}


def _recalled_keys(keys: Sequence[str]) -> Question[list[str]]:
    """Asks which of ``keys`` are recalled."""
    if EVERY_KEY in keys:
        return state_reading.recalled_keys_question()
    return state_reading.recalled_among_question(keys)


def _marks(models: Iterable[Model], pairs: set[Pair]) -> Iterator[tuple[str, Mark]]:
    """By what is known of the stages: the highest version ever promoted to each, what took that
    out again, and those of ``pairs`` that are in it."""
    for model in models:
        for stage in model.stages.values():
            for mark in (stage.high_water, *stage.left):
                yield model.name, mark
            for mark in stage.present:
                if (model.name, versions.same(mark.version)) in pairs:
                    yield model.name, mark
