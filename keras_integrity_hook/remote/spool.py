# SPDX-License-Identifier: Apache-2.0
"""Private local copies of what lies behind a URL, for as long as somebody reads them.

Each is fetched once, into a directory that only this user may enter and that is removed afterwards;
the one of a killed process is removed by the next process that makes one.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain

from keras_integrity_hook.containers import hdf5
from keras_integrity_hook.errors import RemoteError
from keras_integrity_hook.files import entry_names, local_copies, portable, temporary
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.sole_writer import SoleWriter
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.remote import arrivals, urls
from keras_integrity_hook.remote.arrivals import Arriving, Cut, Noted
from keras_integrity_hook.remote.sources import Source
from keras_integrity_hook.sealing import tree

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.O_NOFOLLOW | portable.O_CLOEXEC
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_WORTH_IT = 16 * MIB  # what is smaller is digested in no more time than a sole writer has to wait
_Watch = Callable[[bytes], object]
CutOf = Callable[[bytes], Cut | None]


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
        fetch(
            source, local, noted=noted, watch=watch, cut_of=partial(_cut_of, source.size, algorithm)
        )
        with local_copies.standing_for(urls.shown(source.url), local):
            yield local


def _cut_of(size: int, algorithm: str | None, head: bytes) -> Cut | None:
    """How the seal of a single file of ``size`` bytes, which begins with ``head``, may cut it."""
    if algorithm is None:
        return None
    return Cut(algorithm, tree.chunk_size_for(size), hdf5.start_of_content(head))


def fetch(
    source: Source,
    local: str,
    *,
    watch: _Watch | None = None,
    noted: Noted | None = None,
    cut_of: CutOf = lambda head: None,
) -> None:
    """Write ``source``, once and whole, to the new file ``local``; raises as :func:`fetched`.

    Args:
        watch: is given each piece as it arrives.
        noted: where the digests of its chunks are kept, if nobody else comes near the file.
        cut_of: says by its first bytes how it is cut into chunks; None where that is not known.
    """
    fd = system.open(local, _NEW, 0o600)
    try:
        pieces = _written(source, fd, watch)
        if noted is None or source.size < _WORTH_IT:
            _exhaust(pieces)
        else:
            _digest(pieces, SoleWriter(fd), cut_of, noted)
    finally:
        os.close(fd)


def _written(source: Source, fd: int, watch: _Watch | None) -> Iterator[bytes]:
    """The pieces of ``source``, each when it is written."""
    for data in source.stream():
        _write_all(fd, data, source.url)
        if watch is not None:
            watch(data)
        yield data


def _exhaust(pieces: Iterable[bytes]) -> None:
    for _ in pieces:
        pass


def _digest(pieces: Iterator[bytes], writer: SoleWriter, cut_of: CutOf, noted: Noted) -> None:
    """Let ``pieces`` be written, digest them meanwhile, and note it if nobody else was there."""
    with contextlib.closing(writer):
        head = next(pieces, b"")
        cut = cut_of(head)
        if cut is None or not cut.is_feasible or not writer.is_alone:
            _exhaust(pieces)
            return
        with contextlib.closing(Arriving(cut)) as arriving:
            for data in chain([head], pieces):
                arriving.update(data)
            digests = arriving.finish()
        left = writer.done()
        if left is not None:
            noted.keep(left, cut, digests)


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
