# SPDX-License-Identifier: Apache-2.0
"""Files of models on Kaggle, as ``kagglehub`` downloads them into its own cache.

    kaggle://OWNER/MODEL/FRAMEWORK/VARIATION[/VERSION]/FILE

The file that lies in the cache is read as that of any store: copied once, and the copy is checked.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import NoReturn

from keras_integrity_hook import texts
from keras_integrity_hook.errors import RemoteError, UnknownSchemeError
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.remote import urls
from keras_integrity_hook.remote.store import Entry, Reader

_ABSENT = 404
_STEPS_OF_A_HANDLE = 4


class KaggleStore:
    """See :class:`store.Store`; nothing is written, and nothing listed."""

    def __init__(self, url: str) -> None:
        """Raises UnknownSchemeError: ``kagglehub`` is not installed."""
        try:
            import kagglehub
        except ImportError as error:
            raise UnknownSchemeError(
                "'kaggle://' is read by a package that is not installed",
                path=urls.shown(url),
                remedy=texts.extra("remote", "kagglehub"),
            ) from error
        self._download = kagglehub.model_download

    def stat(self, url: str) -> Entry:
        if not _handle_and_file(url)[1]:
            return Entry(url, 0, "", True)
        status = os.stat(self._file(url))
        return Entry(url, status.st_size, f"{status.st_ino}-{status.st_mtime_ns}", False)

    def open(self, url: str) -> Reader:
        return _Reader(self._file(url))

    def stream(self, url: str, piece: int) -> Iterator[bytes]:
        with open(self._file(url), "rb") as file:
            while data := file.read(piece):
                yield data

    def parts(self, url: str) -> None:
        return None

    def listing(self, url: str) -> Iterator[Entry]:
        if url:
            self._refuse(url, "a model on Kaggle is not listed")
        yield from ()

    def put(self, local: str, url: str, *, at_once: bool = False) -> None:
        self._refuse(url, "Kaggle can be read and not written")

    def move(self, source: str, destination: str) -> None:
        self._refuse(source, "Kaggle can be read and not written")

    def remove(self, url: str) -> None:
        self._refuse(url, "Kaggle can be read and not written")

    def make_directory(self, url: str) -> None:
        self._refuse(url, "Kaggle can be read and not written")

    def _file(self, url: str) -> str:
        handle, file = _handle_and_file(url)
        try:
            return str(self._download(handle, path=file))
        except Exception as error:  # the client's own, of the version that is installed
            if getattr(getattr(error, "response", None), "status_code", None) != _ABSENT:
                raise
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url) from error

    def _refuse(self, url: str, cause: str) -> NoReturn:
        raise RemoteError(cause, path=urls.shown(url), remedy="Use kagglehub's own functions.")


class _Reader:
    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - closed by whoever asked for the reader

    def read(self, offset: int, length: int) -> bytes:
        return bytes(system.pread(self._file.fileno(), length, offset))

    def close(self) -> None:
        self._file.close()


def _handle_and_file(url: str) -> tuple[str, str]:
    """The handle of a model, and the path of a file in it."""
    parts = urls.split(url)
    steps = [parts.place, *parts.path.strip("/").split("/")]
    length = _STEPS_OF_A_HANDLE
    if len(steps) > length and steps[length].isdecimal():
        length += 1
    return "/".join(steps[:length]), "/".join(steps[length:])
