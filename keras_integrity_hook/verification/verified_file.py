# SPDX-License-Identifier: Apache-2.0
"""Verified bytes in the shapes that Keras's loaders accept.

Closes the gap between check and use (CWE-367): what is parsed is what was checked, whatever happens
to the path or the file meanwhile.
"""

from __future__ import annotations

import io
import os
from typing import Any

from keras_integrity_hook.containers.model_file import ModelFile, Seal
from keras_integrity_hook.errors import ChecksumMismatchError, IntegrityError
from keras_integrity_hook.files.lease import ReadLease
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.verification import digests


class VerifiedFile(io.RawIOBase):
    """The original content of an open model as a read-only binary file.

    Sealed content is served only as it was sealed: under a whole read lease straight from the
    file, else chunk by chunk after comparing each with its digest. It has no ``name``, so Keras
    never looks for its directory. ``str()`` gives the path, which is what Keras decides by.

    Attributes:
        trusted: the content is handed out unchecked: unsealed, or mode ``warn``.
        failure: the error of the first read that was refused. Keras swallows exceptions raised
            inside its loaders, so the guard asks here afterwards.
        over: the ``h5py.File`` that reads from it, if any.
    """

    def __init__(self, model: ModelFile, *, trusted: bool) -> None:
        """Take over ``model`` and its descriptor."""
        super().__init__()
        self.failure: IntegrityError | None = None
        self.over: Any = None
        self._model = model
        self.trusted = trusted
        self._lease = ReadLease(model.fd) if not trusted else None
        self._position = 0
        self._cached = -1
        self._cache = b""

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self._model.content.size

    @property
    def leased(self) -> bool:
        """Whether a whole read lease keeps writers out."""
        return self._lease is not None and self._lease.held

    @property
    def seal(self) -> Seal | None:
        """What its content is checked against."""
        return self._model.seal

    def check(self) -> None:
        """Verify the whole content now. Raises ChecksumMismatchError, DamagedFileError."""
        digests.check_content(self._model)

    def __str__(self) -> str:
        return self._model.path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._model.content.size}
        self._position = max(0, base[whence] + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._model.content.size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        data = self._read_at(self._position, wanted)
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        view = view[: max(0, self._model.content.size - self._position)]
        if self.trusted:
            self._model.content.read_into(self._position, view)
        else:
            self._fill(self._position, view)
        self._position += len(view)
        return len(view)

    def close(self) -> None:
        """Close it, and first the ``h5py.File`` over it, which Keras leaves open after an error.

        One still open at interpreter exit calls back into what is gone by then, and crashes.
        """
        over, self.over = self.over, None
        if over is not None:
            over.close()
        if not self.closed:
            if self._lease is not None:
                self._lease.release()
            self._model.close()
        super().close()

    def _read_at(self, offset: int, size: int) -> bytes:
        if self.trusted or self.leased:
            data = self._model.content.read(offset, size)
            # Asked again after the read: a writer that came in between would have broken it.
            if self.trusted or self.leased:
                return data
        buffer = bytearray(size)
        self._fill(offset, memoryview(buffer))
        return bytes(buffer)

    def _fill(self, offset: int, view: memoryview) -> None:
        if self.leased:
            self._model.content.read_into(offset, view)
            if self.leased:
                return
        try:
            self._fill_checked(offset, view)
        except IntegrityError as error:
            error.path = error.path or self._model.path
            self.failure = self.failure or error
            raise

    def _fill_checked(self, offset: int, view: memoryview) -> None:
        seal = self._model.seal
        assert seal is not None
        chunk_size, size = seal.statement.chunk_size, seal.statement.size
        done = 0
        while done < len(view):
            index, within = divmod(offset + done, chunk_size)
            length = min(chunk_size, size - index * chunk_size)
            count = min(length - within, len(view) - done)
            target = view[done : done + count]
            if count == length:
                # The caller's buffer is as private as ours: hash it where it lies.
                self._model.content.read_into(index * chunk_size, target)
                self._compare(index, target)
            else:
                if index != self._cached:
                    chunk = self._model.content.read(index * chunk_size, length)
                    self._compare(index, chunk)
                    self._cached, self._cache = index, chunk
                target[:] = self._cache[within : within + count]
            done += count

    def _compare(self, index: int, chunk: bytes | memoryview) -> None:
        seal = self._model.seal
        assert seal is not None
        algorithm = seal.statement.algorithm
        width = tree.ALGORITHMS[algorithm]
        digest = tree.new_hash(algorithm)
        digest.update(chunk)
        if digest.digest() != seal.table[index * width : (index + 1) * width]:
            raise ChecksumMismatchError(
                "the file was changed while it was being loaded",
                path=self._model.path,
                container=self._model.container,
                damaged=digests.mismatch(self._model, [index]).damaged,
            )
