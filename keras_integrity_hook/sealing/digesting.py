# SPDX-License-Identifier: Apache-2.0
"""Threads that digest chunks beside the one thread that has them.

What they fail at, or do not come to, is left out: whoever needs all digests computes the rest.
"""

from __future__ import annotations

import contextlib
import threading
from _queue import Empty, SimpleQueue
from collections.abc import Callable
from typing import Generic, TypeVar

from keras_integrity_hook.files import portable
from keras_integrity_hook.sealing import tree

Job = TypeVar("Job")

_THREADS_AT_MOST = 4  # they digest faster than one thread writes or fetches


class Digesting(Generic[Job]):
    """Some threads, started with the first chunk: most files have none.

    Args:
        prepare: called once in each thread; gives what does a job there.

    Attributes:
        is_over: no more is digested.
        threads: how many there are; none where the system has no more, or no second core.
    """

    def __init__(self, prepare: Callable[[], Callable[[Job], None]]) -> None:
        self.is_over = False
        self._prepare = prepare
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def threads(self) -> int:
        return len(self._threads)

    @property
    def waiting(self) -> int:
        """How many jobs nobody has begun."""
        return self._jobs.qsize()

    def put(self, job: Job) -> None:
        """Let ``job`` be done by one of the threads, if there is one."""
        self._jobs.put(job)
        if self._threads:
            return
        for _ in range(min(portable.cores() - 1, _THREADS_AT_MOST)):
            thread = threading.Thread(target=self._work, daemon=True)
            if tree.starts(thread):
                self._threads.append(thread)

    def help(self) -> None:
        """Do one job in this thread, if one is waiting."""
        with contextlib.suppress(Empty):  # a thread was faster
            job = self._jobs.get_nowait()
            if job is not None:
                self._do(self._prepare(), job)

    def finish(self) -> None:
        """Return when every job is done; this thread does its part."""
        while self.waiting:
            self.help()
        self._end()

    def stop(self) -> None:
        """Digest no more, and wait for the threads; may be called again."""
        self.is_over = True
        self._end()

    def _work(self) -> None:
        do = self._prepare()
        while (job := self._jobs.get()) is not None and not self.is_over:
            self._do(do, job)

    @staticmethod
    def _do(do: Callable[[Job], None], job: Job) -> None:
        with contextlib.suppress(Exception):  # which is met again where the rest is digested
            do(job)

    def _end(self) -> None:
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
