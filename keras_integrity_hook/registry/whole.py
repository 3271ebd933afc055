# SPDX-License-Identifier: Apache-2.0
"""A whole log, recomputed from its entries alone: every signature, every rule of the state, every
hash, and the checkpoint.

A client looks at what concerns it; this finds what an administrator of the database did to the
rest. It says all that is wrong, not only the first thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from keras_integrity_hook.errors import (
    EventRefusedError,
    IntegrityError,
    MalformedEventError,
    RegistryError,
    RegistryUnavailableError,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import merkle, notes, signed, tiles
from keras_integrity_hook.registry.merkle import Frontier, Node
from keras_integrity_hook.registry.notes import Checkpoint
from keras_integrity_hook.registry.records import State
from keras_integrity_hook.registry.state import Replay


class Source(Protocol):
    """A log that can be read: a database, a mirror."""

    def size(self) -> int:
        """How many entries there are."""

    def checkpoint(self) -> bytes:
        """The newest checkpoint, a signed note."""

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        """Those from ``start`` to before ``end``, as many as there are."""

    def nodes(self, wanted: Sequence[Node]) -> Sequence[bytes]:
        """The hashes of nodes, as they are kept."""


class Fault(NamedTuple):
    """Something in a log that is not as it has to be.

    Attributes:
        what: a word that stays: ``event``, ``entries``, ``hash``, ``root``, ``checkpoint``,
            ``registry``, ``fork`` or ``record``.
        cause: one sentence without a final stop.
        position: of the entry, where it is one.
    """

    what: str
    cause: str
    position: int | None = None


class Report(NamedTuple):
    """What is wrong with a log of ``size`` entries; nothing, where ``faults`` is empty.

    Attributes:
        registry_id: of the registry that the log is of, as far as that is known.
        checkpoint: what the log says of itself.
        state: what follows from the entries.
        faults: at most ``LIMITS.registry_faults``.
    """

    size: int
    registry_id: str
    checkpoint: Checkpoint
    state: State
    faults: tuple[Fault, ...]


class Expected(NamedTuple):
    """What somebody knows of a log already.

    Attributes:
        registry_id: of its registry; empty for any.
        seen: checkpoints, notes that were shown before, which the log has to continue.
        differences: what the records that are kept beside the log say otherwise than the log.
    """

    registry_id: str = ""
    seen: tuple[bytes, ...] = ()
    differences: Callable[[], Iterable[str]] | None = None


NOTHING = Expected()
"""Any log will do."""


def verify(
    source: Source,
    now: datetime,
    expected: Expected = NOTHING,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """All that is wrong with a log.

    Args:
        now: aware; a service key that has expired signs no checkpoint.
        progress: is told after every 256 entries how many were looked at.

    Raises:
        RegistryError: the log cannot be read.
        MalformedEventError: its checkpoint is none: there is nothing to compare it with.
    """
    # Read in this order: what is appended meanwhile is after the checkpoint.
    size, note = source.size(), source.checkpoint()
    checkpoint = notes.unverified_checkpoint(note)
    looked = _Looking(source, [notes.unverified_checkpoint(one) for one in expected.seen])
    if size > checkpoint.size:
        looked.tell(
            "entries", f"there are {size} entries, and the checkpoint is of {checkpoint.size}"
        )
    for start in range(0, checkpoint.size, tiles.WIDTH):
        if not looked.read(start, min(start + tiles.WIDTH, checkpoint.size)):
            break
        if progress is not None:
            progress(looked.frontier.size)
    looked.compare(checkpoint, note, now)
    state = looked.replay.state
    found_id = state.registry.id if state.registry else ""
    if expected.registry_id and found_id != expected.registry_id:
        cause = f"this is the registry {found_id or 'of nobody'}, not {expected.registry_id}"
        looked.tell("registry", cause)
    if expected.differences is not None and not looked.faults:
        for difference in expected.differences():
            looked.tell("record", difference)
    return Report(checkpoint.size, found_id, checkpoint, state, tuple(looked.faults))


@dataclass
class _Looking:
    """A log that is being looked at, entry after entry.

    Attributes:
        seen: checkpoints that it has to continue.
        frontier: of the entries so far.
    """

    source: Source
    seen: list[Checkpoint]
    replay: Replay = field(default_factory=Replay)
    frontier: Frontier = field(default_factory=Frontier)
    faults: list[Fault] = field(default_factory=list)

    def tell(self, what: str, cause: str, position: int | None = None) -> None:
        if len(self.faults) < LIMITS.registry_faults:
            self.faults.append(Fault(what, cause, position))

    def read(self, start: int, end: int) -> bool:
        """Look at the entries from ``start`` to before ``end``; False where some are missing."""
        try:
            entries = self.source.entries(start, end)
        except RegistryUnavailableError:
            raise
        except RegistryError as error:
            self.tell("entries", error.cause)
            return False
        completed: list[tuple[Node, bytes]] = []
        for position, entry in enumerate(entries, start):
            self._happen(position, entry)
            self.frontier, nodes = merkle.append(self.frontier, merkle.leaf_hash(entry))
            completed.extend(nodes)
            self._compare_with_seen()
        self._compare_nodes(completed)
        if len(entries) != end - start:
            self.tell("entries", f"entry {start + len(entries)} is missing", start + len(entries))
        return len(entries) == end - start

    def compare(self, checkpoint: Checkpoint, note: bytes, now: datetime) -> None:
        """Whether ``checkpoint`` is of these entries, and a service's word."""
        for seen in self.seen:
            if seen.size > checkpoint.size:
                self.tell("fork", f"the log had {seen.size} entries, and has {checkpoint.size} now")
        is_whole = self.frontier.size == checkpoint.size
        if is_whole and merkle.root_of(self.frontier) != checkpoint.root:
            self.tell("root", "the root in the checkpoint is not that of the entries")
        registry = self.replay.state.registry
        if registry is None:
            self.tell("registry", "no entry founds a registry")
            return
        try:
            notes.verify_checkpoint(note, registry.roles.services, registry.origin, now)
        except IntegrityError as error:
            self.tell("checkpoint", error.cause)

    def _happen(self, position: int, entry: bytes) -> None:
        """One more event; it has no consequences where it cannot be there."""
        try:
            self.replay.apply(signed.decode(entry))
        except EventRefusedError as error:
            self.tell("event", f"it may not stand here ({error.rule}): {error.cause}", position)
        except MalformedEventError as error:
            self.tell("event", error.cause, position)

    def _compare_with_seen(self) -> None:
        for seen in self.seen:
            if seen.size == self.frontier.size and merkle.root_of(self.frontier) != seen.root:
                self.tell("fork", f"the first {seen.size} entries were others when they were seen")

    def _compare_nodes(self, computed: Sequence[tuple[Node, bytes]]) -> None:
        """Whether the source keeps the hashes that follow from its entries."""
        try:
            kept = self.source.nodes([node for node, _ in computed])
        except RegistryError as error:
            self.tell("hash", f"the hashes that are kept cannot be read: {error.cause}")
            return
        for (node, expected), found in zip(computed, kept, strict=True):
            if found != expected:
                first = node.number << node.level
                covered = f"entries {first} to {first + (1 << node.level) - 1}"
                what = f"entry {first}" if node.level == 0 else covered
                self.tell("hash", f"the hash that is kept of {what} is another", first)
