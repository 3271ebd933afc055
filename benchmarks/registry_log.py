# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks.registry_log``: proofs of a registry's log, by the size of the log.

Leaves are hashes of numbers but for those that the answer has: a founding, a registration and a
promotion, real ones. Nodes are in memory, so a database's time comes on top.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from keras_integrity_hook.registry import answers, merkle, notes, signed, tiles, verdicts
from keras_integrity_hook.registry.answers import Answer, ProvenEvent
from keras_integrity_hook.registry.merkle import HASH_SIZE, Frontier, Node
from keras_integrity_hook.registry.notes import Checkpoint
from keras_integrity_hook.registry.tiles import Tile
from keras_integrity_hook.registry.verdicts import Question
from keras_integrity_hook.signing import signers
from tests.support.registries import ORIGIN, Cast, promotion, registration

SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
NOW = datetime(2026, 7, 1, tzinfo=UTC)
HEADINGS = (
    *("entries", "inclusion proof", "made", "checked", "consistency proof", "made", "checked"),
    *("tiles read", "answer", "read and verified"),
)


class Tree:
    """The complete nodes of a tree, by level."""

    def __init__(self) -> None:
        self.frontier = Frontier()
        self.levels = [bytearray() for _ in range(64)]

    def append(self, leaf: bytes) -> None:
        self.frontier, completed = merkle.append(self.frontier, leaf)
        for node, hashed in completed:
            self.levels[node.level] += hashed

    def read(self, nodes: Sequence[Node]) -> list[bytes]:
        return [
            bytes(self.levels[level][at * HASH_SIZE : (at + 1) * HASH_SIZE]) for level, at in nodes
        ]

    def root(self) -> bytes:
        return merkle.root_of(self.frontier)


def seconds(function: Callable[[], Any], runs: int = 200) -> float:
    """The median time of ``function``, which has run twice before."""
    taken = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[2:])


def row(tree: Tree, cast: Cast, entries: list[bytes], old_root: bytes) -> list[str]:
    """What proofs of this log cost; ``old_root`` is that of the half of it."""
    size, root = tree.frontier.size, tree.root()
    old, index, leaf = size // 2, 2, merkle.leaf_hash(entries[2])
    inclusion = merkle.inclusion_proof(index, size, tree.read)
    consistency = merkle.consistency_proof(old, size, tree.read)
    fetched: list[Tile] = []

    def fetch(wanted: Sequence[Tile]) -> list[bytes]:
        fetched.extend(wanted)
        return [b"".join(tree.read(tile.nodes)) for tile in wanted]

    merkle.inclusion_proof(index, size, tiles.reader(size, fetch))
    spelt, question = answer(tree, cast, entries)
    timed = [
        lambda: merkle.inclusion_proof(index, size, tree.read),
        lambda: merkle.verify_inclusion(index, size, leaf, inclusion, root),
        lambda: merkle.consistency_proof(old, size, tree.read),
        lambda: merkle.verify_consistency(old, size, consistency, old_root, root),
        lambda: verdicts.verify(answers.decode(spelt), question, NOW),
    ]
    made, checked, made2, checked2, verified = (f"{seconds(one) * 1e6:,.0f} µs" for one in timed)
    proofs = [f"{len(one)} hashes, {len(one) * HASH_SIZE} B" for one in (inclusion, consistency)]
    return [
        *(f"{size:,}", proofs[0], made, checked, proofs[1], made2, checked2),
        *(f"{len(fetched)}", f"{len(spelt):,} B", verified),
    ]


def answer(tree: Tree, cast: Cast, entries: list[bytes]) -> tuple[bytes, Question]:
    """A fresh answer about the model that was promoted, encoded, and the question."""
    size, key = tree.frontier.size, signers.find(cast.service)
    proofs = merkle.inclusion_proofs(range(len(entries)), size, tree.read)
    events = tuple(map(ProvenEvent, range(len(entries)), entries, proofs))
    checkpoint = notes.sign_checkpoint(Checkpoint(ORIGIN, size, tree.root()), key)
    digests = (registration().root,)
    said = answers.freshness(ORIGIN, cast.registry, NOW, NOW + timedelta(hours=1))
    fresh = answers.fresh(Answer(digests, (), events, checkpoint), said, key)
    return answers.encode(fresh), Question(cast.registry, digests)


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as directory:
        cast, body = Cast(Path(directory)), registration()
        events = [cast.founding(), cast.signed(body, "carol")]
        events.append(cast.signed(promotion(body), "alice", "bob"))
        entries, tree = [signed.encode(one) for one in events], Tree()
        halves = {size // 2: b"" for size in SIZES}
        print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}")
        for number in range(SIZES[-1]):
            data = entries[number] if number < len(entries) else str(number).encode()
            tree.append(merkle.leaf_hash(data))
            if number + 1 in halves:
                halves[number + 1] = tree.root()
            if number + 1 in SIZES:
                print(f"| {' | '.join(row(tree, cast, entries, halves[(number + 1) // 2]))} |")


if __name__ == "__main__":
    main()
