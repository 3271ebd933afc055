# SPDX-License-Identifier: Apache-2.0
"""The bytes of an open model as files that only memory holds, sealed: nobody can change them.

They are copied first and checked afterwards, so that what was checked is what a confined process
gets, whatever happens to the model meanwhile (CWE-367). It gets them without a path: Landlock lets
no file of the machine be opened there, and files that only memory holds belong to none.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from keras_integrity_hook.containers.copying import copy_content
from keras_integrity_hook.containers.formats import FORMATS
from keras_integrity_hook.containers.model_file import ModelFile, SealedModel
from keras_integrity_hook.containers.opening import errors_of
from keras_integrity_hook.errors import UnreadableFileError
from keras_integrity_hook.files import portable
from keras_integrity_hook.isolation.protocol import close_all
from keras_integrity_hook.sealing.content import Content, FileContent, JoinedContent
from keras_integrity_hook.verification import digests
from keras_integrity_hook.verification.holding import Verified
from keras_integrity_hook.verification.verified_file import HeldContent

_NAME = "model"


class ModelFiles(NamedTuple):
    """The verified bytes of a model, for a confined process.

    Attributes:
        name: what is loaded, the file or the directory; relative.
        files: descriptors by their names, relative; read-only or sealed.
    """

    name: str
    files: dict[str, int]

    def close(self) -> None:
        """Close every descriptor."""
        close_all(list(self.files.values()))
        self.files.clear()


def copied(model: ModelFile) -> ModelFiles:
    """The bytes of ``model``, which stays open and as it is; to be closed by the caller.

    Where the model has a seal the copy is checked against it.

    Raises:
        ChecksumMismatchError, DamagedFileError: it does not match its seal.
        UnreadableFileError: there is no memory for a copy.
    """
    with _made(model) as files:
        if model.files is None:
            content = _put(files, files.name, model.content)
        else:
            parts = model.files.parts
            content = JoinedContent(
                [_put(files, f"{_NAME}/{part.name}", part.content) for part in parts]
            )
        if isinstance(model, SealedModel):
            digests.check_members(model)
            with errors_of(model.path):
                digests.check_content(model.with_seal(model.seal, content))
    return files


def of_verified(verified: Verified) -> ModelFiles:
    """The same of a model that was checked and is about to be loaded here, too: it stays as it is.

    Raises:
        ChecksumMismatchError: it was changed meanwhile.
        UnreadableFileError: there is no memory for a copy.
    """
    model = verified.model
    with _made(model) as files:
        if model.files is None:
            _put(files, files.name, HeldContent.of(verified))
        else:
            for part in model.files.parts:
                _put(files, f"{_NAME}/{part.name}", part.content)
            verified.check_again()
    return files


@contextlib.contextmanager
def _made(model: ModelFile) -> Iterator[ModelFiles]:
    """Files to be filled; closed again, and an error of ours raised, where that fails."""
    files = ModelFiles(_name_of(model), {})
    try:
        yield files
    except OSError as error:
        files.close()
        cause = f"no copy of it could be made in memory ({error.strerror})"
        raise UnreadableFileError(cause, path=model.path) from error
    except BaseException:
        files.close()
        raise


def _name_of(model: ModelFile) -> str:
    """What a loader is to call it: Keras decides by the end of the name how to read a file."""
    if model.files is not None:
        return _NAME
    return _NAME + FORMATS[model.container].suffixes[0]


def _put(files: ModelFiles, name: str, content: Content) -> Content:
    fd = os.memfd_create("keras-integrity", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    files.files[name] = fd
    copy_content(content, fd)
    portable.seal_memory(fd, "SEAL", "SHRINK", "GROW", "WRITE")
    return FileContent(fd, 0, content.size)
