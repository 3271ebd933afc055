# SPDX-License-Identifier: Apache-2.0
"""Local files as Keras is given them: not copied first, and verified."""

from __future__ import annotations

import os
from typing import Any

from keras_integrity_hook.files.location import Kind, Location
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.policy import admission
from keras_integrity_hook.verification.verified_file import VerifiedFile


def kept_in_place(source: Location) -> dict[str, Any]:
    """The argument to replace where Keras would copy what is at ``source``: so spelt that it does
    not.

    Keras takes ``file://`` and paths below ``/gcs``, ``/hdfs`` and the like for remote, and loads
    a copy: no rule for where the model lies is for that.

    Raises:
        UnsealedModelError: no such file, but Keras may know of one; and a seal is required.
    """
    if source.kind is not Kind.PATH or not source.is_copied:
        return {}
    if not os.path.lexists(source.path):
        for name in {source.path, source.text}:
            admission.refuse_remote(name)
        return {}
    return {"filepath": source.in_place}


def open_file(source: Location) -> VerifiedFile:
    """The verified content of a local file, by its path or of the descriptor that is open.

    Raises:
        IntegrityError: as ``open_verified``.
        FileNotFoundError: as :func:`open_path`.
    """
    if source.kind is Kind.OPEN_FILE:
        return load.open_verified(source.path, fd=source.fd)
    return open_path(source.path)


def open_path(path: str) -> VerifiedFile:
    """The verified file.

    Where nothing is there the error is the one the wrapped function would raise: callers test for
    it. The function itself is not called, it might find what has appeared meanwhile.

    Raises:
        IntegrityError: as ``open_verified``.
        FileNotFoundError, NotADirectoryError: nothing is there.
    """
    return load.open_verified(path)
