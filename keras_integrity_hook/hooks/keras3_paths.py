# SPDX-License-Identifier: Apache-2.0
"""Which arguments of Keras 3 are local paths, and the verified file at one."""

from __future__ import annotations

import errno
import os

from keras_integrity_hook.errors import UnreadableFileError
from keras_integrity_hook.guard import load
from keras_integrity_hook.guard.handoff import VerifiedFile


def open_path(path: str) -> VerifiedFile:
    """The verified file.

    Where nothing is there the error is the one the wrapped function would raise: callers test for
    it. The function itself is not called, it might find what has appeared meanwhile.

    Raises:
        IntegrityError: as ``open_verified``.
        FileNotFoundError: nothing is there.
    """
    try:
        return load.open_verified(path)
    except UnreadableFileError as error:
        if not isinstance(error.__cause__, FileNotFoundError) or os.path.islink(path):
            raise
    # Raised out here, our own error is not behind it: it would surface instead.
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
