# SPDX-License-Identifier: Apache-2.0
"""What is this location: a local file, a hub's model, another file system's, an open file?

One text means different files to different readers: ``kaggle://a.keras`` is a download to KerasHub,
an unknown file system to TensorFlow, and the file ``a.keras`` in the directory ``kaggle:`` to
Python's ``open``, with which Keras reads archives. A guard that understands a location otherwise
than the function behind it checks one file and lets another be loaded. So everybody asks here, and
says who is going to read.

The decision is made from the text or the object alone, apart from one ``lstat`` for a URL that
Keras looks for as a file first.
"""

from __future__ import annotations

import enum
import io
import os
import re
import stat
import sys
from typing import Any, NamedTuple

from keras_integrity_hook.errors import UnreadableFileError
from keras_integrity_hook.files.portable import system

_FILE_SCHEME = "file://"
# TensorFlow's grammar: what has other characters before "://" is a path to it.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9.]*://")
_DESCRIPTORS = "/proc/self/fd"
_DELETED = " (deleted)"
_WORKING_DIRECTORY = "/proc/self/cwd"
# What h5py names a file after that it reads from a Python object: memory, and members of archives,
# some of them verified ones of ours.
_STREAMS = (b"<_io.BytesIO ", b"<zipfile.ZipExtFile ", b"<keras_integrity_hook.")
_IMAGES = b"file_image_"  # what the HDF5 library names one that it was given as bytes
_OURS = "keras_integrity_hook"


class Kind(enum.Enum):
    """What a location is."""

    PATH = "a path of the local file system"
    HUB = "a model on a hub, which the reader downloads"
    REMOTE = "a URL of another file system"
    OPEN_FILE = "an open file of the local file system"
    MEMORY = "bytes that the program has itself"
    UNVERIFIABLE = "an open object whose bytes cannot be had"
    OTHER = "no location of a model"


class Reader(NamedTuple):
    """How the function that is given a location understands it.

    Attributes:
        takes_urls: a scheme before ``://`` names another file system; else a directory.
        files_first: it takes a URL for the name of a file where there is one.
        hubs: schemes of hubs it downloads from.
        copied: how the paths begin of which it loads a copy, URLs aside.
    """

    takes_urls: bool = False
    files_first: bool = False
    hubs: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()


_MOUNTS = ("/cns", "/cfs", "/gcs", "/hdfs", "/readahead", "/placer", "/tfhub")

PYTHON = Reader()
"""``open``, h5py and zipfile: any text is the name of a file."""
TENSORFLOW = Reader(takes_urls=True)
"""TensorFlow's file systems, and what of Keras writes through them."""
KERAS = Reader(takes_urls=True, files_first=True, copied=_MOUNTS)
"""``load_model`` of Keras 3: looks for a file, then copies what TensorFlow finds."""
KERAS_AND_HUB = KERAS._replace(hubs=("hf://",))
"""The same since Keras 3.4, which knows a hub."""
KERAS_WEIGHTS = Reader(takes_urls=True, files_first=True, copied=_MOUNTS)
"""``load_weights`` of Keras 3, of which some versions take URLs; ours are read for all of them."""
TF_KERAS = Reader(takes_urls=True, copied=_MOUNTS)
"""``load_model`` and ``load_weights`` of tf_keras."""
KERAS_HUB = Reader(hubs=("hf://", "kaggle://", "modelscope://"))
"""``from_preset``: downloads from hubs, and anything else is a directory."""


class Location(NamedTuple):
    """A location as one reader understands it.

    Attributes:
        kind: what it is.
        text: what was given, for messages.
        path: the local path; also that of an open file, for what is said and demanded of it.
        fd: the descriptor of an open file, which is its owner's; -1 for none.
        is_copied: the reader would load a copy of a local file, unless given :attr:`in_place`.
    """

    kind: Kind
    text: str
    path: str = ""
    fd: int = -1
    is_copied: bool = False

    @property
    def is_file(self) -> bool:
        """Whether its bytes lie in a local file that can be checked."""
        return self.kind in (Kind.PATH, Kind.OPEN_FILE)

    @property
    def in_place(self) -> str:
        """The path so spelt that no reader copies what is there."""
        plain = re.sub("/+", "/", self.path)
        return f"/.{plain}" if plain.startswith(_MOUNTS) else plain


def of(value: Any, reader: Reader) -> Location:
    """What ``value`` is for ``reader``.

    Args:
        value: a text, bytes, a path object, or an open file of Python, h5py, zipfile or TensorFlow.

    Raises:
        UnreadableFileError: a text with a NUL, by which Python and C libraries mean different
            files.
    """
    if isinstance(value, str | bytes | os.PathLike) and not isinstance(value, io.IOBase):
        return _of_text(os.fsdecode(value), reader)
    return _of_object(value, reader)


def is_url(text: str) -> bool:
    """Whether ``text`` is a URL to whoever takes URLs, ``file://`` ones included.

    Where drives have letters, ``C://models`` is a directory on one.
    """
    return _SCHEME.match(text) is not None and not os.path.splitdrive(text)[0]


