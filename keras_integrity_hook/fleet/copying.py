# SPDX-License-Identifier: Apache-2.0
"""A file, or all files below a directory, copied into a local directory, wherever they come from.

Names in a store are anybody's: none of them leads out of the destination. Symbolic links are
refused, as nobody can tell what they lead to by the time they are followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NoReturn

from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.kinds import VOUCHERS, beside
from keras_integrity_hook.errors import LimitExceededError, RemoteError, UnreadableFileError
from keras_integrity_hook.files import entry_names, location
from keras_integrity_hook.files.location import Kind
from keras_integrity_hook.files.reading import open_regular
from keras_integrity_hook.limits import LIMITS, MIB

_PIECE = 8 * MIB


def copy(source: str, folder: str) -> tuple[str, str]:
    """Put the model ``source``, or what is in the directory ``source``, into the empty ``folder``.

    What vouches for it and lies beside it comes along: beside the file, or beside the folder.

    Args:
        source: a path, or a URL of whatever store can be read here.

    Returns:
        What the source is called, and where the copy of it is.

    Raises:
        UnreadableFileError, RemoteError: it, or something in it, is not there or cannot be read.
        LimitExceededError: there are too many entries, or too many directories in each other.
        OSError: the folder cannot be written.
    """
    found = location.of(source, location.TENSORFLOW)
    if found.kind is Kind.REMOTE:
        return _copy_from_store(source, folder)
    path = found.path.rstrip(os.sep) or os.sep
    if os.path.isdir(path):
        for one in files_below(path):
            _copy_local(one, os.path.join(folder, os.path.relpath(one, path)))
        for end in VOUCHERS:
            _copy_if_there(path + end, folder + end)
        return path, folder
    above, name = os.path.split(path)
    place = recognition.recognise(path)
    if place is None:
        _copy_local(path, os.path.join(folder, name))
    else:
        for one in filter(place.owns, os.listdir(place.directory)):
            _copy_local(os.path.join(above, one), os.path.join(folder, one))
    for one in beside(name):
        _copy_if_there(os.path.join(above, one), os.path.join(folder, one))
    return path, os.path.join(folder, name)


def _copy_if_there(path: str, destination: str) -> None:
    if os.path.lexists(path) and not os.path.lexists(destination):
        _copy_local(path, destination)


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


def _copy_from_store(url: str, folder: str) -> tuple[str, str]:
    from keras_integrity_hook.remote import folders, set_names, sources, urls

    try:
        if sources.is_directory(url):
            for entry in sources.walk(url):
                _fetch(entry.url, _below(folder, _relative(entry.url, url), url))
            for end in VOUCHERS:
                _fetch_if_there(url.rstrip("/") + end, folder + end)
            return urls.shown(url), folder
        name = urls.split(url).name
        copied = _below(folder, name, url)
        place = folders.place_of(url)
        if place is None:
            _fetch(url, copied)
        else:
            for one, entry in set_names.present(place).items():
                _fetch(entry.url, _below(folder, one, url))
    except FileNotFoundError:
        raise RemoteError("nothing is there", path=urls.shown(url)) from None
    for other in beside(name):
        _fetch_if_there(urls.beside(url, other), os.path.join(folder, other))
    return urls.shown(url), copied


def _fetch_if_there(url: str, path: str) -> None:
    from keras_integrity_hook.remote import sources

    if os.path.lexists(path):  # it came with a set
        return
    companion = sources.open_companion(url)
    if companion is not None:
        with companion:
            _write(path, companion.stream())


def _fetch(url: str, path: str) -> None:
    from keras_integrity_hook.remote import sources

    with sources.open_source(url) as source:
        _write(path, source.stream())


def _relative(url: str, top: str) -> str:
    """The path of ``url`` below the directory ``top``."""
    before = top.rstrip("/") + "/"
    if not url.startswith(before):
        _refuse_name(url, top)
    return url.removeprefix(before)


def _below(folder: str, name: str, url: str) -> str:
    """The local path for what a store calls ``name``, which is below ``folder`` in any case."""
    if not entry_names.is_below(name):
        _refuse_name(name, url)
    return os.path.join(folder, *name.split("/"))


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
