# SPDX-License-Identifier: Apache-2.0
"""Verified bytes in the shape that Keras's loaders accept: a binary file.

Closes the gap between check and use (CWE-367): what is parsed is what was checked, whatever happens
to the path or the file meanwhile.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_integrity_hook.containers.model_file import ModelFile, Seal
from keras_integrity_hook.errors import ChecksumMismatchError, IntegrityError
from keras_integrity_hook.files.lease import ReadLease
from keras_integrity_hook.sealing.content import Content, PartContent
from keras_integrity_hook.verification.chunk_checker import ChunkChecker
from keras_integrity_hook.verification.holding import Verified

if TYPE_CHECKING:
    from keras_integrity_hook.verification.ahead import AheadContent
else:  # for those who look annotations up at run time
    AheadContent = object


class VerifiedFile(io.RawIOBase):
    """The original content of an open model as a read-only binary file.

    It has no ``name``, so Keras never looks for its directory. ``str()`` gives the path:
    ``saving_lib.load_weights_only`` decides by that what it was given, and by nothing else.

    Attributes:
        path: as the user named it.
        size: bytes of content.
        seal: what its content is checked against; None where it is handed out as it is.
        failure: the error of the first read that was refused. Keras swallows exceptions raised
            inside its loaders, so the guard asks here afterwards.
        over: the ``h5py.File`` that reads from it, if any.
    """

    def __init__(self, model: ModelFile, content: Content, lease: ReadLease | None = None) -> None:
        super().__init__()
        self.path = model.path
        self.size = content.size
        self.seal: Seal | None = None
        self.failure: IntegrityError | None = None
        self.over: Any = None
        self._model = model
        self._content = content
        self._lease = lease
        self._position = 0
        self._ahead: AheadContent | None = None
        self._is_part = False
        self._when_whole: list[Callable[[], None]] = []
        self._members: list[VerifiedMember] = []

    @classmethod
    def of(cls, verified: Verified) -> VerifiedFile:
        """Take over a verified file: its content is served only as it was sealed.

        Under a read lease that is straight from the file, else chunk by chunk after comparing
        each with its digest.
        """
        (lease,) = verified.leases
        model = verified.model
        file = cls(model, content_of(verified), lease)
        file.seal = model.seal
        file._ahead = verified.ahead
        return file

    @classmethod
    def unchecked(cls, model: ModelFile) -> VerifiedFile:
        """Take over ``model``, whose content is handed out as it is: it has no seal, the mode is
        ``warn``."""
        return cls(model, model.content)

    @classmethod
    def part(cls, model: ModelFile) -> VerifiedFile:
        """Take over a file of a set, which was checked with it or is checked while it is read."""
        file = cls.unchecked(model)
        file._ahead = getattr(model.content, "whole", None)
        file._is_part = True  # the verdict is over the set, and its other files are still to come
        return file

    def member(self, start: int, size: int) -> VerifiedMember:
        """``size`` bytes of the content from ``start`` on, as a file that ends with this one."""
        made = VerifiedMember(self._model, PartContent(self._content, start, size), self._note)
        self._members.append(made)
        return made

    @property
    def may_change(self) -> bool:
        """Whether a read may still be refused: the file is verified while it is read, or a writer
        may come between the check and a read."""
        return self._ahead is not None or (self._lease is not None and not self._lease.held)

    def when_whole(self, action: Callable[[], None]) -> None:
        """Do ``action`` when all of the content was verified; now if it was."""
        if self._ahead is None:
            action()
        else:
            self._when_whole.append(action)

    def finish(self) -> None:
        """Wait for the verdict over all of the content, where that has not fallen; a refusal is
        noted in :attr:`failure`. Calling it again does nothing."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return
        try:
            ahead.finish()
            for action in self._when_whole:
                action()
        except IntegrityError as error:
            self._note(error)
        finally:
            if not self._is_part:
                ahead.close()

    def __str__(self) -> str:
        # Keras asks for the end of it, and would fetch a URL anew: bytes that nobody has checked.
        return self.path.replace("://", ":/")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}
        self._position = max(0, base[whence] + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self.size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        try:
            data = self._content.read(self._position, wanted)
        except IntegrityError as error:
            self._note(error)
            raise
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        view = view[: max(0, self.size - self._position)]
        try:
            self._content.read_into(self._position, view)
        except IntegrityError as error:
            self._note(error)
            raise
        self._position += len(view)
        return len(view)

    def close(self) -> None:
        """Close it, and first the ``h5py.File`` over it, which Keras leaves open after an error.

        One still open at interpreter exit calls back into what is gone by then, and crashes.
        """
        over, self.over = self.over, None
        try:
            for member in self._members:
                member.close()
            if over is not None:
                over.close()
            # Not where somebody wants to end it now.
            if not self._is_part and isinstance(sys.exception(), Exception | None):
                self.finish()
        finally:
            if not self.closed:
                if self._ahead is not None and not self._is_part:
                    self._ahead.close()
                if self._lease is not None:
                    self._lease.release()
                self._model.close()
            super().close()

    def _note(self, error: IntegrityError) -> None:
        error.path = error.path or self.path
        if isinstance(error, ChecksumMismatchError):
            error.container = error.container or self._model.container
        self.failure = self.failure or error


class VerifiedMember(VerifiedFile):
    """A part of a verified file: whatever is refused of it is a failure of the whole."""

    def __init__(
        self, model: ModelFile, content: Content, failed: Callable[[IntegrityError], None]
    ) -> None:
        """Made by :meth:`VerifiedFile.member`; ``failed`` is told what was refused."""
        super().__init__(model, content)
        self._failed = failed

    def close(self) -> None:
        """Close it and the ``h5py.File`` over it, and not what it is a part of."""
        over, self.over = self.over, None
        if over is not None:
            over.close()
        io.RawIOBase.close(self)

    def _note(self, error: IntegrityError) -> None:
        self._failed(error)


def content_of(verified: Verified) -> Content:
    """The content of ``verified``, a single file, as it was verified or is as it is read."""
    return HeldContent.of(verified) if verified.ahead is None else verified.ahead


class HeldContent:
    """A content that was checked: as it is while a lease keeps it so, else checked again."""

    def __init__(self, content: Content, seal: Seal, lease: ReadLease) -> None:
        self._content = content
        self._checker = ChunkChecker.under(seal, content)
        self._lease = lease

    @classmethod
    def of(cls, verified: Verified) -> HeldContent:
        """That of ``verified``, a single file."""
        (lease,) = verified.leases
        return cls(verified.model.content, verified.model.seal, lease)

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self._content.size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``offset``; raises as :meth:`ChunkChecker.read_into`."""
        if self._lease.keeps:
            self._content.read_into(offset, buffer)
            # Asked again after the read: a writer may have got through in between.
            if self._lease.keeps:
                return
        self._checker.read_into(offset, buffer)

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``; raises as :meth:`read_into`."""
        if self._lease.keeps:
            data = self._content.read(offset, size)
            if self._lease.keeps:
                return data
        return self._checker.read(offset, size)
