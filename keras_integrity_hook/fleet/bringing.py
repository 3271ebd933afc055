# SPDX-License-Identifier: Apache-2.0
"""A model where it can be opened: in its place, or in a private copy of what lies in a store.

Each object is read from the store once.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.kinds import Kind, Place
from keras_integrity_hook.errors import (
    ExaminationTimeoutError,
    LimitExceededError,
    UnreadableFileError,
)
from keras_integrity_hook.files import temporary
from keras_integrity_hook.fleet import targets
from keras_integrity_hook.fleet.options import Options
from keras_integrity_hook.fleet.targets import Target
from keras_integrity_hook.limits import LIMITS

_NAME = "model"
_Watch = Callable[[bytes], None]
_shared: ContextVar[str] = ContextVar("_shared", default="")
on_arrival: ContextVar[Callable[[], None]] = ContextVar("on_arrival", default=lambda: None)
"""Called when a model has arrived from its store."""


@dataclass(frozen=True)
class Here:
    """A model that can be opened.

    Attributes:
        name: what it is called, and opened by: the path, or the URL of what is a copy here.
        places: the sets that it is; None among them stands for a single file.
        size: bytes that were read from a store for it, or that lie here.
    """

    name: str
    places: tuple[Place | None, ...]
    size: int = 0


@contextlib.contextmanager
def brought(target: Target, options: Options) -> Iterator[Here]:
    """``target``, to be opened in this block.

    Raises:
        FileNotFoundError: it is not there any more.
        IntegrityError: it cannot be had.
    """
    if not targets.is_remote(target.location):
        yield _in_its_place(target)
    elif target.kind is not None:
        with _copy_of_set(target, target.kind, options) as here:
            on_arrival.get()()
            yield here
    else:
        with _copy_of_file(target, options) as here:
            on_arrival.get()()
            yield here


def _in_its_place(target: Target) -> Here:
    path = target.location
    is_directory = os.path.isdir(path)
    places = recognition.sets_in_directory(path) if is_directory else [recognition.recognise(path)]
    return Here(path, tuple(places) or (None,), target.size)


@contextlib.contextmanager
def shared_folder() -> Iterator[None]:
    """Let copies of single files that are made in this block, one after the other, lie in one
    private directory."""
    with temporary.private_folder() as folder:
        token = _shared.set(folder)
        try:
            yield
        finally:
            _shared.reset(token)


@contextlib.contextmanager
def _copy_of_file(target: Target, options: Options) -> Iterator[Here]:
    from keras_integrity_hook.files import local_copies
    from keras_integrity_hook.remote import sources, spool, urls

    url = target.location
    with sources.open_source(url) as source, _folder_for(target) as folder:
        _refuse_without_room(source.size, folder, url)
        path = os.path.join(folder, _NAME)  # of its own: an object may have one that no file has
        try:
            watch = _deadline(options.seconds, url)
            spool.fetch(source, path, watch=watch)
            size = source.size + _fetch_beside(target, folder, watch)
            with local_copies.standing_for(urls.shown(url), path):
                yield Here(urls.shown(url), (None,), size)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


@contextlib.contextmanager
def _folder_for(target: Target) -> Iterator[str]:
    """A private directory; its own where files lie beside it, which would count for others."""
    folder = _shared.get()
    if folder and not target.beside:
        yield folder
        return
    with temporary.private_folder() as own:
        yield own


def _fetch_beside(target: Target, folder: str, watch: _Watch) -> int:
    """Fetch what lies beside a file and says something of it; bytes of it all."""
    from keras_integrity_hook.remote import urls

    name = urls.split(target.location).name
    size = 0
    for one in target.beside:
        local = one.replace(name, _NAME, 1) if one.startswith(name) else one
        path = os.path.join(folder, local)
        size += _fetch_small(urls.beside(target.location, one), path, watch)
    return size


def _fetch_small(url: str, path: str, watch: _Watch) -> int:
    """Fetch what vouches for a file; its size, 0 where it is not there any more."""
    from keras_integrity_hook.remote import sources, spool

    found = sources.open_companion(url)
    if found is None:
        return 0
    try:
        with found as source:
            if source.size > LIMITS.envelope + LIMITS.padding:
                cause = f"{source.size} bytes are no seal and no signature"
                raise LimitExceededError(cause, path=url)
            spool.fetch(source, path, watch=watch)
            return source.size
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def _copy_of_set(target: Target, kind: Kind, options: Options) -> Iterator[Here]:
    from keras_integrity_hook.remote import set_fetching, urls

    url = target.location
    directory = url[: len(url) - len(target.stem)].rstrip("/") if target.stem else url
    there = Place(kind, directory, target.stem)
    with set_fetching.fetched(
        there,
        vouchers=True,
        size_seen=lambda size, folder: _refuse_without_room(size, folder, url),
        watch=_deadline(options.seconds, url),
    ) as place:
        yield Here(urls.shown(url), (place,), _size_of(place.directory))


def _deadline(seconds: float, url: str) -> _Watch:
    until = time.monotonic() + seconds

    def watch(data: bytes) -> None:
        if time.monotonic() > until:
            raise late(seconds, url)

    return watch


def late(seconds: float, url: str) -> ExaminationTimeoutError:
    """The error of what was not fetched within ``seconds``."""
    cause = f"it was not fetched within {seconds:g} seconds"
    return ExaminationTimeoutError(cause, path=url)


def _refuse_without_room(size: int, folder: str, url: str) -> None:
    """Refuse what the disk has no room for before it is full, for the sake of all others on it."""
    import shutil

    free = shutil.disk_usage(folder).free
    if size > free:
        cause = f"it has {size:,} bytes, and where temporary files go there are {free:,}"
        remedy = "Make room there, or set TMPDIR to a directory that has it."
        raise UnreadableFileError(cause, path=url, remedy=remedy)


def _size_of(folder: str) -> int:
    return sum(
        os.stat(os.path.join(at, name)).st_size
        for at, _, names in os.walk(folder)
        for name in names
    )
