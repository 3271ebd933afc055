# SPDX-License-Identifier: Apache-2.0
"""A set of files goes to a URL, and is there as a whole or not at all.

No store exchanges directories in one step. But what its loader asks for first (``saved_model.pb``,
the index) says that a set is there, so that goes up last. Where an older model lies, all of the new
one is uploaded under names of ours first; then the older one's first file goes, and the others take
their places. Whoever is stopped

- during the upload leaves the older model as it was,
- after that leaves no model there that any loader takes for one.

What is neither its seal nor one of those first files may go up while the seal is being made.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

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


class Upload:
    """The upload of a set that lies in a local directory; some of it may go ahead of the rest.

    What a loader would read of an older model there, and the new one has not, is removed; what is
    of no model stays. All names are relative to either directory.

    Args:
        local: the directory here.
        place: where the set is to be; its directory is a URL.
    """

    def __init__(self, local: str, place: Place) -> None:
        """Ask what is at ``place``, and upload nothing yet.

        Raises:
            DamagedFileError, LimitExceededError, RemoteError: see :func:`set_names.present`.
        """
        self._local = local
        self._place = place
        self._store = stores.store_of(place.directory)
        self._token = os.urandom(8).hex()
        self._before = set(set_names.present(place))
        self._is_exchange = bool(set_names.heads_of(place, self._before))
        self._numbers: dict[str, int] = {}
        self._tried: list[str] = []
        self._up: set[str] = set()
        self._ahead: at_once.InBackground | None = None
        self._is_over = False

    def go_ahead(self, names: Iterable[str]) -> None:
        """Start to upload those of ``names`` that make no model for any loader, in the background.

        Their bytes are final. Where there are remains of an older model nothing goes ahead: those
        would have to be removed first, and the new one may still come to nothing.
        """
        if self._before and not self._is_exchange:
            return
        rest, _ = self._in_order(set(names))
        self._count(rest)
        self._ahead = at_once.InBackground(lambda: self._put_up(rest))

    def finish(self, names: Iterable[str]) -> None:
        """Upload what of ``names``, all files of the set and its seal, has not gone ahead.

        Raises:
            RemoteWriteError: it could not be done; the older model is there still, or the message
                says that it is not.
        """
        rest, last = self._in_order(set(names))
        self._count([*rest, *last])
        try:
            if self._ahead is not None:
                self._ahead.finish()
            if self._is_exchange:
                self._exchange(rest, last)
            else:
                self._put_new(rest, last)
        except BaseException:
            self.abandon()
            raise
        self._is_over = True
        leftovers.sweep(self._place.directory, deep=self._place.kind.whole_directory)

    def abandon(self) -> None:
        """Take back what went up of a set that is not finished; calling it again does nothing."""
        is_over, self._is_over = self._is_over, True
        if self._ahead is not None:
            self._ahead.wait()
        if is_over:
            return
        with contextlib.suppress(Exception):
            if self._is_exchange:
                at_once.each(self._tried, self._unstage)
            else:
                self._remove(reversed(self._tried))

    def _put_new(self, rest: list[str], last: list[str]) -> None:
        """Where no model is, or one that lost its first file: no loader takes it for one until
        the last file is up."""
        self._remove(self._before)
        self._make_directories([*rest, *last])
        self._put_up(rest)
        for name in last:
            self._put_one(name)

    def _exchange(self, rest: list[str], last: list[str]) -> None:
        """Where a model is: the new one is uploaded whole before the older one goes."""
        everything = [*rest, *last]
        self._put_up(everything)
        self._is_over = True  # from here on it is not taken back
        try:
            heads = set_names.heads_of(self._place, self._before)
            self._remove(heads)
            self._remove(self._before - set(everything) - set(heads))
            at_once.each(rest, self._move)
            for name in last:
                self._move(name)
        except Exception as error:
            raise self._half_way(error) from error

    def _in_order(self, names: set[str]) -> tuple[list[str], list[str]]:
        """The names that go up first, and those that do when all the others are there."""
        heads = set_names.heads_of(self._place, names)
        last = [*({self._place.seal} & names - set(heads)), *reversed(heads)]
        return sorted(names - set(last)), last

    def _count(self, names: Iterable[str]) -> None:
        for name in names:
            self._numbers.setdefault(name, len(self._numbers))

    def _put_up(self, names: list[str]) -> None:
        """Upload what of ``names`` is not up: under its own name, or a passing one."""
        self._make_directories(names)
        at_once.each([name for name in names if name not in self._up], self._put_one)

    def _put_one(self, name: str) -> None:
        if self._is_over:
            return  # abandoned meanwhile
        self._tried.append(name)
        if self._is_exchange:
            self._stage(name)
        else:
            upload.put(self._file(name), self._url(name))
        self._up.add(name)

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

    def _make_directories(self, names: Iterable[str]) -> None:
        folders = {urls.beside(self._url(name), "") for name in names}
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
