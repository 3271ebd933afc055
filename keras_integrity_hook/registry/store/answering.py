# SPDX-License-Identifier: Apache-2.0
"""Which events say what is true of some content now, and the proofs that the log has them.

Whoever is told replays them and believes nothing else. So all that changed roles is among them, and
with a promotion the registration of what was promoted. What is no longer so is left out: a version
that left a stage is not in it where nobody is told that it once came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy.engine import Connection

from keras_integrity_hook import versions
from keras_integrity_hook.errors import RegistryError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import merkle
from keras_integrity_hook.registry.answers import EVERY_KEY, Answer, ProvenEvent
from keras_integrity_hook.registry.merkle import Node
from keras_integrity_hook.registry.records import Content, Mark, Model
from keras_integrity_hook.registry.store import log_tables, state_reading
from keras_integrity_hook.registry.store.state_reading import Pair


def answer(
    connection: Connection, digests: Sequence[str], keys: Sequence[str], since: int
) -> Answer:
    """As :meth:`keras_integrity_hook.registry.store.store.Store.answer`."""
    size, note = log_tables.tip(connection)
    positions = sorted(_positions(connection, digests, keys))
    if len(positions) > LIMITS.registry_events:
        raise RegistryError(f"more than {LIMITS.registry_events} events are about this content")

    def read(nodes: Sequence[Node]) -> list[bytes]:
        return log_tables.read_nodes(connection, nodes)

    entries = log_tables.read_entries(connection, positions)
    proofs = merkle.inclusion_proofs(positions, size, read)
    return Answer(
        tuple(digests),
        tuple(keys),
        tuple(map(ProvenEvent, positions, entries, proofs)),
        note,
        since,
        merkle.consistency_proof(since, size, read) if since <= size else (),
    )


def _positions(connection: Connection, digests: Sequence[str], keys: Sequence[str]) -> set[int]:
    found, _ = state_reading.read_contents(connection, digests)
    contents = {content.digests: content for content in found.values()}.values()
    pairs = {pair for content in contents for pair in content.versions}
    models, _ = state_reading.read_models(connection, {model for model, _ in pairs})
    marks = {(name, mark) for name, mark in _marks(models.values(), pairs)}
    promoted = {(name, versions.same(mark.version)) for name, mark in marks}
    return {
        *state_reading.name(connection).changes,
        *state_reading.registrations(connection, pairs | promoted).values(),
        *log_tables.positions_of(connection, {mark.event for _, mark in marks}).values(),
        *state_reading.mentions(connection, _recalled(connection, contents, keys)),
    }


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


def _recalled(
    connection: Connection, contents: Iterable[Content], keys: Sequence[str]
) -> Iterator[str]:
    """Digests and keys whose recalls are in force, so that all is told that was said of them: an
    earlier event can be what makes two digests those of one content."""
    for content in contents:
        if content.recalls:
            yield from content.digests
    if EVERY_KEY in keys:
        yield from state_reading.recalled_keys(connection)
    elif keys:
        records = state_reading.read_keys(connection, keys)
        yield from (keyid for keyid, key in records.items() if key.recalls)
