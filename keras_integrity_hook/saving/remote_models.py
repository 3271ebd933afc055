# SPDX-License-Identifier: Apache-2.0
"""What was saved to a URL, as it lies there now: fetched to be looked at, and loaded by nobody."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from keras_integrity_hook.containers.kinds import SEAL_SUFFIX
from keras_integrity_hook.containers.model_file import ModelFile
from keras_integrity_hook.containers.opening import open_set
from keras_integrity_hook.remote import folders, set_fetching, sources, spool, urls
from keras_integrity_hook.saving import settled


@contextlib.contextmanager
def opened(url: str) -> Iterator[ModelFile]:
    """The model at ``url``, with its seal.

    Raises:
        FileNotFoundError, IsADirectoryError: nothing is there, or a directory that is no model.
        IntegrityError: it is malformed, or the store cannot be asked.
    """
    place = folders.place_of(url)
    if place is not None:
        with (
            set_fetching.fetched(place) as local,
            open_set(urls.shown(url), local, hold=True) as model,
        ):
            yield model
        return
    with sources.open_source(url) as source, spool.fetched(source) as path:
        name = os.path.basename(path) + SEAL_SUFFIX
        beside = sources.open_companion(urls.beside(url, name))
        if beside is not None:
            with beside:
                spool.fetch(beside, path + SEAL_SUFFIX)
        with settled.open_settled(urls.shown(url)) as model:
            yield model
