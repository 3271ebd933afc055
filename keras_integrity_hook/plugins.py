# SPDX-License-Identifier: Apache-2.0
"""Which plug-ins are installed: the entry points of our groups, looked for once in a process.

The first save or load of a process waits for the search. So it is the standard library's module,
which Keras has imported; and not its ``entry_points()``, which parses those of all groups and takes
twice as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from keras_integrity_hook import notices

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
else:  # for those who look annotations up at run time
    EntryPoint = object

_OURS = "keras_integrity_hook"
_PREFIX = f"{_OURS}."
# Names of the distributions that have a group of ours. No lock: another thread may search too.
_found: tuple[str, ...] | None = None


def named(group: str) -> Iterator[EntryPoint]:
    """The entry points of ``group`` in other distributions, of the first one of each name.

    Raises:
        Exception: a distribution that has such a group cannot be read.
    """
    global _found  # noqa: PLW0603
    if _found is None:
        _found = tuple(dict.fromkeys(_search()))
    if not _found:
        return
    from importlib.metadata import distribution

    for name in _found:
        for point in distribution(name).entry_points.select(group=group):
            if point.value.partition(".")[0] != _OURS:  # ours work without metadata, too
                yield point


def _search() -> Iterator[str]:
    """Names of the distributions with a group of ours, in the order of the import path."""
    from importlib.metadata import distributions

    for found in distributions():
        try:
            if _PREFIX in (found.read_text("entry_points.txt") or ""):
                yield found.name
        except Exception as error:  # it may be anybody's; its own plug-ins are not to be had
            notices.trouble(f"plug-ins: {found!r} cannot be read: {error!r}")
