# SPDX-License-Identifier: Apache-2.0
"""A model at a path or behind a URL, for functions and commands that look at one or change it.

    with at_hand.to_read(path) as name: ...      # what is behind a URL has a private copy meanwhile
    with at_hand.to_change(path) as name: ...    # and what changed of that is put back in the end

In the block ``name`` is the path or the URL, and whatever opens a model opens it by that. A model
that is at hand already is not fetched again: whoever did that puts it back.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from keras_integrity_hook.containers.kinds import SEAL_SUFFIX
from keras_integrity_hook.errors import RemoteChangedError, UnreadableFileError
from keras_integrity_hook.files import local_copies, location
from keras_integrity_hook.files.location import Kind
from keras_integrity_hook.history.seal_places import identity_at

_NO_MODEL = "Name a model; 'keras-integrity fleet scan URL' looks for models in a directory."


@contextlib.contextmanager
def to_read(path: str | os.PathLike[str]) -> Iterator[str]:
    """The name of the model at ``path``, by which it is opened in this block.

    Raises:
        UnreadableFileError: nothing is behind the URL, or a directory that is no model.
        RemoteError: it cannot be fetched.
    """
    found = location.of(path, location.TENSORFLOW)
    at_hand = _at_hand(found)
    if at_hand is not None:
        yield at_hand
        return
    with _fetched(found.text) as name:
        yield name


@contextlib.contextmanager
def to_change(path: str | os.PathLike[str]) -> Iterator[str]:
    """The same, and what was changed of the model and its seal is put back at the end.

    Raises:
        As :func:`to_read`; RemoteChangedError: somebody else has changed it meanwhile;
        RemoteWriteError: it cannot be put there, and is as it was.
    """
    found = location.of(path, location.TENSORFLOW)
    at_hand = _at_hand(found)
    if at_hand is not None:
        yield at_hand
        return
    with _fetched(found.text) as name:
        pairs = _pairs(found.text, name)
        before = [identity_at(pair.local) for pair in pairs]
        version = _version(pairs[0].url)
        yield name
        changed = [one for one, was in zip(pairs, before, strict=True) if one.is_other_than(was)]
        if changed and _version(pairs[0].url) != version:
            cause = "somebody else has changed it meanwhile, so nothing was put there"
            raise RemoteChangedError(cause, path=name)
        for pair in changed:
            pair.put()


def _at_hand(found: location.Location) -> str | None:
    """The name of what lies here, or has a copy here; None for what has to be fetched."""
    if found.kind is not Kind.REMOTE:
        return found.path or found.text
    from keras_integrity_hook.remote import urls

    name = urls.shown(found.text)
    return name if local_copies.copy_of(name) != name else None


class _Pair(NamedTuple):
    """A file here, and its URL."""

    local: str
    url: str

    def is_other_than(self, was: tuple[int, ...] | None) -> bool:
        """Whether the local file is another one than it was."""
        return identity_at(self.local) != was

    def put(self) -> None:
        """Let what is at the URL be as it is here."""
        from keras_integrity_hook.remote import upload

        if os.path.lexists(self.local):
            upload.put(self.local, self.url)
        else:
            upload.remove(self.url)


def _pairs(url: str, name: str) -> tuple[_Pair, ...]:
    """What may change of the model at ``url``: of a set its seal alone; of a file the seal last."""
    from keras_integrity_hook.containers import recognition
    from keras_integrity_hook.remote import urls

    local = local_copies.copy_of(name)
    place = recognition.recognise(local)
    if place is None:
        beside = urls.beside(url, urls.split(url).name + SEAL_SUFFIX)
        return _Pair(local, url), _Pair(local + SEAL_SUFFIX, beside)
    directory = url if place.kind.whole_directory else urls.beside(url, "").rstrip("/")
    seal = urls.below(directory, place.seal)
    return (_Pair(os.path.join(place.directory, place.seal), seal),)


def _version(url: str) -> str:
    from keras_integrity_hook.remote import sources

    try:
        with sources.open_source(url) as source:
            return f"{source.size} {source.version}"
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def _fetched(url: str) -> Iterator[str]:
    from keras_integrity_hook.loading import fetching
    from keras_integrity_hook.remote import folders, set_fetching, urls

    name = urls.shown(url)
    with contextlib.ExitStack() as stack:
        try:
            place = folders.place_of(url)
            if place is None:
                stack.enter_context(fetching.copy_of(url, is_load=False))
            else:
                stack.enter_context(set_fetching.fetched(place, vouchers=True))
        except FileNotFoundError as error:
            raise UnreadableFileError("no such file", path=name) from error
        except IsADirectoryError as error:
            cause = "is a directory and no model"
            raise UnreadableFileError(cause, path=name, remedy=_NO_MODEL) from error
        yield name
