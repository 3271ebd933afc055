# SPDX-License-Identifier: Apache-2.0
"""The memory moves along with whatever this machine's own hook or a person's command does to a
model: that is their word, and contradicts nothing.

Whoever is killed between the two leaves a model without a memory, never one that the memory
contradicts: what the new model would contradict is forgotten before it is put in its place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files.target import real_path
from keras_integrity_hook.history import directories, judging, seals, store
from keras_integrity_hook.history.memory import identity_at, is_sealed_as, kind_of, seal_place
from keras_integrity_hook.history.seen import FILE, Entry, Seen
from keras_integrity_hook.sealing.envelope import Envelope
from keras_integrity_hook.sealing.statement import Statement
from keras_integrity_hook.settings import History, Settings


class Put(NamedTuple):
    """A seal that is put into or beside a model.

    Attributes:
        own: key ids of the signatures that were made for it.
    """

    statement: Statement
    envelope: Envelope
    own: tuple[str, ...]


def made(statement: Statement, envelope: Envelope) -> Put:
    """A seal that was made here with all of its signatures."""
    return Put(statement, envelope, tuple(one.keyid for one in envelope.signatures))


class Move:
    """What became of it.

    Attributes:
        is_sealed: False where the seal could not be put there after all.
    """

    is_sealed = True


@contextlib.contextmanager
def moved_along(path: str, put: Put | None, demands: Settings) -> Iterator[Move]:
    """In the block the model at ``path`` is replaced, or its seal is.

    Args:
        path: in the user's words; a set's is its directory, or the stem in it.
        put: the seal that it has afterwards; None for none.
        demands: the settings in force there.
    """
    move = Move()
    is_off = demands.history is History.OFF
    step = None if is_off else _Step.of(path, put, of_machine="history" in demands.locked)
    if step is None:
        yield move
        return
    step.forget_contradicted()
    try:
        yield move
    except BaseException:
        step.take_back()
        raise
    step.record(is_sealed=move.is_sealed)


def left_unsealed(path: str, demands: Settings) -> None:
    """Note that the hook saved a model at ``path`` that has no seal."""
    with moved_along(path, None, demands):
        pass


class _Step(NamedTuple):
    """From what is remembered of a path to what will be."""

    directory: str
    path: str
    before: Entry | None
    kind: str
    now: Seen | None

    @classmethod
    def of(cls, path: str, put: Put | None, *, of_machine: bool) -> _Step | None:
        """None where that cannot be told; nothing is remembered then that is not so."""
        try:
            real = real_path(path)
            now = None if put is None else seals.seen(put.statement, put.envelope, own=put.own)
        except (IntegrityError, OSError, ValueError):
            return None
        directory = directories.in_force(of_machine=of_machine)
        kind = FILE if put is None else kind_of(put.statement.container)
        return cls(directory, real, store.read(directory, real), kind, now)

    def forget_contradicted(self) -> None:
        """Forget what the new model would contradict."""
        if self.before is None:
            return
        before = self.before.kinds.get(self.kind)
        if self.now is None:
            contradicts = True
        else:
            contradicts = before is not None and bool(
                judging.contradiction(before, self.now, self.path)
            )
        if contradicts:
            store.forget(self.directory, self.path)

    def take_back(self) -> None:
        """Remember as before: nothing was replaced."""
        if self.before is not None:
            store.write(self.directory, self.before)

    def record(self, *, is_sealed: bool) -> None:
        """Remember what is there now."""
        kinds = {} if self.before is None else dict(self.before.kinds)
        kinds.pop(self.kind, None)
        kinds = {kind: seen for kind, seen in kinds.items() if is_sealed_as(self.path, kind)}
        if self.now is not None and is_sealed:
            kinds[self.kind] = self.now
        entry = Entry(self.path, kinds)
        if self.before is None and not kinds:
            return
        where = seal_place(self.path, self.kind)
        there = identity_at(where)
        store.write_while(self.directory, entry, lambda: identity_at(where) == there)
