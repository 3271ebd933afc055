# SPDX-License-Identifier: Apache-2.0
"""How a whole local file gets to a URL: never is half of it found under its name.

Object stores show a new object when it is whole, so there the file goes up in one request. In other
stores it goes up under a temporary name and is moved; a process that is killed meanwhile leaves a
file whose name begins with ``.keras-integrity-`` and that no load looks at.
"""

from __future__ import annotations

import contextlib
import os
import secrets

from keras_integrity_hook.errors import RemoteWriteError
from keras_integrity_hook.remote import urls
from keras_integrity_hook.remote.failures import speaking_of
from keras_integrity_hook.remote.store import Store
from keras_integrity_hook.remote.stores import store_of, takes_whole

PREFIX = ".keras-integrity-"
"""How the temporary names begin."""


def put(local: str, url: str, *, at_once: bool = False) -> None:
    """Let the file ``local`` take the place of what is at ``url``.

    Args:
        at_once: all of it may be held in memory; so it goes up faster in some stores.

    Raises:
        RemoteWriteError: what was there is there still, unless the cause says otherwise.
        UnknownSchemeError, RemoteError: nothing here writes such URLs.
    """
    store = store_of(url)
    with speaking_of(url, writing=True):
        if takes_whole(url):
            store.put(local, url, at_once=at_once)
            _require_whole(store, url, local)
            return
        _put_and_move(store, local, url, at_once=at_once)


def _put_and_move(store: Store, local: str, url: str, *, at_once: bool) -> None:
    passing = urls.beside(url, f"{PREFIX}{secrets.token_hex(8)}")
    try:
        store.put(local, passing, at_once=at_once)
        _require_whole(store, passing, local)
        store.move(passing, url)
    except BaseException:
        with contextlib.suppress(Exception):
            store.remove(passing)
        raise


def _require_whole(store: Store, url: str, local: str) -> None:
    size, there = os.stat(local).st_size, store.stat(url).size
    if size != there:
        raise RemoteWriteError(
            f"the store has {there} bytes of the {size} that were written", path=urls.shown(url)
        )


def remove(url: str) -> None:
    """Remove the file at ``url`` if it is there.

    Raises:
        RemoteWriteError: it cannot be removed.
    """
    store = store_of(url)
    with speaking_of(url, writing=True), contextlib.suppress(FileNotFoundError):
        store.remove(url)
