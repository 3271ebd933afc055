# SPDX-License-Identifier: Apache-2.0
"""From files that were changed to the models that they belong to: what a commit has to check."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator

from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.formats import SUFFIXES
from keras_integrity_hook.containers.kinds import SEAL_SUFFIX, SIGNATURE_NAME, VOUCHERS, Place
from keras_integrity_hook.fleet.discovery import members_of

_BESIDE = (SEAL_SUFFIX, *VOUCHERS)
Find = Callable[[str], list[Place]]
"""Which sets a directory is, and which are in it; remembered, as many files lie in one."""


def models_of(paths: Iterable[str]) -> list[str]:
    """The models, sorted, that the files at ``paths`` are or belong to.

    A file of a set stands for the whole set, and so does a file that was added where the set's
    loader would read it. What vouches for a model beside it stands for that model.

    Args:
        paths: relative ones are taken from the working directory, above which nothing is looked
            at.
    """
    find: Find = functools.cache(_sets_in)
    return sorted({model for path in paths for model in _models_of(path, find)})


def _models_of(path: str, find: Find) -> Iterator[str]:
    found = [place for place in _sets_around(path, find) if _belongs(path, place)]
    is_part = any(place.kind.whole_directory for place in found)
    if found:
        # The checkpoint in a SavedModel is a part of it, unless it has a seal of its own.
        yield from (
            place.path
            for place in found
            if place.kind.whole_directory or not is_part or os.path.lexists(_seal_of(place))
        )
    elif path.lower().endswith(SUFFIXES):
        yield path
    elif os.path.basename(path) == SIGNATURE_NAME:
        yield from _single_files_beside(path)
    else:
        plain = [path.removesuffix(end) for end in _BESIDE if path.endswith(end)]
        yield from (one for one in plain if os.path.isfile(one) or recognition.recognise(one))


def _single_files_beside(path: str) -> list[str]:
    """The models of one file in the directory of ``path``."""
    folder = os.path.dirname(path)
    names = os.listdir(folder or os.curdir) if os.path.isdir(folder or os.curdir) else []
    return [os.path.join(folder, name) for name in names if name.lower().endswith(SUFFIXES)]


def _sets_around(path: str, find: Find) -> Iterator[Place]:
    """The sets in the file's directory, and those that a directory above it is."""
    folder = os.path.dirname(path)
    yield from find(folder)
    while folder not in ("", os.sep):
        folder = os.path.dirname(folder)
        yield from (place for place in find(folder) if place.kind.whole_directory)


def _sets_in(folder: str) -> list[Place]:
    at = folder or os.curdir
    try:
        names = sorted(os.listdir(at))
    except OSError:
        return []
    return [*recognition.sets_in_directory(at), *recognition.stems_among(at, names)]


def _seal_of(place: Place) -> str:
    return os.path.join(place.directory, place.seal)


def _belongs(path: str, place: Place) -> bool:
    name = os.path.relpath(path, place.directory)
    if name == place.seal:
        return True
    if place.kind.whole_directory and (name == SIGNATURE_NAME or place.kind.is_read(name)):
        return True
    members = {os.path.normpath(member) for member in members_of(place)}
    return os.path.normpath(path) in members
