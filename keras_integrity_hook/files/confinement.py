# SPDX-License-Identifier: Apache-2.0
"""A command over a directory changes what lies in that directory, and nothing else.

A model is found, and opened a moment later by its path. Whoever may write the directory can put a
link there in between, or in the place of a directory above it, and let root change, sign or unseal
a model of root's own (CWE-367). So what was opened is asked where it lies.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar

from keras_integrity_hook.errors import UnreadableFileError
from keras_integrity_hook.files.portable import system

_found_at: ContextVar[str] = ContextVar("_found_at", default="")


@contextlib.contextmanager
def confined_to(place: str) -> Iterator[None]:
    """Let :func:`refuse_elsewhere` refuse what does not lie at ``place`` for the time being.

    Args:
        place: an absolute path without links; empty for a model that may lie anywhere.
    """
    token = _found_at.set(place)
    try:
        yield
    finally:
        _found_at.reset(token)


def refuse_elsewhere(fd: int, path: str, *, is_around: bool = False) -> None:
    """Refuse an open file or directory that is not the one that was found.

    Args:
        fd: its descriptor.
        path: the model, for messages.
        is_around: it is the directory around what was found.

    Raises:
        UnreadableFileError: it lies elsewhere, or was replaced since it was opened.
    """
    place = _found_at.get()
    if not place:
        return
    expected = os.path.dirname(place) if is_around else place
    try:
        is_there = os.readlink(f"/proc/self/fd/{fd}") == expected
    except OSError:  # no /proc: the last component at least is no link
        is_there = os.path.samestat(system.lstat(expected), system.fstat(fd))
    if not is_there:
        raise UnreadableFileError(
            "another file, or a link, was put in its place since it was found",
            path=path,
            remedy="Find out who may write the directory, and name the model itself.",
        )
