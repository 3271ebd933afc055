# SPDX-License-Identifier: Apache-2.0
"""What uploads leave that were killed: objects under names of ours, which no load looks at.

A save removes those that it meets in its directory, and ``keras-integrity clean`` all below a URL.
Nothing that may belong to an upload which goes on is touched: all objects of one upload go, or
none, and they go when the newest of them is older than a day by the store's own clock. A store that
does not say when it was written to keeps them.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from keras_integrity_hook.errors import LimitExceededError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.remote import sources, upload, urls
from keras_integrity_hook.remote.store import Entry

ABANDONED = 24 * 60 * 60.0
"""Seconds without a new object after which nobody is at an upload any more: none takes as long."""
_PASSING = re.compile(re.escape(upload.PREFIX) + r"(?:upload-)?([0-9a-f]{16})(?:-[0-9]{5})?")
_REMEMBERED = 4096
# Directories are looked into once by a process: a training saves to one again and again.
_looked_into: set[str] = set()


class Leftover(NamedTuple):
    """What one upload left.

    Attributes:
        files: the URLs of its objects.
        since: seconds since the newest of them was written; None where the store does not say.
    """

    files: tuple[str, ...]
    since: float | None

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody can be at it any more."""
        return self.since is not None and self.since > ABANDONED


def below(url: str, *, now: float) -> Iterator[Leftover]:
    """What uploads left in the directory ``url`` and below it.

    Args:
        now: the time; what the store has written since then puts it forward.

    Raises:
        FileNotFoundError: nothing is there.
        LimitExceededError: there is too much; RemoteError: the store cannot be asked.
    """
    return iter(_among(url, sources.walk(url), now))


def sweep(url: str, *, deep: bool) -> None:
    """Remove what killed uploads left in the directory ``url``, to which something was just saved.

    What cannot be removed stays, for the next: the save is done. Never raises.

    Args:
        deep: and in the directories in it.
    """
    name = urls.shown(url)
    if name in _looked_into or len(_looked_into) >= _REMEMBERED:
        return
    _looked_into.add(name)
    with contextlib.suppress(Exception):
        entries = sources.walk(url) if deep else sources.listing(url)
        for found in _among(url, entries, 0.0):
            if found.is_abandoned:
                remove(found)


def remove(leftover: Leftover) -> None:
    """Remove it. Raises RemoteWriteError: that cannot be done."""
    for url in leftover.files:
        upload.remove(url)


def _among(url: str, entries: Iterable[Entry], now: float) -> list[Leftover]:
    by_upload: dict[str, list[Entry]] = {}
    count = 0
    for entry in islice(entries, LIMITS.set_entries + 1):
        count += 1
        now = max(now, entry.modified)
        found = _PASSING.fullmatch(entry.url.rpartition("/")[2])
        if found is not None and not entry.is_directory:
            by_upload.setdefault(found[1], []).append(entry)
    if count > LIMITS.set_entries:
        cause = f"there are over {LIMITS.set_entries} entries"
        raise LimitExceededError(cause, path=urls.shown(url))
    return [_leftover(group, now) for group in by_upload.values()]


def _leftover(group: list[Entry], now: float) -> Leftover:
    times = [entry.modified for entry in group]
    since = now - max(times) if all(times) else None
    return Leftover(tuple(sorted(entry.url for entry in group)), since)
