# SPDX-License-Identifier: Apache-2.0
"""Posts of several threads, appended together: one transaction, and one write to the disk, for all
that came while the one before was written.

Each post still is in the log as a whole, or not at all, and what is wrong with one is no other's
matter: where a group is refused, its halves are tried, down to the post that is to blame.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime

from keras_integrity_hook.errors import (
    LimitExceededError,
    RegistryError,
    RegistryUnavailableError,
)
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.store.rows import Receipt
from keras_integrity_hook.signing.signers import SigningKey

_AT_ONCE = 256  # events of a group, unless one post has more

Append = Callable[[Sequence[SignedEvent], SigningKey, datetime], list[Receipt]]


class Post:
    """Events that are to be appended, all or none."""

    def __init__(self, events: Sequence[SignedEvent], key: SigningKey, now: datetime) -> None:
        self.events, self.key, self.now = events, key, now
        self.receipts: Future[list[Receipt]] = Future()

    @property
    def is_done(self) -> bool:
        """Whether it is known what became of it."""
        return self.receipts.done()


class Together:
    """Posts that wait, and whose turn it is to append them. Safe to use by many threads.

    Args:
        append: appends events, all or none; one transaction.
    """

    def __init__(self, append: Append) -> None:
        self._append = append
        self._turn = threading.Lock()
        self._waiting: deque[Post] = deque()

    def put(self, post: Post) -> None:
        """Have a post wait; whoever has the next turn appends it."""
        self._waiting.append(post)

    def settle(self, post: Post) -> list[Receipt]:
        """Take turns until a post that waits is appended, by whomever; its receipts.

        Raises what appending it raises.
        """
        while not post.is_done:
            with self._turn:
                if not post.is_done:
                    self._append_waiting()
        return post.receipts.result()

    def _append_waiting(self) -> None:
        group = [self._waiting.popleft()]
        size = len(group[0].events)
        while self._waiting and self._waiting[0].key is group[0].key:
            size += len(self._waiting[0].events)
            if size > _AT_ONCE:
                break
            group.append(self._waiting.popleft())
        try:
            self._append_group(group)
        except BaseException:
            # Whoever appends for others can be interrupted: they take their turns themselves.
            self._waiting.extendleft(one for one in reversed(group) if not one.is_done)
            raise

    def _append_group(self, group: Sequence[Post]) -> None:
        events = [event for post in group for event in post.events]
        try:
            receipts = self._append(events, group[0].key, max(post.now for post in group))
        except (RegistryError, LimitExceededError) as error:
            if len(group) > 1 and not isinstance(error, RegistryUnavailableError):
                middle = len(group) // 2
                self._append_group(group[:middle])
                self._append_group(group[middle:])
                return
            _fail(group, error)
        except Exception as error:
            _fail(group, error)
        else:
            for post in group:
                post.receipts.set_result(receipts[: len(post.events)])
                del receipts[: len(post.events)]


def _fail(group: Sequence[Post], error: Exception) -> None:
    for post in group:
        post.receipts.set_exception(error)
