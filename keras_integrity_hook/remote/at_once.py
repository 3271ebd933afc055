# SPDX-License-Identifier: Apache-2.0
"""Objects of a set are fetched and put several at once: a store answers each after a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable

_AT_ONCE = 8


def each(names: Iterable[str], do: Callable[[str], None]) -> None:
    """Call ``do`` with each of ``names``, in threads of their own where there are several.

    Raises:
        What ``do`` raised first; none of them is at work any more by then.
    """
    todo = list(names)
    if len(todo) < 2:
        for name in todo:
            do(name)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(_AT_ONCE, len(todo))) as pool:
        jobs = [pool.submit(do, name) for name in todo]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
