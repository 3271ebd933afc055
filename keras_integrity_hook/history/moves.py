# SPDX-License-Identifier: Apache-2.0
"""The memory moves along with whatever this machine's own hook or a person's command does to a
model: that is their word, and contradicts nothing.

What is put there is announced before, and recorded after. Whoever is killed between the two leaves
the announcement, so that the model is known for his own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files import private_directory
from keras_integrity_hook.files.target import real_path
from keras_integrity_hook.history import directories, seals, store
from keras_integrity_hook.history.seal_places import (
    Identity,
    identity_at,
    is_same,
    is_sealed_as,
    kind_of,
    seal_place,
)
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
def moved_along(
    path: str, put: Put | None, demands: Settings, *, private: str | None = None
) -> Iterator[Move]:
    """In the block the model at ``path`` is replaced, or its seal is.

    Args:
        path: in the user's words; a set's is its directory, or the stem in it.
        put: the seal that it has afterwards; None for none.
        demands: the settings in force there.
        private: where the file that is looked at for a seal still lies, if it is moved from there.
    """
    move = Move()
    is_off = demands.history is History.OFF
    step = None if is_off else _Step.of(path, put, of_machine="history" in demands.locked)
    if step is None:
        yield move
        return
    moved = None if private is None else identity_at(private)
    step.announce()
    try:
        yield move
    except BaseException:
        step.take_back()
        raise
    if private is not None and identity_at(private) == moved:
        moved = None  # its bytes were copied after all
    step.record(moved, is_sealed=move.is_sealed)


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
        """None where that cannot be told, or nobody can come back to it: what a save writes into a
        directory of its own is at its path only once that is put in place."""
        try:
            real = real_path(path)
            if private_directory.is_ours(os.path.dirname(real)):
                return None
            now = None if put is None else seals.seen(put.statement, put.envelope, own=put.own)
        except (IntegrityError, OSError, ValueError):
            return None
        directory = directories.in_force(of_machine=of_machine)
        kind = FILE if put is None else kind_of(put.statement.container)
        return cls(directory, real, store.read(directory, real), kind, now)

    @property
    def is_announced(self) -> bool:
        """Whether anything is remembered that a new model could contradict: who signed, or which
        version. Most training has neither, and is spared two operations on files."""
        seen = [*(() if self.before is None else self.before.kinds.values()), self.now]
        return self.now is not None and any(one is not None and one.says_more for one in seen)

    def announce(self) -> None:
        """Let nobody who loads it meanwhile take it for what contradicts the memory."""
        if self.is_announced and self.now is not None:
            store.announce(self.directory, self.path, self.now.seal)
        elif self.now is None and self.before is not None:
            store.forget(self.directory, self.path)

    def _moved_from(self, old: Mapping[str, Seen], *, is_sealed: bool) -> dict[str, Seen]:
        """What is remembered after ``old``; what says no less than the new seal stays."""
        others = {kind: seen for kind, seen in old.items() if kind != self.kind}
        kinds = {kind: seen for kind, seen in others.items() if is_sealed_as(self.path, kind)}
        if self.now is not None and is_sealed:
            before = old.get(self.kind)
            stays = before is not None and self.now.is_told_by(before)
            kinds[self.kind] = before if before is not None and stays else self.now
        return kinds

    def take_back(self) -> None:
        """Nothing was replaced."""
        if self.is_announced and self.now is not None:
            store.take_back(self.directory, self.path, self.now.seal)
        elif self.now is None and self.before is not None:
            store.write(self.directory, self.before)

    def record(self, moved: Identity | None, *, is_sealed: bool) -> None:
        """Remember what is there now, unless it is another's by now.

        Args:
            moved: the file that was moved there; None where what is there was written in place.
        """
        where = seal_place(self.path, self.kind)
        there = moved or identity_at(where)
        found = store.read(self.directory, self.path)
        old = {} if found is None else found.kinds
        kinds = self._moved_from(old, is_sealed=is_sealed)
        if kinds != old:
            entry = Entry(self.path, kinds)
            store.write_while(self.directory, entry, lambda: is_same(identity_at(where), there))
        if self.is_announced and self.now is not None:
            store.take_back(self.directory, self.path, self.now.seal)
