# SPDX-License-Identifier: Apache-2.0
"""Data for a model out of a file, to make a contract of or to hold against one."""

from __future__ import annotations

import os
from typing import Any

from keras_integrity_hook.errors import UnreadableFileError

_KINDS = ".npy, .npz, .csv and .parquet"


def read(path: str) -> Any:
    """What is in the file at ``path``: an array of ``.npy``, a mapping of names to arrays of
    ``.npz``, or a frame of pandas.

    Nothing is unpickled.

    Raises:
        UnreadableFileError: there is no such file, it holds something else, or what reads it is not
            installed.
    """
    readers = {".npy": _numpy, ".npz": _numpy, ".csv": _csv, ".parquet": _parquet}
    reader = readers.get(os.path.splitext(path)[1].lower())
    if reader is None:
        raise _unreadable(path, f"its suffix is none of those that are read, {_KINDS}")
    try:
        return reader(path)
    except ImportError as error:
        raise _unreadable(path, f"{error.name or 'what reads it'} is not installed") from None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except Exception as error:  # of each reader its own
        raise _unreadable(path, f"it cannot be read ({type(error).__name__}: {error})") from error


def by_columns(frame: Any) -> dict[str, Any]:
    """The columns of a frame as arrays, by name."""
    return {str(name): frame[name].to_numpy() for name in frame.columns}


def _numpy(path: str) -> Any:
    import numpy as np

    found = np.load(path, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return found
    with found:
        return {name: found[name] for name in found.files}


def _csv(path: str) -> Any:
    import pandas as pd

    return pd.read_csv(path)


def _parquet(path: str) -> Any:
    import pandas as pd

    return pd.read_parquet(path)


def _unreadable(path: str, cause: str) -> UnreadableFileError:
    return UnreadableFileError(cause, path=path, remedy=f"Data is read from {_KINDS} files.")
