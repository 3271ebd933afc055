# SPDX-License-Identifier: Apache-2.0
"""An open model and its decoded seal: what everything after the opening works with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import TracebackType

from keras_integrity_hook.containers.file_set import OpenSet
from keras_integrity_hook.containers.sidecar import Sidecar
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


@dataclass(slots=True)
class ModelFile:
    """One open model; its descriptors are the only way its bytes are reached from here on.

    Attributes:
        path: as the user named it.
        fd: read-only descriptor, owned by this object; -1 for a set.
        container: ``"keras-zip"``, ``"hdf5"``, or one of ``set_kinds.KINDS``.
        content: the original content.
        seal: the decoded seal, or None for an unsealed model.
        files: the open files of a set, None for a single file.
    """

    path: str
    fd: int
    container: str
    content: Content
    seal: Seal | None
    files: OpenSet | None = None

    def close(self) -> None:
        """Close what is open; calling it again does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if self.files is not None:
            self.files.close()

    def __enter__(self) -> ModelFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
