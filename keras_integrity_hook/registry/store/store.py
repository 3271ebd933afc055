# SPDX-License-Identifier: Apache-2.0
"""A registry in a database: events are appended, and everything else is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from keras_integrity_hook.registry.events import Roles
from keras_integrity_hook.registry.store.rows import (
    EVERYTHING,
    Logged,
    ModelRow,
    RecallRow,
    Receipt,
    Subject,
    VersionRow,
)

if TYPE_CHECKING:
    from keras_integrity_hook.registry.answers import Answer
    from keras_integrity_hook.registry.merkle import Node
    from keras_integrity_hook.registry.signed import SignedEvent
    from keras_integrity_hook.registry.store.database import Database
    from keras_integrity_hook.signing.signers import SigningKey


class Store:
    """One registry. Safe to use by many threads, and by many processes that each opened it.

    All methods raise RegistryUnavailableError where the database does not answer in time, and
    RegistryError where it holds what no registry holds.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

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
        raise NotImplementedError

    def append_many(
        self, signed: Sequence[SignedEvent], *, service_key: SigningKey, now: datetime
    ) -> list[Receipt]:
        """Append all, in this order and under one checkpoint, or none: raises as :meth:`append`."""
        raise NotImplementedError

    # The log.

    def size(self) -> int:
        """How many events there are."""
        raise NotImplementedError

    def checkpoint(self) -> bytes:
        """The newest checkpoint, a signed note; raises RegistryError where the log is empty."""
        raise NotImplementedError

    def entry(self, position: int) -> bytes:
        """The signed event at ``position``, encoded; raises IndexError where there is none."""
        raise NotImplementedError

    def entries(self, start: int, end: int) -> list[bytes]:
        """Those from ``start`` to before ``end``, as many as there are."""
        raise NotImplementedError

    def nodes(self, wanted: Sequence[Node]) -> list[bytes]:
        """Hashes of complete nodes of the tree, in one query: a ``merkle.Read``.

        Raises:
            IndexError: the log is too small for one of them.
        """
        raise NotImplementedError

    def hashes(self, level: int, start: int, end: int) -> list[bytes]:
        """Those of one level (0 are the leaves, each level halves their number) from ``start`` to
        before ``end``, as many as are complete."""
        raise NotImplementedError

    # What follows from it.

    def registry_id(self) -> str:
        """SHA-256 of the payload of the first event, hex; empty where there is none."""
        raise NotImplementedError

    def origin(self) -> str:
        """The name of the log in its checkpoints; empty where there is none."""
        raise NotImplementedError

    def roles(self) -> Roles:
        """Those in force; raises RegistryError where the log is empty."""
        raise NotImplementedError

    def answer(self, digests: Sequence[str], *, keys: Sequence[str] = (), since: int = 0) -> Answer:
        """What the log says of contents, with proofs; of its freshness nothing is said.

        Args:
            digests: roots under any algorithm, hex; unknown ones are answered, too.
            keys: ids of keys that signed the model, whose recalls are in the answer; those of every
                key where it is ``answers.EVERY_KEY``.
            since: size of the log when whoever asks saw it last; there is a proof that the log
                continues that one, unless it is smaller.
        """
        raise NotImplementedError

    def digests(self, *, after: str = "", limit: int = 1000) -> list[str]:
        """Digests, hex and sorted, of which there is something to tell, under every algorithm."""
        raise NotImplementedError

    def models(self, *, after: str = "", like: str = "", limit: int = 100) -> list[ModelRow]:
        """Models by name, those that follow ``after`` and have ``like`` in their name."""
        raise NotImplementedError

    def model(self, name: str) -> ModelRow | None:
        """The model of this name."""
        raise NotImplementedError

    def versions(
        self, model: str, *, before: int | None = None, limit: int = 100
    ) -> list[VersionRow]:
        """Versions of a model, those registered last first.

        Args:
            before: only those registered by an event of a lower position.
        """
        raise NotImplementedError

    def version(self, model: str, version: str) -> VersionRow | None:
        """One version; spellings that PEP 440 holds for equal are one."""
        raise NotImplementedError

    def versions_of(self, digest: str, *, limit: int = 100) -> list[VersionRow]:
        """The versions, of any models, that have this content: a root under any algorithm."""
        raise NotImplementedError

    def recalls(self, *, before: int | None = None, limit: int = 100) -> list[RecallRow]:
        """Recalls in force, the last first; ``before`` as of :meth:`versions`."""
        raise NotImplementedError

    def recall_of(self, kind: str, target: str) -> RecallRow | None:
        """The recall in force of a content (under any algorithm) or a key."""
        raise NotImplementedError

    def events(
        self, about: Subject = EVERYTHING, *, before: int | None = None, limit: int = 100
    ) -> list[Logged]:
        """Events, the last first; ``before`` is a position."""
        raise NotImplementedError

    # What an administrator does.

    def rebuild(self) -> int:
        """Make the state anew from the log; the number of events.

        Raises:
            EventRefusedError: an event of the log may not stand where it stands.
        """
        raise NotImplementedError

    def whole_log(self) -> Iterator[Logged]:
        """Every event from the first, read in parts: a log need not fit into memory."""
        raise NotImplementedError
