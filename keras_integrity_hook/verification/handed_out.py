# SPDX-License-Identifier: Apache-2.0
"""Which paths are those of checked files that were handed to a loader: exactly these, no others.

For the whole process and not for one load: loaders read in threads of their own, and some files are
read long after the load.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from keras_integrity_hook.sealing.content import Content

# Without a lock: each step is atomic, and a finalizer may run in the middle of anything.
_files: dict[str, HandedFile] = {}
_others: dict[str, None] = {}
_OF_CHECKPOINT = re.compile(r"\.index\Z|\.data-\d{5}-of-\d{5}\Z")


class HandedFile(NamedTuple):
    """A checked file of a set: the user's path of it, and its bytes."""

    path: str
    content: Content


def register(files: dict[str, HandedFile], folders: Iterable[str]) -> None:
    """Note what was laid out: ``files`` by their paths, and the directories that hold them."""
    _others.update(dict.fromkeys(folders))
    _others.update(dict.fromkeys(_OF_CHECKPOINT.sub("", path) for path in files))
    _files.update(files)


def forget(top: str) -> None:
    """Forget all that lies at or below ``top``."""
    for paths in (_files, _others):
        for path in list(paths):
            if path == top or path.startswith(top + os.sep):
                paths.pop(path, None)


def forget_file(path: str) -> None:
    """Let the bytes of the file that was laid out as ``path`` be read from there from now on."""
    if _files.pop(path, None) is not None:
        _others[path] = None


def file_at(path: str) -> HandedFile | None:
    """The checked file that was handed out as ``path``, None for any other path."""
    return _files.get(_normal(path))


def is_verified(path: str) -> bool:
    """Whether ``path`` is a file, a directory, or the prefix of a checkpoint that was handed out.

    A path with ``..`` in it never is: where it leads is not for its text to say.
    """
    normal = _normal(path)
    return normal in _others or normal in _files


def _normal(path: str) -> str:
    """``path`` in the one spelling that is noted here, "" where it has none."""
    if "/../" in f"/{path}/":
        return ""
    return os.path.normpath(path)
