# SPDX-License-Identifier: Apache-2.0
"""From the paths a person names to the model files that are meant."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from keras_integrity_hook.errors import IntegrityError, NotAModelError, UnreadableFileError

SUFFIXES = (".keras", ".h5", ".hdf5")


def model_files(paths: Iterable[str]) -> Iterator[str | IntegrityError]:
    """The files to work on, in a stable order; a named file is taken whatever its suffix.

    A directory is searched recursively without following linked directories. What cannot be
    searched, and a directory without any model file, comes out as an error in its place: a
    check that looked at nothing must not pass.
    """
    for path in paths:
        if os.path.isdir(path):
            yield from _tree(path)
        else:
            yield path


def _tree(top: str) -> Iterator[str | IntegrityError]:
    failures: list[OSError] = []
    found = False
    for folder, subfolders, names in os.walk(top, onerror=failures.append):
        subfolders.sort()
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES):
                found = True
                yield os.path.join(folder, name)
        while failures:
            yield _unsearchable(failures.pop(), top)
            found = True
    for failure in failures:
        yield _unsearchable(failure, top)
    if not found and not failures:
        yield NotAModelError(f"no {', '.join(SUFFIXES)} file in this directory", path=top)


def _unsearchable(failure: OSError, top: str) -> UnreadableFileError:
    cause = f"the directory cannot be searched ({failure.strerror})"
    return UnreadableFileError(cause, path=str(failure.filename or top))
