# SPDX-License-Identifier: Apache-2.0
"""``tf.compat.v1.saved_model.Builder`` of a URL: what it writes step by step goes up as a whole.

It writes the variables when a graph is added, and ``saved_model.pb`` in the end. All of it gets
into a private directory, which lives as long as the builder, and ``save`` seals and uploads it.
"""

from __future__ import annotations

import os
from typing import Any

from keras_integrity_hook.containers.kinds import SAVED_MODEL
from keras_integrity_hook.files import temporary
from keras_integrity_hook.hooks import calls
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.hooks.tensorflow import logs
from keras_integrity_hook.remote import sources, urls
from keras_integrity_hook.saving import pipeline as save


def begin(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs, url: str) -> None:
    """``_SavedModelBuilder.__init__`` for ``url``.

    Raises:
        AssertionError: something is there, as the original says of a directory that is not empty.
        RemoteError: the store cannot be asked.
    """
    if sources.is_directory(url) and next(iter(sources.listing(url)), None) is not None:
        raise AssertionError(
            f"Export directory {urls.shown(url)} already exists, and isn't empty. Choose a "
            "different one, or delete all that is in it."
        )
    folder = os.path.join(temporary.folder_of(instance), "model")
    calls.call_with(wrapped, args, kwargs, export_dir=folder)


def finish(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs, url: str) -> bytes:
    """``_SavedModelBuilder.save``: the path of what says that the model is there, at the URL."""
    private = str(instance._export_dir)

    def write(where: str) -> bytes:
        # More may be added and saved again, so the builder keeps what it has.
        temporary.link_directory(private, where)
        instance._export_dir = where
        try:
            with logs.speaking_of(urls.shown(url), where):
                return os.fsencode(wrapped(*args, **kwargs))
        finally:
            instance._export_dir = private

    written = save.save_directory_sealed(url, SAVED_MODEL, write)
    return os.fsencode(urls.below(url, os.path.basename(os.fsdecode(written))))
