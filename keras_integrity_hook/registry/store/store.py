# SPDX-License-Identifier: Apache-2.0
"""A registry in a database: events are appended, and everything else is read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from keras_integrity_hook.errors import RegistryError
from keras_integrity_hook.files.closing import Closing
from keras_integrity_hook.registry.events import Roles
from keras_integrity_hook.registry.store import (
    answering,
    appending,
    listing,
    log_tables,
    rebuilding,
    state_reading,
)
from keras_integrity_hook.registry.store.database import Database, Moment
from keras_integrity_hook.registry.store.kept_answers import Asked, KeptAnswers
from keras_integrity_hook.registry.store.log_tables import Tip
from keras_integrity_hook.registry.store.rows import (
    EVERYTHING,
    Logged,
    ModelRow,
    RecallRow,
    Receipt,
    Subject,
    VersionRow,
)
from keras_integrity_hook.registry.store.together import Post, Together

if TYPE_CHECKING:
    from keras_integrity_hook.registry.answers import Answer
    from keras_integrity_hook.registry.merkle import Node
    from keras_integrity_hook.registry.signed import SignedEvent
    from keras_integrity_hook.signing.signers import SigningKey
else:  # for those who look annotations up at run time
    Answer = Node = SignedEvent = SigningKey = object

_AT_ONCE = 500  # entries that are read at once; 65,535 bytes each at most


class Store(Closing):
    """One registry. Safe to use by many threads, and by many processes that each opened it.

    All methods raise RegistryUnavailableError where the database does not answer in time, and
    RegistryError where it holds what no registry holds.
    """

    def __init__(self, database: Database | Moment) -> None:
        self._database = database
        self._end = appending.End()
        self._answers = KeptAnswers()
        self._waiting: dict[int, Together] = {}

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Store]:
        """The registry as it is now, until the end of the block, whoever appends meanwhile; for one
        thread, and only to be read."""
        database = self._database
        if not isinstance(database, Database):
            yield self
            return
        with database.moment() as moment:
            seen = Store(moment)
            seen.size()  # a transaction sees the moment at which it first reads
            yield seen

    # What is appended.

    def append(self, signed: SignedEvent, *, service_key: SigningKey, now: datetime) -> Receipt:
        """Put an event at the end of the log; once this returns, it is on the disk.

        One that is in the log already is not stored again: its receipt says where it is.

        Args:
            service_key: signs the checkpoint; one of the services in the roles, the new ones where
                the event changes them.
            now: UTC.

        Raises:
            EventRefusedError: the event may not follow those that are there, or ``service_key`` is
                no service's (rule ``"service-key"``).
            MalformedEventError: its payload is no event.
            SigningError: the key does not sign.
        """
        return self.append_many([signed], service_key=service_key, now=now)[0]

    def append_many(
        self, signed: Sequence[SignedEvent], *, service_key: SigningKey, now: datetime
    ) -> list[Receipt]:
        """Append all, in this order, or none: raises as :meth:`append`. All receipts have the same
        checkpoint."""
        return self.settle(self.post(signed, service_key=service_key, now=now))

    def post(
        self, signed: Sequence[SignedEvent], *, service_key: SigningKey, now: datetime
    ) -> Post:
        """As :meth:`append_many`, but only have the events wait for that.

        They are appended with all that wait, all of a post or none, when :meth:`settle` is called
        for any of them.
        """
        made = Post(signed, service_key, now)
        self._in_this_process().put(made)
        return made

    def settle(self, post: Post) -> list[Receipt]:
        """See to it that a post of this store is appended; raises as :meth:`append`."""
        return self._in_this_process().settle(post)

    def _in_this_process(self) -> Together:
        """What waits; a forked process knows nothing of the threads, and their turns, of its
        parent."""
        process = os.getpid()
        return self._waiting.setdefault(process, Together(self._append))

    def _append(
        self, signed: Sequence[SignedEvent], service_key: SigningKey, now: datetime
    ) -> list[Receipt]:
        known = self._end
        receipts, end = self._database.write(
            lambda c: appending.append(c, signed, service_key, now, known), waits_itself=True
        )
        # Only now that it is on the disk; whichever thread comes last, it is one that was there.
        self._end = end
        return receipts

    # The log.

    def size(self) -> int:
        """How many events there are."""
        return self._tip().size

    def checkpoint(self) -> bytes:
        """The newest checkpoint, a signed note; raises RegistryError where the log is empty."""
        note = self._tip().note
        if not note:
            raise self._empty()
        return note

    def entry(self, position: int) -> bytes:
        """The signed event at ``position``, encoded; raises IndexError where there is none."""
        found = self.entries(position, position + 1) if position >= 0 else []
        if not found:
            raise IndexError(f"the log has no entry {position}")
        return found[0]

    def entries(self, start: int, end: int) -> list[bytes]:
        """Those from ``start`` to before ``end``, as many as there are."""
        return self._database.read(lambda c: log_tables.read_range(c, start, end))

    def nodes(self, wanted: Sequence[Node]) -> list[bytes]:
        """Hashes of complete nodes of the tree, in one query: a ``merkle.Read``."""
        return self._database.read(lambda c: log_tables.read_nodes(c, wanted))

    def hashes(self, level: int, start: int, end: int) -> list[bytes]:
        """Those of one level (0 are the leaves, each level halves their number) from ``start`` to
        before ``end``, as many as are complete."""
        return self._database.read(lambda c: log_tables.read_level(c, level, start, end))

    # What follows from it.

    def registry_id(self) -> str:
        """SHA-256 of the payload of the first event, hex; empty where there is none."""
        return self._database.read(state_reading.name).id

    def origin(self) -> str:
        """The name of the log in its checkpoints; empty where there is none."""
        return self._database.read(state_reading.name).origin

    def roles(self) -> Roles:
        """Those in force; raises RegistryError where the log is empty."""
        registry = self._database.read(state_reading.head).registry
        if registry is None:
            raise self._empty()
        return registry.roles

    def answer(self, digests: Sequence[str], *, keys: Sequence[str] = (), since: int = 0) -> Answer:
        """What the log says of contents, with proofs; of its freshness nothing is said.

        Args:
            digests: roots under any algorithm, hex; unknown ones are answered, too.
            keys: ids of keys that signed the model, whose recalls are in the answer; those of every
                key where it is ``answers.EVERY_KEY``.
            since: size of the log when whoever asks saw it last; there is a proof that the log
                continues that one, unless it is smaller.
        """
        asked = Asked(tuple(digests), tuple(keys), since)
        kept = self._answers.get(asked)
        if kept is not None and kept.checkpoint == self._tip().note:
            return kept
        answer = self._database.read(lambda c: answering.answer(c, *asked))
        self._answers.keep(asked, answer)
        return answer

    def digests(self, *, after: str = "", limit: int = 1000) -> list[str]:
        """Digests, hex and sorted, of which there is something to tell, under every algorithm."""
        return self._database.read(lambda c: listing.digests(c, after, limit))

    def models(self, *, after: str = "", like: str = "", limit: int = 100) -> list[ModelRow]:
        """Models by name, those that follow ``after`` and have ``like`` in their name."""
        return self._database.read(lambda c: listing.models(c, after, like, limit))

    def model(self, name: str) -> ModelRow | None:
        """The model of this name."""
        return self._database.read(lambda c: listing.model(c, name))

    def versions(
        self, model: str, *, before: int | None = None, limit: int = 100
    ) -> list[VersionRow]:
        """Versions of a model, those registered last first.

        Args:
            before: only those registered by an event of a lower position.
        """
        return self._database.read(lambda c: listing.versions(c, model, before, limit))

    def version(self, model: str, version: str) -> VersionRow | None:
        """One version; spellings that PEP 440 holds for equal are one."""
        return self._database.read(lambda c: listing.version(c, model, version))

    def versions_of(self, digest: str, *, limit: int = 100) -> list[VersionRow]:
        """The versions, of any models, that have this content: a root under any algorithm."""
        return self._database.read(lambda c: listing.versions_of(c, digest, limit))

    def recalls(self, *, before: int | None = None, limit: int = 100) -> list[RecallRow]:
        """Recalls in force, the last first; ``before`` as of :meth:`versions`."""
        return self._database.read(lambda c: listing.recalls(c, before, limit))

    def recall_of(self, kind: str, target: str) -> RecallRow | None:
        """The recall in force of a content (under any algorithm) or a key."""
        return self._database.read(lambda c: listing.recall_of(c, kind, target))

    def events(
        self, about: Subject = EVERYTHING, *, before: int | None = None, limit: int = 100
    ) -> list[Logged]:
        """Events, the last first; ``before`` is a position."""
        return self._database.read(lambda c: listing.events(c, about, before, limit))

    # What an administrator does.

    def copy(self, log: appending.Log, *, service_key: SigningKey, now: datetime) -> int:
        """Put all events of another place's log into this database, which has none, as they are;
        how many there were. All are there then, or none.

        Args:
            service_key, now: as of :meth:`append`.

        Raises:
            RegistryError: there are events already, or the log is not that of its checkpoint.
            EventRefusedError: an event may not stand where it stands, or ``service_key`` is no
                service's (rule ``"service-key"``).
            MalformedEventError, LimitExceededError: an entry is no event, or too long.
        """
        self._end = self._database.write(lambda c: appending.copy(c, log, service_key, now))
        return self._end.frontier.size

    def rebuild(self) -> int:
        """Make the state anew from the log; the number of events.

        Raises:
            EventRefusedError: an event of the log may not stand where it stands.
        """
        count = self._database.write(rebuilding.rebuild)
        self._answers.clear()
        return count

    def differences(self) -> Iterator[str]:
        """What the state says otherwise than the log, from which it should follow: a sentence each.

        Raises:
            EventRefusedError: an event of the log may not stand where it stands.
        """
        with self.snapshot() as moment:
            yield from moment._database.read(rebuilding.differences)

    def whole_log(self) -> Iterator[Logged]:
        """Every event from the first, read in parts: a log need not fit into memory."""
        position = 0
        while part := self.entries(position, position + _AT_ONCE):
            yield from map(Logged, range(position, position + len(part)), part)
            position += len(part)

    def _tip(self) -> Tip:
        return self._database.read_one(log_tables.tip)

    def _empty(self) -> RegistryError:
        return RegistryError(
            "nobody has founded a registry in this database yet",
            path=self._database.shown,
            remedy="'keras-integrity registry init' founds one.",
        )
