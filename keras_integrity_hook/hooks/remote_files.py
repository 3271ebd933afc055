# SPDX-License-Identifier: Apache-2.0
"""Single files behind URLs, put around the guards of loads: these are given a private copy.

What Keras would do itself is to copy the file to a temporary place, or to fail; in a Keras without
TensorFlow, always to fail. The guard inside knows nothing of it: the copy is called by its URL.
"""

from __future__ import annotations

import errno
import functools
import os
from typing import Any

from keras_integrity_hook.files import location
from keras_integrity_hook.files.location import Kind, Reader
from keras_integrity_hook.hooks import calls
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs

FILES = (".keras", ".h5", ".hdf5")
"""The names by which Keras tells single files from everything else."""


def from_anywhere(
    guard: Function, argument: str = "filepath", reader: Reader = location.KERAS
) -> Function:
    """``guard`` of a load, given a private copy where the caller names a URL of a single file."""

    @functools.wraps(guard)
    def guard_of_copy(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        source = calls.location_argument(wrapped, args, kwargs, argument, reader)
        if not names_file(source):
            return guard(wrapped, instance, args, kwargs)
        from keras_integrity_hook.loading import fetching

        def load(local: str) -> Any:
            given = calls.bound_with(wrapped, args, kwargs, **{argument: local})
            return guard(wrapped, instance, given.args, given.kwargs)

        try:
            with fetching.copy_of(source.text) as local:
                return load(local)
        except IsADirectoryError:
            return guard(wrapped, instance, args, kwargs)
        except FileNotFoundError as error:
            raise _as_the_store_says(error) from None

    return guard_of_copy


def destination(wrapped: Function, args: Args, kwargs: Kwargs) -> str | None:
    """Where a save of a single file goes, the argument ``filepath``: a local path or a URL; None
    for what is neither, and is left to the original."""
    found = calls.location_argument(wrapped, args, kwargs, reader=location.TENSORFLOW)
    if found.kind is Kind.PATH:
        return found.path
    is_hub = found.text.startswith(location.KERAS_HUB.hubs)
    return found.text if names_file(found) and not is_hub else None


def refuse_existing(url: str) -> None:
    """Raise FileExistsError where something is at ``url``, which is not to be overwritten."""
    from keras_integrity_hook.remote import sources, urls

    if sources.exists(url):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), urls.shown(url))


def names_file(source: location.Location) -> bool:
    """Whether ``source`` is the URL of a single file, by its name."""
    if source.kind is not Kind.REMOTE:
        return False
    from keras_integrity_hook.remote import urls

    url = urls.split(source.text)
    # hf://user/repository is all of a repository, whatever that is called: Keras downloads it.
    is_repository = url.scheme == "hf" and url.path.count("/") < 2
    # Keras looks at the end of the whole text, be it that of a query.
    return (url.name.endswith(FILES) or source.text.endswith(FILES)) and not is_repository


def _as_the_store_says(error: FileNotFoundError) -> Exception:
    """TensorFlow's error where that has looked, which is what callers of Keras test for."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, Exception) and type(behind).__module__.startswith("tensorflow."):
            return behind
        behind = behind.__cause__
    return error
