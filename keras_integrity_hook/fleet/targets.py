# SPDX-License-Identifier: Apache-2.0
"""What an audit is to examine: each model with what was known of it when it was found."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.kinds import KINDS, Kind, Place
from keras_integrity_hook.errors import IntegrityError, LimitExceededError
from keras_integrity_hook.files import location
from keras_integrity_hook.fleet.findings import unicode
from keras_integrity_hook.limits import LIMITS


@dataclass(frozen=True)
class Target:
    """One model.

    Attributes:
        location: its path or URL.
        size: in bytes, as the listing had it; 0 where it had none.
        version: what tells this content from a later one; empty where nobody could tell.
        container: the kind of a set; empty for a single file, and where nobody has looked.
        stem: of a set that is files of one name in the directory of ``location``.
        beside: those names of :func:`kinds.beside` that are there, in a store.
        place: where it lies, see :class:`discovery.Found`; of local models that were found.
        error: why there is nothing to examine, or None.
    """

    location: str
    size: int = 0
    version: str = ""
    container: str = ""
    stem: str = ""
    beside: tuple[str, ...] = ()
    place: str = ""
    error: IntegrityError | None = None

    @property
    def key(self) -> bytes:
        """What it is known by in a run: another content at the same location has another one."""
        facts = (unicode(self.location), str(self.size), self.version)
        return _digest("\0".join(facts))

    @property
    def kind(self) -> Kind | None:
        """The kind of a set in a store."""
        return KINDS.get(self.container)


def is_remote(text: str) -> bool:
    """Whether a location that was named is a URL of another file system."""
    return location.of(text, location.TENSORFLOW).kind is location.Kind.REMOTE


def stored_at(path: str) -> tuple[int, str]:
    """Bytes of the local model at ``path``, and what tells this content from a later one.

    That is sizes and times of change: who can set the clock can hide a change from ``--resume``,
    and from nothing else.
    """
    facts: list[str] = []
    size = 0
    for name, status in _files_of(path):
        size += status.st_size
        facts.append(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}")
    return size, _digest("\0".join(sorted(facts))).hex() if facts else ""


def version_of(entries: Iterable[tuple[str, int, str]]) -> str:
    """What tells a set of files from a later one: of names, sizes and versions."""
    return _digest("\0".join(f"{name}\0{size}\0{v}" for name, size, v in sorted(entries))).hex()


def _files_of(path: str) -> Iterator[tuple[str, os.stat_result]]:
    place = recognition.recognise(path)
    try:
        if place is None:
            yield "", os.stat(path)
        elif place.kind.whole_directory:
            yield from _below(place)
        else:
            with os.scandir(place.directory) as entries:
                yield from ((one.name, one.stat()) for one in entries if place.owns(one.name))
    except (OSError, ValueError):
        return  # whoever examines it says what is wrong


def _below(place: Place) -> Iterator[tuple[str, os.stat_result]]:
    count = 0
    for folder, _, names in os.walk(place.directory):
        for name in names:
            count += 1
            if count > LIMITS.set_entries:
                return
            path = os.path.join(folder, name)
            yield os.path.relpath(path, place.directory), os.stat(path)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def told(error: Exception) -> str:
    """What an error is that nobody here has made: its kind, and what it says of itself."""
    why = ""
    with contextlib.suppress(Exception):  # that is code of a store's package, too
        why = getattr(error, "strerror", None) or str(error)
    return f"{type(error).__name__}: {why}" if why else type(error).__name__


def too_many(top: str) -> LimitExceededError:
    """The error where there is more below ``top`` than anybody searches."""
    cause = (
        f"there are over {LIMITS.tree_entries} entries below it, or directories over "
        f"{LIMITS.tree_depth} deep: what is further on was not examined"
    )
    remedy = "Name what is to be examined below it; a store that lists itself has no end."
    return LimitExceededError(cause, path=top, remedy=remedy)
