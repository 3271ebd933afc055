# SPDX-License-Identifier: Apache-2.0
"""From the paths a person names to the model files that are meant."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.kinds import KERAS_BACKUP
from keras_integrity_hook.containers.recognition import recognise
from keras_integrity_hook.errors import IntegrityError, NotAModelError, UnreadableFileError
from keras_integrity_hook.files.atomic import is_ours

SUFFIXES = (".keras", ".h5", ".hdf5")
_INDEX = ".index"


def model_files(paths: Iterable[str]) -> Iterator[str | IntegrityError]:
    """The models to work on, in a stable order; a named file is taken whatever its suffix.

    A set (a model directory, an index of shards, a checkpoint's prefix) is one model; its files are
    none of their own. Any other directory is searched recursively without following linked ones.
    What cannot be searched, and a directory without any model, comes out as an error in its place:
    a check that looked at nothing must not pass.
    """
    for path in paths:
        if os.path.isdir(path) and recognise(path) is None:
            yield from _tree(path)
        else:
            yield path


def _tree(top: str) -> Iterator[str | IntegrityError]:
    failures: list[OSError] = []
    found = False
    for folder, subfolders, names in os.walk(top, onerror=failures.append):
        # What a save that is going on, or was killed, has there for a moment.
        subfolders[:] = [name for name in subfolders if not is_ours(os.path.join(folder, name))]
        for model in _models_in(folder, subfolders, names):
            found = True
            yield model
        while failures:
            yield _unsearchable(failures.pop(), top)
            found = True
    for failure in failures:
        yield _unsearchable(failure, top)
    if not found and not failures:
        yield NotAModelError(f"no {', '.join(SUFFIXES)} file in this directory", path=top)


def _models_in(folder: str, subfolders: list[str], names: list[str]) -> Iterator[str]:
    """Models in one directory; takes those that are directories out of ``subfolders``."""
    paths = {name: os.path.join(folder, name) for name in subfolders + names}
    sets = [name for name in subfolders if not os.path.islink(paths[name])]
    sets = [name for name in sets if recognise(paths[name]) is not None]
    subfolders[:] = sorted(set(subfolders) - set(sets))
    indexes = [name for name in names if recognise(paths[name]) is not None]
    prefixes = [name.removesuffix(_INDEX) for name in names if name.endswith(_INDEX)]
    prefixes = [name for name in prefixes if recognise(os.path.join(folder, name)) is not None]
    taken = {member for name in indexes for member in _members(paths[name])}
    files = [n for n in names if n.lower().endswith(SUFFIXES) and n not in taken]
    for name in sorted([*sets, *indexes, *prefixes, *files]):
        yield os.path.join(folder, name)


def _members(path: str) -> list[str]:
    """The files of the set at ``path``; none where that cannot be told, so that all are looked at.

    A ``latest.weights.h5`` beside its training metadata is a model of its own, too.
    """
    place = recognise(path)
    if place is None or place.kind is KERAS_BACKUP:
        return []
    try:
        with file_set.open_directory(place) as found:
            file_set.open_present(found)
            return [part.name for part in found.parts]
    except IntegrityError:
        return []


def _unsearchable(failure: OSError, top: str) -> UnreadableFileError:
    cause = f"the directory cannot be searched ({failure.strerror})"
    return UnreadableFileError(cause, path=str(failure.filename or top))
