# SPDX-License-Identifier: Apache-2.0
"""Private copies of what lies elsewhere, and what they are called.

Keras, h5py and TensorFlow are given the path of a copy. What people are told, what rules are for
and what is remembered is the URL that the copy was fetched from, or will be put at.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple


class _Copy(NamedTuple):
    local: str
    url: str


_copies: ContextVar[tuple[_Copy, ...]] = ContextVar("_copies", default=())


@contextlib.contextmanager
def standing_for(url: str, local: str) -> Iterator[None]:
    """In this block the file or directory ``local`` is called ``url``, with what is below it."""
    token = _copies.set((_Copy(local, url.rstrip("/")), *_copies.get()))
    try:
        yield
    finally:
        _copies.reset(token)


def name_of(path: str) -> str:
    """What the file at ``path`` is called: a URL where it is a copy, else ``path`` itself."""
    for copy in _copies.get():
        if path == copy.local or path.startswith(copy.local + os.sep):
            return copy.url + path[len(copy.local) :].replace(os.sep, "/")
    return path


def is_copy(path: str) -> bool:
    """Whether ``path`` leads to a copy, or into one."""
    return name_of(path) != path


def copy_of(name: str) -> str:
    """Where the bytes of ``name`` lie here: the copy of a URL that has one, else ``name``."""
    for copy in _copies.get():
        if name == copy.url or name.startswith(copy.url + "/"):
            return copy.local + name[len(copy.url) :]
    return name
