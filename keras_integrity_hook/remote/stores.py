# SPDX-License-Identifier: Apache-2.0
"""Who reads and writes behind a URL: TensorFlow's file systems, or fsspec.

What Keras itself would use comes first, where it is loaded and knows the scheme: both then see the
same bytes, with the same credentials. Else fsspec; and where that does not know the scheme either,
TensorFlow after all, if it is installed.
"""

from __future__ import annotations

import importlib.util
import sys

from keras_integrity_hook.errors import UnknownSchemeError
from keras_integrity_hook.files.url_names import WEB
from keras_integrity_hook.remote import urls
from keras_integrity_hook.remote.failures import speaking_of
from keras_integrity_hook.remote.store import OBJECT_STORES, Store

# These lead back to local files, or to other URLs that are written in them: what rules and records
# know them by would not be where the bytes lie.
_NO_STORES = {
    *("local", "asynclocal", "dir", "generic", "reference", "data", "async_wrapper"),
    *("asyncwrapper", "cached", "simplecache", "filecache", "blockcache"),
    *("zip", "tar", "libarchive"),
}


def store_of(url: str) -> Store:
    """Who reads and writes ``url``.

    Raises:
        UnknownSchemeError: nobody does here, with the package that would.
        RemoteError: see :func:`urls.split`.
        RemoteUnavailableError: what the store needs on this machine is not there.
    """
    scheme = urls.split(url).scheme
    if scheme in _NO_STORES:
        raise UnknownSchemeError(
            f"'{scheme}://' names no file system by itself",
            path=urls.shown(url),
            remedy="Give the path or the URL that it leads to.",
        )
    if scheme in WEB:  # whoever else reads it follows any redirect
        with speaking_of(url):
            return _of_fsspec(url, scheme)
    if scheme == "kaggle":
        from keras_integrity_hook.remote.kaggle_store import KaggleStore

        return KaggleStore(url)
    loaded = sys.modules.get("tensorflow") is not None
    if loaded and _tensorflow_knows(scheme):
        return _of_tensorflow()
    try:
        with speaking_of(url):  # some connect at once
            return _of_fsspec(url, scheme)
    except UnknownSchemeError:
        if loaded or not _tensorflow_is_installed() or not _tensorflow_knows(scheme):
            raise
    return _of_tensorflow()


def takes_whole(url: str) -> bool:
    """Whether a new file is there only when it is whole, and a move would be a second copy."""
    return urls.split(url).scheme in OBJECT_STORES


def _tensorflow_is_installed() -> bool:
    try:
        return importlib.util.find_spec("tensorflow") is not None
    except ValueError:  # somebody has seen to it that it cannot be imported
        return False


def _tensorflow_knows(scheme: str) -> bool:
    from keras_integrity_hook.remote import tensorflow_store

    return tensorflow_store.knows(scheme)


def _of_tensorflow() -> Store:
    from keras_integrity_hook.remote.tensorflow_store import TensorFlowStore

    return TensorFlowStore()


def _of_fsspec(url: str, scheme: str) -> Store:
    from keras_integrity_hook.remote import fsspec_store

    return fsspec_store.store_of(url, scheme)
