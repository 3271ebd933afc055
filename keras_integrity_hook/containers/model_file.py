# SPDX-License-Identifier: Apache-2.0
"""An open model and its decoded seal: what everything after the opening works with."""

from __future__ import annotations

import os
from dataclasses import dataclass

from keras_integrity_hook.containers.file_set import OpenSet
from keras_integrity_hook.containers.sidecar import Sidecar
from keras_integrity_hook.files.closing import Closing
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.sealing.envelope import Envelope
from keras_integrity_hook.sealing.statement import Statement


@dataclass(frozen=True, slots=True)
class Seal:
    """A decoded seal: what it says, who signed, and where it stands in the file (bytes).

    ``sidecar`` is the file that it was found in where that is one beside a single model file.
    """

    statement: Statement
    envelope: Envelope
    table: bytes
    offset: int
    size: int
    sidecar: Sidecar | None = None


class Descriptor:
    """A descriptor that is closed once, however many values speak of the file behind it."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        """Take over ``fd``; -1 for none."""
        self.fd = fd

    def close(self) -> None:
        """Close it; calling it again does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class ModelFile(Closing):
    """One open model; its descriptors are the only way its bytes are reached from here on.

    Where it has a seal it is a :class:`SealedModel`, see :meth:`under`. Values made from it share
    its descriptors, and to close one of them closes all.

    Attributes:
        path: as the user named it.
        descriptor: of a single file, read-only.
        container: ``"keras-zip"``, ``"hdf5"``, or one of ``kinds.KINDS``.
        content: the original content.
        seal: the decoded seal, or None for an unsealed model.
        files: the open files of a set, None for a single file.
    """

    path: str
    descriptor: Descriptor
    container: str
    content: Content
    seal: Seal | None
    files: OpenSet | None = None

    @property
    def fd(self) -> int:
        """The descriptor of a single file; -1 for a set, and when it is closed."""
        return self.descriptor.fd

    def under(self, seal: Seal | None) -> ModelFile:
        """The same open model under ``seal`` if that is one."""
        return self if seal is None else self.with_seal(seal)

    def with_seal(self, seal: Seal, content: Content | None = None) -> SealedModel:
        """The same open model under ``seal``, its content taken for ``content`` if that is given.

        Bytes that something else vouches for are so pinned: see :mod:`verification.pinning`.
        """
        covered = self.content if content is None else content
        return SealedModel(self.path, self.descriptor, self.container, covered, seal, self.files)

    def without_seal(self) -> ModelFile:
        """The same open model as one that has no seal."""
        return ModelFile(self.path, self.descriptor, self.container, self.content, None, self.files)

    def close(self) -> None:
        """Close what is open; calling it again does nothing."""
        self.descriptor.close()
        if self.files is not None:
            self.files.close()


@dataclass(frozen=True, slots=True)
class SealedModel(ModelFile):
    """An open model that has a seal; whether it matches is another question."""

    seal: Seal


def single_file(path: str, fd: int, container: str, content: Content) -> ModelFile:
    """The open file ``fd``, taken over, with no seal so far."""
    return ModelFile(path, Descriptor(fd), container, content, None)


def set_of_files(path: str, files: OpenSet) -> ModelFile:
    """The open set ``files``, taken over, with no seal so far."""
    return ModelFile(path, Descriptor(-1), files.place.kind.container, files.content, None, files)
