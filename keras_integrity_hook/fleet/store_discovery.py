# SPDX-License-Identifier: Apache-2.0
"""The models in a store: what :mod:`fleet.discovery` does on a disk, by listings alone.

Of an object nothing is read, but for the metadata by which a KerasHub preset is told. Several
directories are listed at once, since each answer takes a moment, and held are only those: memory
grows with the largest directory, not with their number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from keras_integrity_hook.containers import kinds, recognition
from keras_integrity_hook.containers.formats import SUFFIXES
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.errors import (
    DamagedFileError,
    IntegrityError,
    NotAModelError,
    UnreadableFileError,
)
from keras_integrity_hook.fleet import targets
from keras_integrity_hook.fleet.targets import Target
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.remote import sources, urls
from keras_integrity_hook.remote.folders import StoreFolder
from keras_integrity_hook.remote.sources import Entry

_LISTED_AT_ONCE = 16
_PASSING = ".keras-integrity-"  # how the names of uploads begin that are not finished


class _Step(NamedTuple):
    """A directory to look into, and the sets that it lies in."""

    url: str
    depth: int
    sets: tuple[Place, ...]


class _Listed(NamedTuple):
    """What one directory holds."""

    files: dict[str, Entry]
    folders: list[str]
    odd: list[str]
    places: list[Place]


def models_below(url: str) -> Iterator[Target]:
    """The model at ``url``, or those at and below the directory there."""
    try:
        if not sources.is_directory(url):
            yield _single(url)
            return
        found_one = False
        for found in _walk(url.rstrip("/")):
            found_one = True
            yield found
        if not found_one:
            cause = f"no {', '.join(SUFFIXES)} file and no other model below it"
            yield Target(url, error=NotAModelError(cause, path=url))
    except Exception as error:
        yield Target(url, error=_unsearchable(error, url))


def _single(url: str) -> Target:
    try:
        with sources.open_source(url) as source:
            names = kinds.beside(urls.split(url).name)
            beside = tuple(one for one in names if sources.open_companion(urls.beside(url, one)))
            return Target(url, source.size, source.version, beside=beside)
    except FileNotFoundError:
        stem = _stem_at(url)
        if stem is not None:
            return stem
        return Target(url, error=UnreadableFileError("nothing is there", path=urls.shown(url)))


def _stem_at(url: str) -> Target | None:
    """The checkpoint whose prefix is ``url``, which is the name of no object."""
    name = urls.split(url).name
    folder = url[: len(url) - len(name)].rstrip("/")
    try:
        listed = _listed(_Step(folder, 0, ()))
    except (IntegrityError, OSError):
        return None
    stems = recognition.stems_among(folder, list(listed.files))
    return next((_set(place, listed) for place in stems if place.stem == name), None)


def _walk(top: str) -> Iterator[Target]:
    pending, ahead = [_Step(top, 0, ())], deque[tuple[_Step, Future[_Listed]]]()
    entries = 0
    with ThreadPoolExecutor(_LISTED_AT_ONCE) as pool:
        while pending or ahead:
            while pending and len(ahead) < _LISTED_AT_ONCE:
                step = pending.pop()
                ahead.append((step, pool.submit(_listed, step)))
            step, answer = ahead.popleft()
            try:
                listed = answer.result()
            except FileNotFoundError:
                continue  # it vanished
            except Exception as error:  # whatever its package raises, others are searched
                yield Target(step.url, error=_unsearchable(error, step.url))
                continue
            entries += len(listed.files) + len(listed.folders) + len(listed.odd)
            if entries > LIMITS.tree_entries:
                yield Target(top, error=targets.too_many(top))
                return
            yield from _in_folder(step, listed)
            if listed.folders and step.depth >= LIMITS.tree_depth:
                yield Target(step.url, error=targets.too_many(step.url))
                continue
            sets = (*step.sets, *listed.places)
            pending += [
                _Step(urls.below(step.url, name), step.depth + 1, sets)
                for name in reversed(listed.folders)
            ]


def _listed(step: _Step) -> _Listed:
    """One listing, and what it says that the directory is; in a thread of its own."""
    files, folders, odd = {}, [], []
    for count, entry in enumerate(sources.listing(step.url)):
        if count > LIMITS.tree_entries:
            raise targets.too_many(step.url)
        name = entry.url[len(step.url) + 1 :]
        if _is_odd(name):
            odd.append(name)
        elif entry.is_directory:
            folders.append(name)
        elif not name.startswith(_PASSING):
            files[name] = entry
    folder = StoreFolder(step.url, files, folders)
    places = [Place(kind, step.url, "") for kind in recognition.kinds_of(folder)]
    return _Listed(files, sorted(folders), odd, places)


def _is_odd(name: str) -> bool:
    """Whether a name leads elsewhere, or is longer than any that a model has."""
    steps = name.split("/")
    is_elsewhere = len(steps) > 1 or name in ("", ".", "..") or "\0" in name
    return is_elsewhere or len(name) > LIMITS.set_name


def _in_folder(step: _Step, listed: _Listed) -> Iterator[Target]:
    names = sorted(listed.files)
    for name in listed.odd:
        shown = urls.below(step.url, name[: LIMITS.audit_text])
        cause = "the store has an object with an odd name, which nobody can load"
        yield Target(shown, error=DamagedFileError(cause, path=shown))
    for place in listed.places:
        if not _is_within(step.sets, step.url):
            yield _set(place, listed)
    sets = (*step.sets, *listed.places)
    stems = list(recognition.stems_among(step.url, names))
    for place in stems:
        if not _belongs(sets, urls.below(step.url, place.head or place.stem)):
            yield _set(place, listed)
    for name in names:
        url = urls.below(step.url, name)
        if name.lower().endswith(SUFFIXES) and not (
            _belongs(sets, url) or any(place.owns(name) for place in stems)
        ):
            entry = listed.files[name]
            beside = tuple(one for one in kinds.beside(name) if one in listed.files)
            yield Target(url, entry.size, entry.version, beside=beside)


def _belongs(sets: Iterable[Place], url: str) -> bool:
    """Whether the file ``url`` is one that the loader of a set around it would read: it is
    examined with that."""
    return any(place.kind.is_read(url[len(place.directory) + 1 :]) for place in sets)


def _is_within(sets: Iterable[Place], url: str) -> bool:
    """Whether the directory ``url`` is part of a set around it, with all that is in it."""
    return _belongs(sets, f"{url}/x")


def _set(place: Place, listed: _Listed) -> Target:
    """The set at ``place``; its size and version are of what lies in its directory itself."""
    stem = place.stem
    own = [name for name in listed.files if not stem or place.owns(name)]
    facts = [(name, listed.files[name].size, listed.files[name].version) for name in own]
    facts.append(("", 0, place.kind.container))  # a directory can be two models
    url = urls.below(place.directory, stem) if stem else place.directory
    size, version = sum(size for _, size, _ in facts), targets.version_of(facts)
    return Target(url, size, version, container=place.kind.container, stem=stem)


def _unsearchable(error: Exception, url: str) -> IntegrityError:
    """Why nobody knows what lies at ``url``."""
    if isinstance(error, IntegrityError):
        return error
    cause = f"it cannot be searched ({urls.without_secrets(targets.told(error))})"
    return UnreadableFileError(cause, path=urls.shown(url))
