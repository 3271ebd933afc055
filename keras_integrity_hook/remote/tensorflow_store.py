# SPDX-License-Identifier: Apache-2.0
"""Stores as TensorFlow reads and writes them (``tf.io.gfile``), which is what Keras uses."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Any

from keras_integrity_hook.files import portable
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.remote import urls
from keras_integrity_hook.remote.store import Entry, Parts

# Of a read: for larger ones memory is had anew each time, which takes four times as long.
_PIECE = MIB


def knows(scheme: str) -> bool:
    """Whether TensorFlow, or a plug-in of it that is loaded, has this scheme."""
    import tensorflow as tf

    return scheme in tf.io.gfile.get_registered_schemes()


class _Reader:
    def __init__(self, file: Any) -> None:
        self._file = file
        self._at = 0

    def read(self, offset: int, length: int) -> bytes:
        if offset != self._at:  # it throws away what it has read ahead
            self._file.seek(offset)
        data = bytes(self._file.read(length))
        self._at = offset + len(data)
        return data

    def close(self) -> None:
        self._file.close()


class TensorFlowStore:
    """See :class:`store.Store`."""

    def stat(self, url: str) -> Entry:
        import tensorflow as tf

        with _absent_as_python(url):
            found = tf.io.gfile.stat(url)
        if found.is_directory:
            return Entry(url, 0, "", True)
        # ram:// keeps no times.
        version = f"{found.length}-{found.mtime_nsec}" if found.mtime_nsec else ""
        return Entry(url, int(found.length), version, False, found.mtime_nsec / 1e9)

    def open(self, url: str) -> _Reader:
        import tensorflow as tf

        return _Reader(tf.io.gfile.GFile(url, "rb"))

    def stream(self, url: str, piece: int) -> Iterator[bytes]:
        import tensorflow as tf

        with _absent_as_python(url), tf.io.gfile.GFile(url, "rb") as file:
            while data := file.read(min(piece, _PIECE)):
                yield data

    def parts(self, url: str) -> Parts | None:
        # Its file systems on networks read far ahead of each reader, for nothing at the end of a
        # part; that in memory does not.
        if urls.split(url).scheme != "ram":
            return None
        return Parts(_PIECE, portable.cores())

    def listing(self, url: str) -> Iterator[Entry]:
        import tensorflow as tf

        with _absent_as_python(url):
            names = tf.io.gfile.listdir(url)
        for name in dict.fromkeys(name.strip("/") for name in names):
            # ram:// lists by what names begin with: some of what it names is not there.
            with contextlib.suppress(FileNotFoundError):
                yield self.stat(urls.below(url, name))

    def put(self, local: str, url: str, *, at_once: bool = False) -> None:
        import tensorflow as tf

        if not at_once:
            tf.io.gfile.copy(local, url, overwrite=True)
            return
        # In one piece, as Keras itself writes an archive: what grows in ram:// is copied each time
        # that it has outgrown its memory.
        with open(local, "rb", buffering=0) as file:
            data = file.read()
        with tf.io.gfile.GFile(url, "wb") as target:
            target.write(data)

    def move(self, source: str, destination: str) -> None:
        import tensorflow as tf

        tf.io.gfile.rename(source, destination, overwrite=True)

    def remove(self, url: str) -> None:
        import tensorflow as tf

        with _absent_as_python(url):
            tf.io.gfile.remove(url)

    def make_directory(self, url: str) -> None:
        import tensorflow as tf

        tf.io.gfile.makedirs(url)


@contextlib.contextmanager
def _absent_as_python(url: str) -> Iterator[None]:
    from tensorflow.errors import NotFoundError

    try:
        yield
    except NotFoundError as error:
        absent = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url)
        raise absent from error
