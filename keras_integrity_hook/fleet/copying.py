# SPDX-License-Identifier: Apache-2.0
"""A file, or all files below a directory, copied into a local directory, wherever they come from.

Names in a store are anybody's: none of them leads out of the destination. Symbolic links are
refused, as nobody can tell what they lead to by the time they are followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NoReturn

from keras_integrity_hook.errors import LimitExceededError, RemoteError, UnreadableFileError
from keras_integrity_hook.files import location
from keras_integrity_hook.files.location import Kind
from keras_integrity_hook.files.reading import open_regular
from keras_integrity_hook.limits import LIMITS, MIB

_PIECE = 8 * MIB


def copy(source: str, folder: str) -> None:
    """Put the file ``source``, or what is in the directory ``source``, into the empty ``folder``.

    Args:
        source: a path, or a URL of whatever store can be read here.

    Raises:
        UnreadableFileError, RemoteError: it, or something in it, is not there or cannot be read.
        LimitExceededError: there are too many entries, or too many directories in each other.
        OSError: the folder cannot be written.
    """
    found = location.of(source, location.TENSORFLOW)
    if found.kind is Kind.REMOTE:
        _copy_from_store(source, folder)
    elif os.path.isdir(found.path):
        for path in files_below(found.path):
            _copy_local(path, os.path.join(folder, os.path.relpath(path, found.path)))
    else:
        _copy_local(found.path, os.path.join(folder, os.path.basename(found.path)))


def files_below(top: str) -> Iterator[str]:
    """The paths of all files below the local directory ``top``, in a stable order.

    Raises:
        UnreadableFileError: there is a symbolic link, or a directory that cannot be searched.
        LimitExceededError: there are too many entries, or too many directories in each other.
    """
    pending, count = [(top, 0)], 0
    while pending:
        folder, depth = pending.pop()
        entries = _entries(folder)
        count += len(entries)
        if depth > LIMITS.tree_depth or count > LIMITS.tree_entries:
            raise LimitExceededError("there are too many entries, or too deep ones", path=top)
        for entry in entries:
            if entry.is_symlink():
                cause = "is a symbolic link, which may lead anywhere"
                remedy = "Name what it leads to, or put a copy of that in its place."
                raise UnreadableFileError(cause, path=entry.path, remedy=remedy)
            if not entry.is_dir(follow_symlinks=False):
                yield entry.path
        folders = [one.path for one in entries if one.is_dir(follow_symlinks=False)]
        pending += [(path, depth + 1) for path in reversed(folders)]


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        cause = f"the directory cannot be searched ({error.strerror})"
        raise UnreadableFileError(cause, path=folder) from error


def _copy_local(path: str, destination: str) -> None:
    with open(open_regular(path), "rb") as file:
        _write(destination, _pieces(file.fileno(), path))


def _pieces(fd: int, path: str) -> Iterator[bytes]:
    try:
        while data := os.read(fd, _PIECE):
            yield data
    except OSError as error:
        raise UnreadableFileError(f"cannot be read ({error.strerror})", path=path) from error


def _copy_from_store(url: str, folder: str) -> None:
    from keras_integrity_hook.remote import sources, urls

    try:
        if not sources.is_directory(url):
            with sources.open_source(url) as source:
                _write(_below(folder, urls.split(url).name, url), source.stream())
            return
        for entry in sources.walk(url):
            with sources.open_source(entry.url) as source:
                _write(_below(folder, _relative(entry.url, url), url), source.stream())
    except FileNotFoundError:
        raise RemoteError("nothing is there", path=urls.shown(url)) from None


def _relative(url: str, top: str) -> str:
    """The path of ``url`` below the directory ``top``."""
    before = top.rstrip("/") + "/"
    if not url.startswith(before):
        _refuse_name(url, top)
    return url.removeprefix(before)


def _below(folder: str, name: str, url: str) -> str:
    """The local path for what a store calls ``name``, which is below ``folder`` in any case."""
    steps = name.split("/")
    if any(step in ("", ".", "..") or "\0" in step or os.sep in step for step in steps):
        _refuse_name(name, url)
    return os.path.join(folder, *steps)


def _refuse_name(name: str, url: str) -> NoReturn:
    from keras_integrity_hook.remote import urls

    raise RemoteError(
        f"a file there has a name that leads elsewhere: '{name}'", path=urls.shown(url)
    )


def _write(path: str, data: Iterable[bytes]) -> None:
    """A new file with these bytes, on the disk when this returns."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as file:
        for piece in data:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
