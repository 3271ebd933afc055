# SPDX-License-Identifier: Apache-2.0
"""What commands that write pass over in a directory: it is not recognisably a Keras model, or the
directory around it is kept by a program that counts on its files.

Only what is not named itself is passed over. Commands that check pass over nothing: whoever can
write a ``pyvenv.cfg`` must not be able to hide a model by it.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable
from enum import Enum

from keras_integrity_hook.containers import hdf5, recognition
from keras_integrity_hook.containers.opening import locate
from keras_integrity_hook.errors import IntegrityError, NotAModelError
from keras_integrity_hook.files.reading import open_regular


class Kind(Enum):
    """What was passed over: one of it, several, and why."""

    FILE = "file that is no Keras model", "files that are no Keras models", ""
    ENVIRONMENT = (
        "virtual environment",
        "virtual environments",
        "A virtual environment: its installer counts on its files.",
    )
    PACKAGES = (
        "directory of installed packages",
        "directories of installed packages",
        "Installed packages: their installer counts on their files.",
    )
    VERSIONS = (
        "directory of version control",
        "directories of version control",
        "Version control keeps its own data here.",
    )
    CACHE = "cache", "caches", "A cache: another program fills and empties it."

    @property
    def reason(self) -> str:
        """Why nothing is changed in a directory of this kind, a sentence."""
        return self.value[2]

    def counted(self, number: int) -> str:
        """So many of them, in words."""
        return f"{number:,} {self.value[0 if number == 1 else 1]}"


_BY_NAME = {
    **dict.fromkeys((".git", ".hg", ".svn", ".bzr", "CVS", "_darcs", ".jj"), Kind.VERSIONS),
    **dict.fromkeys(("site-packages", "dist-packages", "node_modules", ".eggs"), Kind.PACKAGES),
    **dict.fromkeys((".tox", ".nox"), Kind.ENVIRONMENT),
    **dict.fromkeys(("__pycache__", ".cache", ".dvc", "__pypackages__"), Kind.CACHE),
    **dict.fromkeys((".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"), Kind.CACHE),
}
_CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55"  # bford.info/cachedir


def directory_kind(path: str) -> Kind | None:
    """Which kind of directory ``path`` is; None where it is searched for models."""
    parent, name = os.path.split(path)
    if name == "Caches" and os.path.basename(parent) == "Library":
        return Kind.CACHE  # macOS keeps them there
    if name in _BY_NAME:
        return _BY_NAME[name]
    if any(os.path.lexists(os.path.join(path, mark)) for mark in ("pyvenv.cfg", "conda-meta")):
        return Kind.ENVIRONMENT
    return Kind.CACHE if _is_tagged(path) else None


def reason_below(top: str, path: str) -> str:
    """Why a command that writes, given the directory ``top``, passes over the file ``path`` in it;
    a sentence, empty where it does not."""
    folder = os.path.dirname(path)
    while len(folder) > len(top.rstrip(os.sep)):
        if kind := directory_kind(folder):
            return kind.reason
        folder = os.path.dirname(folder)
    return "" if os.path.isdir(path) or recognition.recognise(path) else why_not_keras(path)


def why_not_keras(path: str) -> str:
    """Why the file at ``path`` is not recognisably a Keras model, a sentence; empty if it is.

    Empty as well where it cannot be read or is damaged: a command says what is wrong with it.
    """
    from keras_integrity_hook.containers import keras_marks  # for commands that write alone

    try:
        fd = open_regular(path)
    except IntegrityError:
        return ""
    try:
        return keras_marks.why_not_keras(locate(fd, os.fstat(fd).st_size))
    except NotAModelError:
        return _why_not_at_start(fd)
    except (IntegrityError, OSError):
        return ""
    finally:
        os.close(fd)


def summary(kinds: Iterable[Kind]) -> str:
    """How many of each kind, in words; empty where there is none."""
    counts = Counter(kinds)
    return ", ".join(kind.counted(counts[kind]) for kind in Kind if counts[kind])


def _why_not_at_start(fd: int) -> str:
    """HDF5 may begin later in a file, behind what another program has written there."""
    with contextlib.suppress(IntegrityError, OSError):
        hdf5.reserved(fd)
        return "An HDF5 file with a user block of another program."
    return ""


def _is_tagged(path: str) -> bool:
    try:
        fd = open_regular(os.path.join(path, "CACHEDIR.TAG"))
    except (IntegrityError, OSError):
        return False
    try:
        return os.read(fd, len(_CACHE_TAG)) == _CACHE_TAG
    except OSError:
        return False
    finally:
        os.close(fd)
