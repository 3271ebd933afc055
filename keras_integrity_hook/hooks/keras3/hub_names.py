# SPDX-License-Identifier: Apache-2.0
"""A model on a hub (``hf://``) is downloaded to a directory by Keras, and is called by its URL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from keras_integrity_hook.files import local_copies

_hub: ContextVar[str] = ContextVar("_hub", default="")


@contextlib.contextmanager
def on_hub(url: str) -> Iterator[None]:
    """While Keras downloads the model ``url``, and loads the directory that it lies in then."""
    token = _hub.set(url)
    try:
        yield
    finally:
        _hub.reset(token)


@contextlib.contextmanager
def called_as_on_hub(path: str) -> Iterator[str]:
    """What the model in the directory ``path`` is called: by its URL where it comes from a hub."""
    url = _hub.get()
    if not url:
        yield path
        return
    with local_copies.standing_for(url, path):
        yield url
