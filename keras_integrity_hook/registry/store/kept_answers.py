# SPDX-License-Identifier: Apache-2.0
"""Answers that were given before. While the log has not grown, each of them is still the answer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from keras_integrity_hook.registry.answers import Answer

_MOST = 1_000
_SIZE = 64 * 1024  # bytes of the events of an answer that is kept


class Asked(NamedTuple):
    """What an answer is to."""

    digests: tuple[str, ...]
    keys: tuple[str, ...]
    since: int


class KeptAnswers:
    """Those that were asked for last. Safe to use by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[Asked, Answer] = OrderedDict()

    def get(self, asked: Asked) -> Answer | None:
        """The answer of before; it counts if its checkpoint is still the newest."""
        with self._lock:
            answer = self._answers.get(asked)
            if answer is not None:
                self._answers.move_to_end(asked)
            return answer

    def keep(self, asked: Asked, answer: Answer) -> None:
        """Keep ``answer``, and let the one go that was asked for the longest time ago."""
        if sum(len(event.entry) for event in answer.events) > _SIZE:
            return
        with self._lock:
            self._answers[asked] = answer
            self._answers.move_to_end(asked)
            while len(self._answers) > _MOST:
                self._answers.popitem(last=False)

    def clear(self) -> None:
        """Forget all: what they were made from was made anew."""
        with self._lock:
            self._answers.clear()
