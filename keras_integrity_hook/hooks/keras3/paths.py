# SPDX-License-Identifier: Apache-2.0
"""Which arguments of Keras are local paths, and the verified file at one."""

from __future__ import annotations

import errno
import importlib
import os
import re
from typing import Any

from keras_integrity_hook.errors import UnreadableFileError
from keras_integrity_hook.hooks import calls
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.policy import admission
from keras_integrity_hook.verification.verified_file import VerifiedFile

_DECIDES = {"keras": "keras.src.utils.file_utils", "tf_keras": "tf_keras.src.saving.saving_lib"}


def kept_in_place(wrapped: Function, args: Args, kwargs: Kwargs, path: str) -> dict[str, Any]:
    """The argument to replace where Keras would copy what is at ``path``: so spelt that it does
    not.

    Keras takes ``file://`` and paths below ``/gcs``, ``/hdfs`` and the like for remote, and loads
    a copy: no rule for where the model lies is for that.

    Args:
        path: the local path that the argument ``filepath`` is.

    Raises:
        UnsealedModelError: no such file, but Keras may know of one; and a seal is required.
    """
    package = wrapped.__module__.partition(".")[0]
    is_remote = importlib.import_module(_DECIDES[package]).is_remote_path
    if not is_remote(calls.bind(wrapped, args, kwargs)["filepath"]):
        return {}
    if not os.path.lexists(path):
        admission.refuse_remote(path)
        return {}
    plain = re.sub("/+", "/", path)
    return {"filepath": f"/.{plain}" if is_remote(plain) else plain}


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