def working_directory() -> str:
    """The directory that relative paths start from.

    One that was deleted has no path, and absolute paths are as good as ever to a process in it: the
    kernel's own link to it stands for it, below which a relative path leads where it does anyway.
    """
    try:
        return os.getcwd()
    except FileNotFoundError:
        return _WORKING_DIRECTORY


def _of_text(text: str, reader: Reader) -> Location:
    if "\0" in text:
        raise UnreadableFileError("cannot be opened (embedded null byte)", path=text)
    if "://" not in text:
        copied = reader.copied
        return Location(Kind.PATH, text, text, is_copied=bool(copied) and text.startswith(copied))
    if reader.hubs and text.startswith(reader.hubs):
        return Location(Kind.HUB, text)
    copied_if_url = bool(reader.copied)
    if text.lower().startswith(_FILE_SCHEME):
        return Location(Kind.PATH, text, _path_of_url(text), is_copied=copied_if_url)
    # The same path without a "://", so that nobody further on takes it for a URL.
    path = re.sub("/+", "/", text)
    is_file = not reader.takes_urls or not is_url(text)
    if not is_file and not (reader.files_first and os.path.lexists(path)):
        return Location(Kind.REMOTE, text)
    return Location(Kind.PATH, text, path, is_copied=copied_if_url)


def _path_of_url(url: str) -> str:
    """The path in a ``file://`` URL, as TensorFlow reads it: nothing is unescaped, and the host
    that may stand in it (``file://localhost/srv``) does not matter."""
    host, slash, path = url[len(_FILE_SCHEME) :].partition("/")
    if os.path.splitdrive(path)[0]:  # file:///C:/models
        return path
    return slash + path or host


def _of_object(value: Any, reader: Reader) -> Location:
    if isinstance(value, io.IOBase):
        return _of_stream(value)
    h5py = sys.modules.get("h5py")
    if h5py is not None and isinstance(value, h5py.File):
        return _of_hdf5(value)
    zipfile = sys.modules.get("zipfile")
    if zipfile is not None and isinstance(value, zipfile.ZipFile):
        return _of_object(value.fp, reader)
    gfile = sys.modules.get("tensorflow.python.platform.gfile")
    if gfile is not None and isinstance(value, gfile.GFile):
        return of(value.name, TENSORFLOW)
    return Location(Kind.OTHER, repr(type(value)))


def _of_stream(stream: io.IOBase) -> Location:
    raw = getattr(stream, "raw", stream)
    # Exactly these: what is read from a subclass, or from a wrapper that unpacks, is not what lies
    # in the file.
    if type(raw) is io.FileIO and type(stream) in (
        io.FileIO,
        io.BufferedReader,
        io.BufferedRandom,
    ):
        return Location(Kind.MEMORY, "closed") if raw.closed else _of_fd(raw.fileno(), raw.name)
    kind = Kind.UNVERIFIABLE if _has_descriptor(stream) else Kind.MEMORY
    return Location(kind, _described(stream))


def _has_descriptor(stream: Any) -> bool:
    if not getattr(stream, "_rolled", True):
        return False  # a spooled temporary file, which would give up its memory to answer
    try:
        return int(stream.fileno()) >= 0
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def _of_hdf5(file: Any) -> Location:
    if not file.id.valid or type(file).__module__.startswith(_OURS):
        return Location(Kind.MEMORY, "HDF5")
    name = os.fsdecode(file.id.name)
    if file.driver == "sec2":
        if file.mode != "r":
            file.flush()  # what the program sees is to be what is checked
        return _of_fd(int(file.id.get_vfd_handle()), name)
    if file.driver == "core":  # read as a whole when it was opened; only an image has no file
        # Of one that is only read the name alone tells: its file may have been renamed since.
        made_here = file.mode != "r" or file.id.name.startswith(_IMAGES)
        in_memory = made_here and not os.path.lexists(name)
    else:
        in_memory = file.driver == "fileobj" and file.id.name.startswith(_STREAMS)
    return Location(Kind.MEMORY if in_memory else Kind.UNVERIFIABLE, f"HDF5 ({name})", name)


def _of_fd(fd: int, name: Any) -> Location:
    status = system.fstat(fd)
    path = _path_of_fd(fd, name, status)
    if not stat.S_ISREG(status.st_mode):
        return Location(Kind.UNVERIFIABLE, path, path)
    return Location(Kind.OPEN_FILE, path, path, fd)


def _path_of_fd(fd: int, name: Any, status: os.stat_result) -> str:
    """The path of an open file: the name it was opened by while that still leads there, for rules
    hold under it, too; else the kernel's."""
    if isinstance(name, str | bytes) and _leads_to(name, status):
        return os.path.abspath(os.fsdecode(name))
    try:
        path = os.readlink(f"{_DESCRIPTORS}/{fd}")
    except OSError:
        return os.fsdecode(name) if isinstance(name, str | bytes) else f"<descriptor {fd}>"
    return path if _leads_to(path, status) else path.removesuffix(_DELETED)


def _leads_to(name: str | bytes, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(system.stat(name), status)
    except (OSError, ValueError):
        return False


def _described(stream: Any) -> str:
    name = getattr(stream, "name", None)
    kind = type(stream).__name__
    return f"{kind} ({name})" if isinstance(name, str) else kind
