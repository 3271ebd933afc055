# SPDX-License-Identifier: Apache-2.0
"""Errors of bytes: what is damaged, what has no seal, and what cannot get one."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras_integrity_hook.errors.base import IntegrityError
from keras_integrity_hook.texts import printable


class DamagedRange(NamedTuple):
    """A run of bytes of the original content that does not match the seal.

    Attributes:
        start: offset of the first byte, in bytes of the original (unsealed) content.
        stop: offset after the last byte.
    """

    start: int
    stop: int


class DamagedFileError(IntegrityError):
    """The file is neither a plain Keras file nor a well-formed sealed one."""

    code = "damaged-file"
    default_remedy = (
        "Restore the file from a trusted copy or save the model again; do not load this one."
    )


class MalformedSealError(DamagedFileError):
    """There is a seal, but its bytes break a rule of the format."""

    code = "malformed-seal"


class ChecksumMismatchError(IntegrityError):
    """The seal is well formed and the content does not match it.

    Args:
        container: ``"keras-zip"`` or ``"hdf5"``.
        damaged: the damaged ranges of the original content.
        parts: what was damaged in the user's terms, e.g. ``"layers/dense_3/vars/0"``.

    Attributes:
        content_digest: that of the content as it is, ``"sha256:<hex>"``, where all of it was read.
    """

    code = "checksum-mismatch"
    default_remedy = (
        "The file was changed after it was saved: restore it from a trusted copy. If you changed "
        "it on purpose, give it a new seal with 'keras-integrity reseal --reason TEXT PATH'."
    )

    def __init__(  # noqa: PLR0913
        self,
        cause: str,
        *,
        path: str | None = None,
        container: str = "",
        damaged: tuple[DamagedRange, ...] = (),
        parts: tuple[str, ...] = (),
        remedy: str | None = None,
    ) -> None:
        super().__init__(cause, path=path, remedy=remedy)
        self.container = container
        self.damaged = damaged
        self.parts = tuple(printable(part) for part in parts)
        self.content_digest: str | None = None

    def evidence(self) -> dict[str, Any]:
        return {
            "container": self.container,
            "damaged": [list(one) for one in self.damaged],
            "parts": list(self.parts),
            "content_digest": self.content_digest,
        }


class UnsealedModelError(IntegrityError):
    """The file carries no seal and one is required."""

    code = "unsealed"
    default_remedy = (
        "If you trust where it comes from, seal it with 'keras-integrity seal PATH'; "
        "otherwise get a sealed copy."
    )


class NotAModelError(IntegrityError):
    """The file is not in a format Keras writes (empty, text, a Git-LFS pointer, ...)."""

    code = "not-a-model"
    default_remedy = "Check the path, and fetch or save the model file again."


class ExternalReferenceError(IntegrityError):
    """An HDF5 file that makes the reader open other files (CVE-2026-1669 and kin)."""

    code = "external-reference"
    default_remedy = (
        "Bytes outside the checked file would be loaded. Copy the data into one plain HDF5 file "
        "with a tool you trust, and seal that."
    )


class AlreadySealedError(IntegrityError):
    """``seal`` was asked to seal a file that has a seal already."""

    code = "already-sealed"
    default_remedy = "Nothing to do; 'keras-integrity verify PATH' checks it."


class SealWriteError(IntegrityError):
    """A seal could not be written; the file at the destination is as it was."""

    code = "seal-write"
    default_remedy = "Check free space and permissions of the directory."
