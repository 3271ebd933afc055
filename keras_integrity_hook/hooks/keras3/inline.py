# SPDX-License-Identifier: Apache-2.0
"""What stands before the functions with which Keras 3 opens files inline.

``saving_api`` of every version opens legacy weights so; ``saving_lib`` before 3.10 every HDF5 file
and the archive that it loads weights from, before 3.2 every archive that it loads. Archives come
from :mod:`guards` beside this, as a :class:`VerifiedPath`.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

from keras_integrity_hook.files import location
from keras_integrity_hook.files.location import Kind, Location
from keras_integrity_hook.hooks import calls
from keras_integrity_hook.hooks.borrowing import ModuleView
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.hooks.keras3 import paths
from keras_integrity_hook.limits import KIB
from keras_integrity_hook.loading import surfacing
from keras_integrity_hook.saving import in_progress, on_close
from keras_integrity_hook.verification import hdf5_reader
from keras_integrity_hook.verification.verified_file import VerifiedFile

_BUFFER = 64 * KIB


class VerifiedPath(str):
    """A verified archive in the shape of a path, for a Keras that takes nothing else.

    Its text contains a NUL, with which no file can be opened: an ``open`` that is not guarded fails
    instead of reading what nobody has checked.
    """

    file: VerifiedFile

    def __new__(cls, file: VerifiedFile) -> VerifiedPath:
        """Take ``file`` along."""
        made = super().__new__(cls, f"{file.path}\0.keras")
        made.file = file
        return made

    def __str__(self) -> VerifiedPath:
        return self  # Keras calls str() on it


def handed(file: VerifiedFile, lender: str) -> VerifiedFile | VerifiedPath:
    """The archive as ``saving_lib`` takes it: as a path where this version opens that itself.

    Args:
        file: the archive.
        lender: the module that older versions open it with.
    """
    borrower = sys.modules["keras.src.saving.saving_lib"]
    inline = isinstance(borrower.__dict__.get(lender), ModuleView)
    return VerifiedPath(file) if inline else file


def open_archive(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``zipfile.ZipFile``: it takes a file object as well as a path."""
    if args and isinstance(args[0], VerifiedPath):
        return wrapped(args[0].file, *args[1:], **kwargs)
    return wrapped(*created(args, kwargs), **kwargs)


def created(args: Args, kwargs: Kwargs) -> Args:
    """The arguments of ``zipfile.ZipFile``, with the file that a save has it write."""
    mode = args[1] if len(args) > 1 else kwargs.get("mode", "r")
    if mode != "w" or not args or not isinstance(args[0], str):
        return args
    file = in_progress.created(args[0])
    return args if file is None else (buffered(file), *args[1:])


def buffered(file: io.RawIOBase) -> io.BufferedWriter:
    """``file`` for ``zipfile``, which writes many small pieces; long ones are passed on."""
    return io.BufferedWriter(file, _BUFFER)


def take_archive(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``file_utils.File``: what it would open is open already."""
    if args and isinstance(args[0], VerifiedPath):
        return args[0].file
    return wrapped(*args, **kwargs)


def open_hdf5(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``h5py.File(name, mode)``."""
    name = args[0] if args else kwargs.get("name")
    mode = args[1] if len(args) > 1 else kwargs.get("mode", "r")
    return hdf5(location.of(name, location.PYTHON), mode, lambda: wrapped(*args, **kwargs))


def hdf5(source: Location | None, mode: str, otherwise: Callable[[], Any]) -> Any:
    """An ``h5py.File``: reads are verified, what is written will be sealed.

    Args:
        source: what is to be opened; None for what lies in an archive, or is none of our business.
        mode: h5py's.
        otherwise: opens it as Keras would have.

    Raises:
        IntegrityError: as ``open_verified``.
    """
    if mode == "r":
        if source is not None:
            calls.refuse_uncheckable(source)
            if source.is_file:
                return hdf5_reader.hdf5_over(paths.open_file(source))
        # The bytes of an archive's member, or what reads them: where a read is refused while
        # libhdf5 opens that, it keeps the file object, and the interpreter crashes at its end.
        surfacing.require_verdict()
        return _refusing_links(otherwise())
    if source is None or source.kind is not Kind.PATH or mode != "w":
        return otherwise()
    if not in_progress.is_saving():
        return on_close.hdf5_sealed_on_close(source.path)
    room = in_progress.user_block_for(source.path)
    file = in_progress.created(source.path)
    if not room and file is None:
        return otherwise()
    import h5py

    return h5py.File(file or source.path, mode="w", userblock_size=room)


def _refusing_links(opened: Any) -> Any:
    try:
        # The bytes are verified or the caller's own, but older Keras would follow their links.
        hdf5_reader.refuse_external(opened, None)
    except BaseException:
        opened.close()
        raise
    return opened
