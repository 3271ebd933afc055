# SPDX-License-Identifier: Apache-2.0
"""Objects of a set are fetched and put several at once: a store answers each after a moment.

By plain threads and no ``concurrent.futures``: an executor takes no work once the main thread has
ended, and a model may be saved by an ``atexit`` function.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from keras_integrity_hook.sealing import tree

_AT_ONCE = 8
_Task = TypeVar("_Task")


def each(tasks: Iterable[_Task], do: Callable[[_Task], None], number: int = _AT_ONCE) -> None:
    """Call ``do`` with each of ``tasks``, in threads of their own where there are several.

    Args:
        number: of threads at most, this one among them.

    Raises:
        What ``do`` raised first; none of them is at work any more by then.
    """
    todo = deque(tasks)
    failures: list[BaseException] = []

    def work() -> None:
        while todo and not failures:
            try:
                task = todo.popleft()
            except IndexError:
                return  # another thread was faster
            try:
                do(task)
            except BaseException as error:
                failures.append(error)

    others = min(number, len(todo)) - 1  # this thread works, too
    helpers = [threading.Thread(target=work, daemon=True) for _ in range(others)]
    started = [helper for helper in helpers if tree.starts(helper)]
    work()
    _join(started, failures)
    if failures:
        raise failures[0]


class InBackground:
    """Something that is being done in a thread of its own; where none is to be had, at once."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do = do
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._work, daemon=True)
        if not tree.starts(self._thread):
            self._work()

    def finish(self) -> None:
        """Wait until it is done; raises what that raised."""
        self.wait()
        if self._failures:
            raise self._failures[0]

    def wait(self) -> None:
        """Wait until it is done, or has failed."""
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        try:
            self._do()
        except BaseException as error:
            self._failures.append(error)


def _join(threads: list[threading.Thread], failures: list[BaseException]) -> None:
    """Wait for all of ``threads``; who interrupts the wait ends them when they are done with what
    they have begun."""
    try:
        for thread in threads:
            thread.join()
    except BaseException as error:
        failures.insert(0, error)
        for thread in threads:
            thread.join()
