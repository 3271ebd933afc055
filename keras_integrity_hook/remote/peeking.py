# SPDX-License-Identifier: Apache-2.0
"""The seal of a large file behind a URL, without the file: its first and its last bytes, and in an
archive the headers of its members, are read in ranges into a sparse file of the same size.

Whatever cannot be told so is told when the file is there: nothing is refused for what was not read.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator

from keras_integrity_hook.containers import keras_zip, zip_members
from keras_integrity_hook.containers.model_file import ModelFile
from keras_integrity_hook.containers.opening import open_alone
from keras_integrity_hook.errors import IntegrityError, RemoteUnavailableError
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import KIB, MIB
from keras_integrity_hook.remote.sources import Source

_HEAD = 64 * KIB
_TAILS = (256 * KIB, 4 * MIB)  # the seal of a large archive, with many names, may be larger
_MEMBERS = 16  # what Keras writes has three, and one for each asset
_AROUND = 64, 4 * KIB  # a member's header, and before it the descriptor of the one before


@contextlib.contextmanager
def model_without_content(source: Source, name: str) -> Iterator[ModelFile | None]:
    """The model of ``source`` with its seal, if any, and no content; None where it cannot be told.

    Args:
        name: what it is called.

    Raises:
        RemoteError: the store cannot be asked.
    """
    import tempfile

    with tempfile.TemporaryFile() as file:
        fd = file.fileno()
        model = _read_if_possible(source, fd, name)
        try:
            yield model
        finally:
            if model is not None:
                model.close()


def _read_if_possible(source: Source, fd: int, name: str) -> ModelFile | None:
    try:
        return _read(source, fd, name)
    except RemoteUnavailableError as error:
        if isinstance(error.__cause__, io.UnsupportedOperation):
            return None  # not every web server answers requests for parts
        raise


def _read(source: Source, fd: int, name: str) -> ModelFile | None:
    os.ftruncate(fd, source.size)
    head = source.read(0, _HEAD)
    system.pwrite(fd, head, 0)
    if not keras_zip.recognises(head):
        return _opened(fd, name)
    for size in _TAILS:
        if size > source.size // 2:
            break
        system.pwrite(fd, source.read(source.size - size, size), source.size - size)
        with contextlib.suppress(IntegrityError):
            _fill_headers(source, fd)
            return _opened(fd, name)
    return None


def _fill_headers(source: Source, fd: int) -> None:
    """Raises IntegrityError where the directory is not in what was read, or has many members."""
    directory = keras_zip.read_directory(fd, source.size)
    entries = zip_members.entries_of(directory.tail[: directory.size], directory.members)
    before, after = _AROUND
    for count, entry in enumerate(entries):
        if count >= _MEMBERS:
            return  # what is not there contradicts the directory: the file is fetched
        if entry.offset + after > _HEAD:
            start = max(0, entry.offset - before)
            system.pwrite(fd, source.read(start, after), start)


def _opened(fd: int, name: str) -> ModelFile | None:
    try:
        return open_alone(name, fd=fd)
    except IntegrityError:
        return None
