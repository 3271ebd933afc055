# SPDX-License-Identifier: Apache-2.0
"""A set of files goes to a URL, and is there as a whole or not at all.

No store exchanges directories in one step. But what its loader asks for first (``saved_model.pb``,
the index) says that a set is there, so that goes up last. Where an older model lies, all of the new
one is uploaded under names of ours first; then the older one's first file goes, and the others take
their places. Whoever is stopped

- during the upload leaves the older model as it was,
- after that leaves no model there that any loader takes for one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable

from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.errors import RemoteWriteError
from keras_integrity_hook.remote import (
    at_once,
    failures,
    leftovers,
    set_names,
    stores,
    upload,
    urls,
)


def put(local: str, place: Place, names: Iterable[str]) -> None:
    """Upload the files ``names``, below the directory ``local``, as the set at ``place``.

    What a loader would read of an older model there, and the new one has not, is removed; what is
    of no model stays.

    Args:
        place: its directory is a URL.
        names: all files of the set, relative to either directory, and its seal.

    Raises:
        RemoteWriteError: it could not be done; the older model is there still, or the message says
            that it is not.
        DamagedFileError, LimitExceededError, RemoteError: see :func:`set_names.present`.
    """
    one = _Put(local, place, set(names))
    if set_names.heads_of(place, one.before):
        one.exchange()
    else:
        one.put_new()
    leftovers.sweep(place.directory, deep=place.kind.whole_directory)


class _Put:
    """One upload.

    Attributes:
        before: the names of what is there of an older model.
        last: the names that go up when all the others are there, in this order.
        rest: those others.
    """

    def __init__(self, local: str, place: Place, names: set[str]) -> None:
        self._local = local
        self._place = place
        self._store = stores.store_of(place.directory)
        self._token = os.urandom(8).hex()
        self.before = set(set_names.present(place))
        heads = set_names.heads_of(place, names)
        self.last = [*({place.seal} & names - set(heads)), *reversed(heads)]
        self.rest = names - set(self.last)
        self._numbers = {name: number for number, name in enumerate(sorted(names))}

    def put_new(self) -> None:
        """Where no model is, or one that lost its first file: no loader takes it for one until
        the last file is up."""
        self._remove(self.before)
        self._make_directories()
        try:
            self._in_order(lambda name: upload.put(self._file(name), self._url(name)))
        except BaseException:
            with contextlib.suppress(Exception):
                self._remove(reversed([*sorted(self.rest), *self.last]))
            raise

    def exchange(self) -> None:
        """Where a model is: the new one is uploaded whole before the older one goes."""
        self._make_directories()
        everything = {*self.rest, *self.last}
        try:
            at_once.each(everything, self._stage)
        except BaseException:
            with contextlib.suppress(Exception):
                at_once.each(everything, self._unstage)
            raise
        try:
            heads = set_names.heads_of(self._place, self.before)
            self._remove(heads)
            self._remove(self.before - everything - set(heads))
            self._in_order(self._move)
        except Exception as error:
            raise self._half_way(error) from error

    def _in_order(self, do: Callable[[str], None]) -> None:
        at_once.each(self.rest, do)
        for name in self.last:
            do(name)

    def _stage(self, name: str) -> None:
        with failures.speaking_of(self._url(name), writing=True):
            self._store.put(self._file(name), self._staged(name))

    def _unstage(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._store.remove(self._staged(name))

    def _move(self, name: str) -> None:
        with failures.speaking_of(self._url(name), writing=True):
            self._store.move(self._staged(name), self._url(name))

    def _remove(self, names: Iterable[str]) -> None:
        """One after the other, so that what a loader asks for first is gone before the rest."""
        for name in names:
            with contextlib.suppress(FileNotFoundError), failures.speaking_of(self._url(name)):
                self._store.remove(self._url(name))

    def _make_directories(self) -> None:
        folders = {urls.beside(self._url(name), "") for name in (*self.rest, *self.last)}
        for folder in sorted(folders):
            with failures.speaking_of(folder, writing=True):
                self._store.make_directory(folder.rstrip("/"))

    def _file(self, name: str) -> str:
        return os.path.join(self._local, name)

    def _url(self, name: str) -> str:
        return urls.below(self._place.directory, name)

    def _staged(self, name: str) -> str:
        # Numbers of one length: TensorFlow's ram:// takes what another name begins with for a
        # directory, and writes nothing there.
        passing = f"{set_names.STAGED}{self._token}-{self._numbers[name]:05}"
        return urls.beside(self._url(name), passing)

    def _half_way(self, error: Exception) -> RemoteWriteError:
        staged = f"{set_names.STAGED}{self._token}-"
        cause = (
            "the older model was removed, and the new one could not take its place "
            f"({type(error).__name__}: {error})"
        )
        remedy = f"Save it again; objects whose names begin with '{staged}' can be removed."
        return RemoteWriteError(cause, path=urls.shown(self._place.path), remedy=remedy)
