# SPDX-License-Identifier: Apache-2.0
"""A model where it can be opened: in its place, or in a private copy of what lies in a store.

Each object is read from the store once.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.kinds import SIGNATURE_NAME, Kind, Place
from keras_integrity_hook.errors import (
    ExaminationTimeoutError,
    LimitExceededError,
    UnreadableFileError,
)
from keras_integrity_hook.fleet import passed_over, targets
from keras_integrity_hook.fleet.options import Options
from keras_integrity_hook.fleet.targets import Target
from keras_integrity_hook.limits import LIMITS


@dataclass(frozen=True)
class Here:
    """A model that can be opened.

    Attributes:
        path: where it lies now.
        name: what it is called, and opened by: the path, or the URL of what is a copy here.
        places: the sets that it is; None among them stands for a single file.
        size: bytes that were read from a store for it, or that lie here.
        put_back: puts what was changed of it to where it came from.
    """

    path: str
    name: str
    places: tuple[Place | None, ...]
    size: int = 0
    put_back: Callable[[], None] = lambda: None


@contextlib.contextmanager
def brought(target: Target, options: Options, *, to_change: bool = False) -> Iterator[Here]:
    """``target``, to be opened in this block.

    Args:
        to_change: it is going to be changed, so it has to be recognisably Keras's.

    Raises:
        FileNotFoundError: it is not there any more.
        IntegrityError: it cannot be had, or is not to be changed.
    """
    if not targets.is_remote(target.location):
        yield _in_its_place(target)
    elif target.kind is not None:
        with _copy_of_set(target, target.kind) as here:
            yield here
    else:
        with _copy_of_file(target, options) as here:
            if to_change and (reason := passed_over.why_not_keras(here.path)):
                cause = "it is not recognisably a Keras model, and is left as it is"
                raise UnreadableFileError(cause, path=target.location, remedy=reason)
            yield here


def _in_its_place(target: Target) -> Here:
    path = target.location
    is_directory = os.path.isdir(path)
    places = recognition.sets_in_directory(path) if is_directory else [recognition.recognise(path)]
    return Here(path, path, tuple(places) or (None,), target.size)


@contextlib.contextmanager
def _copy_of_file(target: Target, options: Options) -> Iterator[Here]:
    from keras_integrity_hook.files import local_copies
    from keras_integrity_hook.remote import sources, spool, urls

    url = target.location
    with sources.open_source(url) as source, spool.private_folder() as folder:
        _refuse_without_room(source.size, folder, url)
        path = os.path.join(folder, urls.split(url).name)
        spool.fetch(source, path, watch=_deadline(options.seconds, url))
        size = source.size
        for name in target.beside:
            size += _fetch_beside(urls.beside(url, name), os.path.join(folder, name))
        with local_copies.standing_for(urls.shown(url), path):
            before = _state_of(folder)

            def put_back() -> None:
                source.check_again()
                _put_changed(folder, before, urls.beside(url, ""))

            yield Here(path, urls.shown(url), (None,), size, put_back)


def _fetch_beside(url: str, path: str) -> int:
    """Fetch what vouches for a file; its size, 0 where it is not there any more."""
    from keras_integrity_hook.remote import sources, spool

    try:
        with sources.open_source(url) as source:
            if source.size > LIMITS.envelope + LIMITS.padding:
                cause = f"{source.size} bytes are no seal and no signature"
                raise LimitExceededError(cause, path=url)
            spool.fetch(source, path)
            return source.size
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def _copy_of_set(target: Target, kind: Kind) -> Iterator[Here]:
    from keras_integrity_hook.remote import set_fetching, urls

    url = target.location
    directory = url[: len(url) - len(target.stem)].rstrip("/") if target.stem else url
    there = Place(kind, directory, target.stem)
    with set_fetching.fetched(there, lambda place, names: None, vouchers=True) as place:
        before = _state_of(place.directory)
        size = sum(status[0] for status in before.values())

        def put_back() -> None:
            _put_changed(place.directory, before, urls.below(directory, ""))

        yield Here(place.path, urls.shown(url), (place,), size, put_back)


def _deadline(seconds: float, url: str) -> Callable[[bytes], None]:
    until = time.monotonic() + seconds

    def watch(data: bytes) -> None:
        if time.monotonic() > until:
            cause = f"it was not fetched within {seconds:g} seconds"
            raise ExaminationTimeoutError(cause, path=url)

    return watch


def _refuse_without_room(size: int, folder: str, url: str) -> None:
    """Refuse what the disk has no room for before it is full, for the sake of all others on it."""
    import shutil

    free = shutil.disk_usage(folder).free
    if size > free:
        cause = f"it has {size:,} bytes, and where temporary files go there are {free:,}"
        remedy = "Make room there, or set TMPDIR to a directory that has it."
        raise UnreadableFileError(cause, path=url, remedy=remedy)


def _state_of(folder: str) -> dict[str, tuple[int, int, int]]:
    """Size, time of change and inode of each file below ``folder``, by its relative name."""
    found = {}
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            status = os.stat(path)
            relative = os.path.relpath(path, folder)
            found[relative] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return found


def _put_changed(folder: str, before: dict[str, tuple[int, int, int]], url: str) -> None:
    """Put the files below ``folder`` that are not what they were ``before`` below ``url``."""
    from keras_integrity_hook.remote import upload, urls

    for name, state in sorted(_state_of(folder).items()):
        if before.get(name) != state and name != SIGNATURE_NAME:
            upload.put(os.path.join(folder, name), urls.below(url, name.replace(os.sep, "/")))
