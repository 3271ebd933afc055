# SPDX-License-Identifier: Apache-2.0
"""A single file for a URL: written and sealed in a private place here, and put there when it is
whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager

from keras_integrity_hook.containers.kinds import SEAL_SUFFIX
from keras_integrity_hook.files import atomic, freeing, local_copies, temporary
from keras_integrity_hook.files.atomic import PrivateFile
from keras_integrity_hook.remote import leftovers, stores, upload, urls
from keras_integrity_hook.saving.reserved_file import ReservedFile, algorithm_for
from keras_integrity_hook.saving.statement import NewSeal
from keras_integrity_hook.saving.steps import Outcome, Requested
from keras_integrity_hook.settings import Store


class ReservedRemote(ReservedFile):
    """A private file, and the URL that it is for."""

    def __init__(self, made: PrivateFile, url: str, user_block: int, algorithm: str | None) -> None:
        super().__init__(made, None, user_block, algorithm)
        self._url = url
        self._is_sealed = False

    def seal(self, requested: Requested) -> Outcome:
        """Seal it here; see :class:`ReservedFile`."""
        outcome = super().seal(requested)
        self._is_sealed = isinstance(outcome, NewSeal)
        return outcome

    def put_in_place(self, requested: Requested) -> None:
        """Put it at the URL; a seal beside it goes after it, so that it never is of an older one.

        Raises:
            RemoteError: it cannot be put there.
        """
        local, beside = str(self.made.path), self._url + SEAL_SUFFIX
        # Of an archive Keras has just held all the weights in memory, to write them to it.
        upload.put(local, self._url, at_once=local.endswith(".keras"))
        if not self._is_sealed:
            upload.remove(beside)
        elif requested.demands.store is Store.SIDECAR:
            upload.put(local + SEAL_SUFFIX, beside)
        if not stores.takes_whole(self._url):
            leftovers.sweep(urls.beside(self._url, "").rstrip("/"), deep=False)


def reservations(
    url: str, requested: Requested, user_block: int, *, digested: bool
) -> Iterator[AbstractContextManager[ReservedRemote]]:
    """Where the file may be written: where temporary files go."""
    room = 0 if requested.demands.store is Store.SIDECAR else user_block
    yield _private(url, room, algorithm_for(requested, user_block, digested=digested))


@contextlib.contextmanager
def _private(url: str, user_block: int, algorithm: str | None) -> Iterator[ReservedRemote]:
    with freeing.afterwards(), temporary.private_folder() as folder:
        path = os.path.join(folder, urls.split(url).name)
        with (
            atomic.open_target(path) as target,
            atomic.private_file(target) as made,
            local_copies.standing_for(urls.shown(url), str(made.path)),
        ):
            reserved = ReservedRemote(made, url, user_block, algorithm)
            try:
                yield reserved
            finally:
                reserved.let_go()
