# SPDX-License-Identifier: Apache-2.0
"""``load_model`` of a URL that names no single file: an unzipped model, a checkpoint of Orbax.

Keras looks at such a URL by TensorFlow, and fails where that is not there; and it opens the files
below it as local ones. So the function that loads directories is called at once: the guard before
that one fetches them.
"""

from __future__ import annotations

import errno
import functools
import os
import sys
from typing import Any

from keras_integrity_hook.files.location import Kind
from keras_integrity_hook.hooks import calls, remote_files
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.hooks.keras3 import guards, orbax
from keras_integrity_hook.remote import sources, urls

_PASSED_ON = {"custom_objects": None, "compile": True, "safe_mode": True}


def with_directories(guard: Function) -> Function:
    """``guard`` of ``saving_api.load_model``, which is not asked about directories at URLs."""

    @functools.wraps(guard)
    def guard_of_files(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        source = calls.location_argument(wrapped, args, kwargs, reader=guards.reader_of_models())
        if source.kind is not Kind.REMOTE or remote_files.names_file(source):
            return guard(wrapped, instance, args, kwargs)
        loader = _loader_of(source.text)
        if loader is None:
            return guard(wrapped, instance, args, kwargs)
        given = calls.bind(wrapped, args, kwargs)
        return loader(source.text, *(given.get(name, _PASSED_ON[name]) for name in _PASSED_ON))

    return guard_of_files


def _loader_of(url: str) -> Function | None:
    """What of Keras loads the directory at ``url``; None where it is none, or this version of Keras
    loads no such.

    Raises:
        FileNotFoundError: nothing is there; Keras would say that it does not know the scheme.
    """
    try:
        names = {entry.url.rpartition("/")[2] for entry in sources.listing(url)}
    except (FileNotFoundError, NotADirectoryError):
        if not sources.exists(url):
            absent = os.strerror(errno.ENOENT)
            raise FileNotFoundError(errno.ENOENT, absent, urls.shown(url)) from None
        return None
    if "config.json" in names:
        library = sys.modules["keras.src.saving.saving_lib"]
        return getattr(library, "_load_model_from_dir", None)
    if orbax.is_checkpoint_at_url(url):
        api = sys.modules["keras.src.saving.saving_api"]
        return getattr(api, "_load_model_from_orbax_checkpoint", None)
    return None
