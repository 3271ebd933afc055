# SPDX-License-Identifier: Apache-2.0
"""Which plug-ins are installed: the entry points of our groups, looked for once in a process.

The first save or load of a process waits for the search, and every ``keras-integrity scan``. So the
directories on the path are read here, where nothing else can have distributions:
``importlib.metadata`` takes ten times as long for it, and to be imported as long again.
"""

from __future__ import annotations

import contextlib
import os
import sys
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
    if _are_all_in_directories():
        folders = (folder for place in sys.path for folder in _metadata_in(place or "."))
        if not any(_has_group_of_ours(folder) for folder in folders):
            return
    from importlib.metadata import distributions

    for found in distributions():
        try:
            if _PREFIX in (found.read_text("entry_points.txt") or ""):
                yield found.name
        except Exception as error:  # it may be anybody's; its own plug-ins are not to be had
            notices.trouble(f"plug-ins: {found!r} cannot be read: {error!r}")


def _are_all_in_directories() -> bool:
    """Whether every distribution lies in a directory on the path: in no archive there, and known to
    no finder of another program."""
    from importlib.machinery import PathFinder

    finders = [one for one in sys.meta_path if hasattr(one, "find_distributions")]
    places = [place for place in sys.path if os.path.exists(place or ".")]
    return finders == [PathFinder] and all(os.path.isdir(place or ".") for place in places)


def _metadata_in(place: str) -> Iterator[str]:
    """The directories in ``place`` that say what a distribution is, ours excepted."""
    with contextlib.suppress(OSError):
        for name in os.listdir(place):
            is_metadata = name.lower().endswith((".dist-info", "egg-info"))
            if is_metadata and not name.lower().startswith((f"{_OURS}-", f"{_OURS}.")):
                yield os.path.join(place, name)


def _has_group_of_ours(folder: str) -> bool:
    """Whether it may have: what cannot be read is for ``importlib.metadata`` to say."""
    try:
        with open(os.path.join(folder, "entry_points.txt"), "rb") as file:
            return _PREFIX.encode() in file.read()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
