# SPDX-License-Identifier: Apache-2.0
"""Private local copies of what lies behind a URL, for as long as somebody reads them.

Each is fetched once, into a directory that only this user may enter and that is removed afterwards;
the one of a killed process is removed by the next process that makes one.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator

from keras_integrity_hook.errors import RemoteError
from keras_integrity_hook.files import entry_names, local_copies, portable, temporary
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.remote import urls
from keras_integrity_hook.remote.sources import Source

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.O_NOFOLLOW | portable.O_CLOEXEC
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_Watch = Callable[[bytes], object]


@contextlib.contextmanager
def fetched(source: Source, *, watch: _Watch | None = None) -> Iterator[str]:
    """The path of a private copy of ``source``, of the same name, which is called by its URL.

    Args:
        watch: is given each piece of the file as it arrives (a hash's ``update``).

    Raises:
        OSError: there is no room for it. RemoteError: as ``Source.stream``.
    """
    name = urls.split(source.url).name
    if not entry_names.is_entry(name):
        cause = "its name is that of no file on this system"
        raise RemoteError(cause, path=urls.shown(source.url), remedy="Give the object another one.")
    with temporary.private_folder() as folder:
        local = os.path.join(folder, name)
        fetch(source, local, watch=watch)
        with local_copies.standing_for(urls.shown(source.url), local):
            yield local


def fetch(source: Source, local: str, *, watch: _Watch | None = None) -> None:
    """Write ``source``, once and whole, to the new file ``local``; raises as :func:`fetched`."""
    fd = system.open(local, _NEW, 0o600)
    try:
        for data in source.stream():
            _write_all(fd, data, source.url)
            if watch is not None:
                watch(data)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes, url: str) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        text = (
            f"{os.strerror(error.errno)} for a private copy; free some where temporary files go, "
            "or set TMPDIR to a directory that has room"
        )
        raise OSError(error.errno, text, urls.shown(url)) from error
