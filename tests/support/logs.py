# SPDX-License-Identifier: Apache-2.0
"""A registry's log in memory, made as plainly as can be: what a database has to agree with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from keras_integrity_hook.registry import answers, merkle, notes, signed, tiles
from keras_integrity_hook.registry.answers import Answer, ProvenEvent
from keras_integrity_hook.registry.events import Body
from keras_integrity_hook.registry.merkle import Frontier, Node
from keras_integrity_hook.registry.notes import Checkpoint
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.state import Replay
from keras_integrity_hook.registry.tiles import Tile
from keras_integrity_hook.registry.verdicts import Question
from keras_integrity_hook.signing import signers
from keras_integrity_hook.signing.signers import SigningKey
from tests.support.registries import ORIGIN, Cast

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


class Log:
    """The log of the registry that ``cast`` founds, and what it answers.

    Attributes:
        entries: encoded signed events.
        key: of the service.
    """

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.key: SigningKey = signers.find(cast.service)
        self.entries: list[bytes] = []
        self.replay = Replay()
        self._hashed: list[bytes] = []
        self._nodes: dict[Node, bytes] = {}
        self.append(cast.founding())

    @property
    def registry_id(self) -> str:
        return self.cast.registry

    @property
    def size(self) -> int:
        return len(self.entries)

    def append(self, event: SignedEvent) -> int:
        """The position of an event that may follow."""
        self.replay.apply(event)
        self.entries.append(signed.encode(event))
        return self.size - 1

    def add(self, body: Body, *names: str) -> int:
        """As :meth:`append`, for an event by the actors of these names."""
        return self.append(self.cast.signed(body, *names))

    def forked(self, size: int) -> Log:
        """Another log with the first ``size`` entries of this one."""
        other = Log.__new__(Log)
        other.cast, other.key, other.entries = self.cast, self.key, []
        other.replay, other._hashed, other._nodes = Replay(), [], {}
        for entry in self.entries[:size]:
            other.append(signed.decode(entry))
        return other

    def nodes(self, nodes: Sequence[Node]) -> list[bytes]:
        """The hashes of complete subtrees."""
        if self._hashed != self.entries:  # which tests change as they like
            self._hashed, self._nodes, frontier = list(self.entries), {}, Frontier()
            for entry in self.entries:
                frontier, completed = merkle.append(frontier, merkle.leaf_hash(entry))
                self._nodes.update(completed)
        return [self._nodes[node] for node in nodes]

    def tile(self, tile: Tile) -> bytes:
        if tile.is_bundle:
            return tiles.encode_bundle(self.entries[slice(*tile.leaves)])
        return b"".join(self.nodes(tile.nodes))

    def checkpoint(self, size: int | None = None) -> bytes:
        """The note of this log, or of what it was with ``size`` entries."""
        entries = self.entries[:size]
        root = merkle.root([merkle.leaf_hash(entry) for entry in entries])
        return notes.sign_checkpoint(Checkpoint(ORIGIN, len(entries), root), self.key)

    def answer(
        self,
        *digests: str,
        keys: Sequence[str] = (answers.EVERY,),
        since: int = 0,
        positions: Iterable[int] | None = None,
        lasts: timedelta = timedelta(hours=1),
        at: datetime = NOW,
    ) -> Answer:
        """All events, or those at ``positions``, as an answer about ``digests``."""
        chosen = sorted(range(self.size) if positions is None else positions)
        proofs = merkle.inclusion_proofs(chosen, self.size, self.nodes)
        events = [
            ProvenEvent(position, self.entries[position], proof)
            for position, proof in zip(chosen, proofs, strict=True)
        ]
        consistency = merkle.consistency_proof(since, self.size, self.nodes)
        answer = Answer(digests, tuple(keys), tuple(events), self.checkpoint(), since, consistency)
        return self.refreshed(answer, lasts=lasts, at=at)

    def refreshed(
        self, answer: Answer, *, lasts: timedelta = timedelta(hours=1), at: datetime = NOW
    ) -> Answer:
        """``answer``, whatever it says, with the service's word that this is all there is."""
        said = answers.freshness(ORIGIN, self.registry_id, at, at + lasts)
        return answers.fresh(answer, said, self.key)

    def question(self, *digests: str, keys: Sequence[str] = (), seen: bytes = b"") -> Question:
        return Question(self.registry_id, digests, tuple(keys), seen)


class Moment:
    """A log as a database shows it: what is verified and exported."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.entries_kept = list(log.entries)
        self.nodes_kept: dict[Node, bytes] = {}
        self.note = log.checkpoint()
        self._payloads = [signed.decode(entry).payload.decode() for entry in log.entries]

    def size(self) -> int:
        return len(self.entries_kept)

    def checkpoint(self) -> bytes:
        return self.note

    def entries(self, start: int, end: int) -> list[bytes]:
        return self.entries_kept[start:end]

    def nodes(self, wanted: Sequence[Node]) -> list[bytes]:
        honest = zip(wanted, self.log.nodes(wanted), strict=True)
        return [self.nodes_kept.get(node, hashed) for node, hashed in honest]

    def registry_id(self) -> str:
        return self.log.registry_id

    def digests(self, *, after: str = "", limit: int = 1000) -> list[str]:
        known = sorted(self.log.replay.state.contents)
        return [digest for digest in known if digest > after][:limit]

    def answer(self, digests: Sequence[str], *, keys: Sequence[str] = ()) -> Answer:
        """What changed roles or keys, and all about any model that has the content."""
        contents = self.log.replay.state.contents
        found = [contents[digest] for digest in digests if digest in contents]
        needles = [digest for content in found for digest in content.digests]
        needles += [f'"model":"{model}"' for content in found for model, _ in content.versions]
        needles += ['"roles":', '"kind":"key"']
        positions = [
            position
            for position, payload in enumerate(self._payloads)
            if any(needle in payload for needle in needles)
        ]
        answer = self.log.answer(*digests, keys=keys, positions=positions)
        return answer._replace(freshness=b"")
