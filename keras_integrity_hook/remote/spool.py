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
from functools import partial
from itertools import chain
from typing import NamedTuple

from keras_integrity_hook.containers import hdf5
from keras_integrity_hook.errors import RemoteError
from keras_integrity_hook.files import entry_names, local_copies, portable, temporary
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.sole_writer import SoleWriter
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.remote import arrivals, parted, urls
from keras_integrity_hook.remote.arrivals import Arriving, Cut, Noted
from keras_integrity_hook.remote.parted import Came
from keras_integrity_hook.remote.sources import Source
from keras_integrity_hook.sealing import tree

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.O_NOFOLLOW | portable.O_CLOEXEC
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
LARGE = 16 * MIB
"""What is smaller (bytes) is digested in no more time than a sole writer has to wait."""
_Watch = Callable[[bytes], object]
CutOf = Callable[[bytes], Cut | None]


class Manner(NamedTuple):
    """How a large file is fetched.

    Attributes:
        noted: where the digests of its chunks are kept, if nobody else comes near the file.
        cut_of: says by its first bytes how it is cut into chunks; None where that is not known.
        readers: see :func:`parted.readers_of`.
    """

    noted: Noted
    cut_of: CutOf
    readers: int


@contextlib.contextmanager
def fetched(
    source: Source, *, algorithm: str | None = None, watch: _Watch | None = None
) -> Iterator[str]:
    """The path of a private copy of ``source``, of the same name, which is called by its URL.

    Args:
        watch: is given each piece of the file as it arrives.
        algorithm: by which it is digested while it arrives, see :func:`arrivals.known`; None for
            not at all.

    Raises:
        OSError: there is no room for it. RemoteError: as ``Source.stream``.
    """
    name = urls.split(source.url).name
    if not entry_names.is_entry(name):
        cause = "its name is that of no file on this system"
        raise RemoteError(cause, path=urls.shown(source.url), remedy="Give the object another one.")
    with temporary.private_folder() as folder, arrivals.noted() as noted:
        local = os.path.join(folder, name)
        cut_of = partial(_cut_of, source.size, algorithm)
        manner = Manner(noted, cut_of, parted.readers_of(source))
        fetch(source, local, watch=watch, manner=manner)
        with local_copies.standing_for(urls.shown(source.url), local):
            yield local


def _cut_of(size: int, algorithm: str | None, head: bytes) -> Cut | None:
    """How the seal of a single file of ``size`` bytes, which begins with ``head``, may cut it."""
    if algorithm is None:
        return None
    return Cut(algorithm, tree.chunk_size_for(size), hdf5.start_of_content(head))


def fetch(
    source: Source, local: str, *, watch: _Watch | None = None, manner: Manner | None = None
) -> None:
    """Write ``source``, once and whole, to the new file ``local``; raises as :func:`fetched`.

    Args:
        watch: is given each piece as it arrives, of a large file from several threads.
        manner: of a large file; None for one stream that nobody digests.
    """
    fd = system.open(local, _NEW, 0o600)
    try:
        put = partial(_put, fd, source.url, watch)
        if manner is None or source.size < LARGE:
            _stream(source, put, lambda head: None)
        else:
            _fetch_large(source, fd, put, manner)
    finally:
        os.close(fd)


def _fetch_large(source: Source, fd: int, put: parted.Put, manner: Manner) -> None:
    """Let it be written, digest it meanwhile, and note that if nobody else was there."""
    with contextlib.closing(SoleWriter(fd)) as writer:
        cut_of = manner.cut_of if writer.is_alone else lambda head: None
        if manner.readers == 1:
            came = _stream(source, put, cut_of)
        else:
            came = parted.fetch(source, put, cut_of, manner.readers)
        left = None if came.cut is None else writer.done()
        if came.cut is not None and left is not None:
            manner.noted.keep(left, came.cut, came.digests)


def _stream(source: Source, put: parted.Put, cut_of: CutOf) -> Came:
    """The same as :func:`parted.fetch`, in one stream; other threads digest what has arrived."""
    pieces = source.stream()
    head = next(pieces, b"")
    cut = cut_of(head)
    if cut is not None and not cut.is_feasible:
        cut = None
    at = 0
    with contextlib.closing(
        Arriving(cut) if cut is not None else contextlib.ExitStack()
    ) as arriving:
        for data in chain([head], pieces):
            put(data, at)
            at += len(data)
            if isinstance(arriving, Arriving):
                arriving.update(data)
        return Came(cut, arriving.finish() if isinstance(arriving, Arriving) else {})


def _put(fd: int, url: str, watch: _Watch | None, data: bytes, at: int) -> None:
    _write_all(fd, data, at, url)
    if watch is not None:
        watch(data)


def _write_all(fd: int, data: bytes, at: int, url: str) -> None:
    view = memoryview(data)
    try:
        while view:
            written = system.pwrite(fd, view, at)
            view, at = view[written:], at + written
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        text = (
            f"{os.strerror(error.errno)} for a private copy; free some where temporary files go, "
            "or set TMPDIR to a directory that has room"
        )
        raise OSError(error.errno, text, urls.shown(url)) from error
