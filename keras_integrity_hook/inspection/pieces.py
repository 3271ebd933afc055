# SPDX-License-Identifier: Apache-2.0
"""The pieces that a model is inspected in: its files, and the members of its archive.

An archive is read by ``zipfile``, as Keras reads it, so that no member can be one thing here and
another there.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from keras_integrity_hook.containers import hdf5, keras_zip
from keras_integrity_hook.containers.model_file import ModelFile
from keras_integrity_hook.errors import DamagedFileError, LimitExceededError
from keras_integrity_hook.inspection.kept_reads import KeptReads
from keras_integrity_hook.limits import KIB, LIMITS
from keras_integrity_hook.sealing.content import Content

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo
else:  # for those who look annotations up at run time
    ZipFile = ZipInfo = object

_LOCAL = struct.Struct("<26xHH")
_AT_ONCE = 64 * KIB  # what is no larger is read whole: to go about in it would take longer


class Piece(NamedTuple):
    """One file of a model, or one member of its archive.

    Attributes:
        name: below the model, e.g. ``"config.json"``; empty for a single file as a whole.
        content: its bytes.
        head: the first of them, by which its format is told.
        members: of the model's own archive, what it has; None where nobody has looked.
    """

    name: str
    content: Content
    head: bytes
    members: Sequence[ZipInfo] | None = None

    @property
    def is_archive(self) -> bool:
        """Whether it is a ZIP archive."""
        return keras_zip.recognises(self.head)

    @property
    def is_hdf5(self) -> bool:
        """Whether it is an HDF5 file."""
        return self.head.startswith(hdf5.SIGNATURE)


class Slice:
    """A part of another content."""

    def __init__(self, content: Content, start: int, size: int) -> None:
        """``size`` bytes of ``content`` from ``start``. Raises DamagedFileError: it has fewer."""
        if start < 0 or size < 0 or start + size > content.size:
            raise DamagedFileError("a member of the archive lies outside of it")
        self._content, self._start, self._size = content, start, size

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self._size

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``. Raises DamagedFileError."""
        self._check(offset, size)
        return self._content.read(self._start + offset, size)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``offset``. Raises DamagedFileError."""
        self._check(offset, len(buffer))
        self._content.read_into(self._start + offset, buffer)

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or offset + size > self._size:
            raise DamagedFileError("a read beyond the end of a member")


class Memory:
    """A content that is in memory."""

    def __init__(self, data: bytes) -> None:
        """All of it."""
        self._data = data

    @property
    def size(self) -> int:
        """Bytes of content."""
        return len(self._data)

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``. Raises DamagedFileError."""
        data = self._data[offset : offset + size]
        if len(data) != size:
            raise DamagedFileError("a read beyond the end of the content")
        return data

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``offset``. Raises DamagedFileError."""
        buffer[:] = self.read(offset, len(buffer))


class Pieces:
    """The pieces of one open model, whose reads are kept.

    Attributes:
        kept: of a single file, what its reads are kept in; of a set, by the names of its files.
    """

    def __init__(self, model: ModelFile, content: Content | None = None) -> None:
        """See :func:`inspecting.inspect`."""
        self._base = os.path.basename(model.path)
        self.kept: dict[str, KeptReads] = {}
        if model.files is None:
            whole = self.kept[""] = KeptReads(model.content if content is None else content)
            if whole.size <= _AT_ONCE:
                whole.read(0, whole.size)
        else:
            self.kept = {part.name: KeptReads(part.content) for part in model.files.parts}

    @property
    def read(self) -> int:
        """Bytes that were read so far."""
        return sum(one.count for one in self.kept.values())

    @property
    def size(self) -> int:
        """Bytes of the whole model."""
        return sum(one.size for one in self.kept.values())

    def by_name(self) -> dict[str, Content]:
        """The files of the model by their names: members of an archive, parts, or a single file."""
        found: dict[str, Content] = {}
        for name, content in self.kept.items():
            piece = _piece(name, content)
            if piece.is_archive and not name:
                found.update((one.name, one.content) for one in members(content))
            else:
                found[name or self._base] = content
        return found

    def walk(self) -> Iterator[Piece]:
        """Every piece, an archive before its members.

        Raises:
            DamagedFileError: a file became shorter, or an archive is another one meanwhile.
            LimitExceededError: more than an inspection may read.
        """
        for name, content in self.kept.items():
            piece = _piece(name, content)
            if piece.is_archive and name == "":
                with opened(content) as archive:
                    yield piece._replace(members=archive.infolist())
                    yield from _members(archive, content)
            else:
                yield piece


def members(content: Content) -> Iterator[Piece]:
    """The members of the archive ``content``; raises as :meth:`Pieces.walk`."""
    with opened(content) as archive:
        yield from _members(archive, content)


def _members(archive: ZipFile, content: Content) -> Iterator[Piece]:
    infos = archive.infolist()
    if len(infos) > LIMITS.zip_members:
        raise LimitExceededError(f"the archive has {len(infos)} members")
    left = LIMITS.inspected_kept
    for info in infos:
        if not info.is_dir():
            member = _member(archive, info, content, left)
            left -= member.size if isinstance(member, Memory) else 0
            yield _piece(info.filename, member)


@contextlib.contextmanager
def opened(content: Content) -> Iterator[ZipFile]:
    """The archive ``content`` as Keras opens it, for as long as the block takes.

    Raises:
        DamagedFileError: ``zipfile``, or what unpacks for it, cannot read it.
    """
    import lzma
    import zlib
    from zipfile import BadZipFile, ZipFile

    # ``zipfile`` lets through what its parts raise: a codec, an offset before the file, a packer.
    unreadable = (
        *(BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError),
        *(ValueError, ArithmeticError, LookupError, RuntimeError),
    )
    try:
        with ZipFile(_stream(content)) as archive:
            yield archive
    except unreadable as error:
        raise DamagedFileError(f"the archive cannot be read ({error})") from error


def _stream(content: Content) -> IO[bytes]:
    if content.size <= _AT_ONCE:
        return io.BytesIO(content.read(0, content.size))
    return io.BufferedReader(_Stream(content), 1 << 12)


def _piece(name: str, content: Content) -> Piece:
    return Piece(name, content, content.read(0, min(16, content.size)))


def _member(archive: ZipFile, info: ZipInfo, content: Content, left: int) -> Content:
    """The bytes of a member: where they stand if they are stored, else in memory.

    Args:
        left: how many bytes may still be unpacked; an archive unpacks to a thousand times its size.
    """
    if info.compress_type == 0:
        head = content.read(info.header_offset, 30)
        start = info.header_offset + 30 + sum(_LOCAL.unpack(head))
        return Slice(content, start, info.file_size)
    with archive.open(info) as stream:
        data = stream.read(min(LIMITS.inspected_member, left) + 1)
    if len(data) > left:
        raise LimitExceededError(
            f"packed members of the archive are over {LIMITS.inspected_kept} bytes together"
        )
    if len(data) > LIMITS.inspected_member:
        raise LimitExceededError(
            f"a packed member of the archive is over {LIMITS.inspected_member} bytes"
        )
    return Memory(data)


class _Stream(io.RawIOBase):
    """A content as a binary file."""

    def __init__(self, content: Content) -> None:
        super().__init__()
        self._content = content
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._content.size}
        position = base[whence] + offset
        if position < 0:
            raise OSError("negative position")
        self._position = position
        return position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        view = view[: max(0, self._content.size - self._position)]
        self._content.read_into(self._position, view)
        self._position += len(view)
        return len(view)
