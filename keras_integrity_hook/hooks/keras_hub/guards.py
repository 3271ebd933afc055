# SPDX-License-Identifier: Apache-2.0
"""What stands before the methods of KerasHub that read and write presets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from keras_integrity_hook.containers.kinds import KERAS_HUB_PRESET, Place
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files import location
from keras_integrity_hook.hooks import calls, weights
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.hooks.keras_hub import hubs
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.policy import admission, refusal
from keras_integrity_hook.saving import into_directory, seal_writer
from keras_integrity_hook.saving import pipeline as save
from keras_integrity_hook.verification import verified_directory

_unsealed: ContextVar[frozenset[str]] = ContextVar("_unsealed", default=frozenset())


def load_preset(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``from_preset``: hand over a verified directory in place of the user's, or of a download."""
    url = hubs.url_of(_preset_of(wrapped, args, kwargs))
    if url is not None:
        return _load_from_hub(wrapped, args, kwargs, url)
    path = calls.path_to_load(wrapped, args, kwargs, "preset", location.KERAS_HUB)
    # A preset inside another (a task's tokenizer) is opened in the directory that is verified.
    if path is None or verified_directory.is_verified(path):
        return wrapped(*args, **kwargs)
    if not os.path.isdir(path):
        # The original refuses it too, unless it has become a preset when that looks.
        admission.refuse_unsealed(path, "what is no preset")
        return wrapped(*args, **kwargs)
    with load.verified_set(path, Place(KERAS_HUB_PRESET, path, "")) as checked:
        if checked is None:
            return wrapped(*args, **kwargs)
        with load.surfacing_failures(), _speaking_of(path, checked.path):
            return calls.call_with(wrapped, args, kwargs, preset=checked.path)


def _preset_of(wrapped: Function, args: Args, kwargs: Kwargs) -> Any:
    try:
        return calls.bind(wrapped, args, kwargs).get("preset")
    except TypeError:  # for the original to raise
        return None


def _load_from_hub(wrapped: Function, args: Args, kwargs: Kwargs, url: str) -> Any:
    # A preset without a seal that is being loaded: its parts come from the same place.
    if url in _unsealed.get():
        return wrapped(*args, **kwargs)
    with hubs.gathered(url) as place:
        if place is None:
            return _load_unsealed(wrapped, args, kwargs, url)
        with load.verified_set(url, place) as checked:
            where = place.directory if checked is None else checked.path
            with load.surfacing_failures(), _speaking_of(url, where):
                return calls.call_with(wrapped, args, kwargs, preset=where)


def _load_unsealed(wrapped: Function, args: Args, kwargs: Kwargs, url: str) -> Any:
    """KerasHub downloads what it needs, file by file."""
    try:
        admission.refuse_unsealed(url, "the preset")
    except IntegrityError as error:
        refusal.is_refused(error)
        raise
    admission.warn_unsealed(url, *hubs.downloads_of_weights(url))
    token = _unsealed.set(_unsealed.get() | {url})
    try:
        return wrapped(*args, **kwargs)
    finally:
        _unsealed.reset(token)


def save_preset(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``save_to_preset``: adds its files to what the directory holds, and seals it all."""
    path = calls.path_argument(wrapped, args, kwargs, "preset_dir", location.PYTHON)
    if path is None:
        return wrapped(*args, **kwargs)
    return into_directory.save_into_sealed(
        path,
        KERAS_HUB_PRESET,
        lambda where: calls.call_with(wrapped, args, kwargs, preset_dir=where),
    )


def save_lora(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``Backbone.save_lora_weights``: written a value at a time, with no save around it."""
    path = calls.path_argument(wrapped, args, kwargs, reader=location.PYTHON)
    if path is None or not path.endswith(".lora.h5"):
        return wrapped(*args, **kwargs)
    return save.save_sealed(
        path,
        lambda where: calls.call_with(wrapped, args, kwargs, filepath=where),
        user_block=_room_for_lora(instance),
    )


def load_lora(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``Backbone.load_lora_weights``: the store verifies; the weights are restored if it fails."""
    return weights.all_or_nothing(wrapped, args, kwargs, model=instance)


@contextlib.contextmanager
def _speaking_of(path: str, private: str) -> Iterator[None]:
    """KerasHub's errors say which preset lacks what: let that be the user's."""
    try:
        yield
    except Exception as error:
        error.args = tuple(
            one.replace(private, path) if isinstance(one, str) else one for one in error.args
        )
        raise


def _room_for_lora(backbone: Any) -> int:
    names = [f"lora/{index}/vars/lora_kernel" for index in range(len(backbone.layers))]
    return seal_writer.user_block_estimate(names * 2, 0)
