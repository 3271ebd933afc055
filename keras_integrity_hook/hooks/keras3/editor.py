# SPDX-License-Identifier: Apache-2.0
"""What stands before ``KerasFileEditor``, which opens and writes weights by itself (Keras 3.6 on).

Its ``.weights.h5`` files come through the store, see :func:`guards.open_store`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keras_integrity_hook.files import local_copies, location
from keras_integrity_hook.hooks import calls, remote_files
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.hooks.decorators import deserializes_nothing
from keras_integrity_hook.hooks.keras3 import paths
from keras_integrity_hook.hooks.keras3.members import checked_with_its_set
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.saving import pipeline as save
from keras_integrity_hook.saving import seal_writer

READER = location.KERAS_WEIGHTS
"""The editor takes paths alone; for it URLs are read as for ``load_weights``."""


@deserializes_nothing
def open_file(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``KerasFileEditor.__init__``: it reads everything here, and never closes its archive."""
    path = calls.path_to_load(wrapped, args, kwargs, reader=READER)
    with load.surfacing_failures(), checked_with_its_set(path) as where:
        if where == path:
            return wrapped(*args, **kwargs)
        return calls.call_with(wrapped, args, kwargs, filepath=where)


def say_what_is_open(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``KerasFileEditor._generate_filepath_info``: of a copy it is the URL that is told."""
    instance.filepath = local_copies.name_of(instance.filepath)
    return wrapped(*args, **kwargs)


def open_archive(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``zipfile.ZipFile`` as the editor calls it: over the verified archive."""
    file, *rest = args
    found = location.of(file, location.PYTHON)
    calls.refuse_uncheckable(found)
    if not found.is_file:
        return wrapped(*args, **kwargs)
    return wrapped(paths.open_file(found), *rest, **kwargs)


def save_file(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``KerasFileEditor.save``: what was edited is a new file, with a seal of its own."""
    path = remote_files.destination(wrapped, args, kwargs)
    if path is None or not path.endswith(".weights.h5"):
        return wrapped(*args, **kwargs)
    variables = list(_variables(instance.weights_dict))
    size = sum(int(value.nbytes) for _, value in variables if hasattr(value, "nbytes"))
    return save.save_sealed(
        path,
        lambda where: calls.call_with(wrapped, args, kwargs, filepath=where),
        user_block=seal_writer.user_block_estimate([name for name, _ in variables], size),
    )


def _variables(weights: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every variable with its path, as they will be written."""
    for name, value in weights.items():
        if isinstance(value, dict):
            yield from _variables(value, f"{above}/{name}")
        else:
            yield f"{above}/{name}", value
