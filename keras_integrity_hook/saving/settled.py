# SPDX-License-Identifier: Apache-2.0
"""Open a model and the seal that belongs to it, while others may be saving it anew."""

from __future__ import annotations

import os

from keras_integrity_hook.containers import sidecar
from keras_integrity_hook.containers.kinds import SIDECAR, Place
from keras_integrity_hook.containers.model_file import ModelFile, Seal
from keras_integrity_hook.containers.opening import is_in_place, open_model, seal_beside
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files import local_copies
from keras_integrity_hook.files.target import real_path
from keras_integrity_hook.saving import commit
from keras_integrity_hook.settings import Store

_ATTEMPTS = 100  # a program that saves without a pause can spoil many of them


def store_of(seal: Seal) -> Store:
    """Where the ``seal`` of a single file was found."""
    return Store.EMBEDDED if seal.sidecar is None else Store.SIDECAR


def place_of(path: str) -> Place:
    """Where the file that ``path`` names lies, and its sidecar."""
    path = local_copies.copy_of(path)
    real = real_path(path) if os.path.islink(path) else path
    folder, name = os.path.split(real)
    return Place(SIDECAR, folder or ".", name)


def open_settled(path: str | os.PathLike[str], *, fd: int | None = None) -> ModelFile:
    """:func:`open_model`, of a model and a sidecar that belong together.

    An interrupted save is finished first, and a model that was saved anew between the opening of
    the one and the other is opened again. A file with a seal in it needs none of that.

    Args:
        fd: as of :func:`open_model`.

    Raises:
        IntegrityError: as :func:`open_model`.
    """
    name = os.fsdecode(path)
    for _ in range(_ATTEMPTS):
        try:
            model = open_model(name, fd=fd)
        except IntegrityError:
            if not commit.finish_interrupted(place_of(name)):
                raise
            continue
        if model.files is not None or _is_sealed_inside(model):
            return model
        if is_settled(model):
            return model
        if fd is not None and not is_in_place(model):
            return model.without_seal()  # what lies there belongs to another file
        model.close()
    return open_model(name, fd=fd)


def _is_sealed_inside(model: ModelFile) -> bool:
    return model.seal is not None and store_of(model.seal) is Store.EMBEDDED


def is_settled(model: ModelFile) -> bool:
    """Whether model and sidecar, or the absence of one, lay at their paths at one moment.

    The order of the questions is what proves it. A save that was half done when the seal was looked
    for is still pending at the first question, or has put its seal there for the second to see. One
    that took that away again meanwhile is pending at the third, or has replaced the model.
    """
    place = place_of(model.path)
    return (
        not commit.finish_interrupted(place)
        and _has_same_seal(model)
        and not commit.finish_interrupted(place)
        and is_in_place(model)
    )


def _has_same_seal(model: ModelFile) -> bool:
    beside = model.seal.sidecar if model.seal else None
    if beside is not None:
        return sidecar.is_unchanged(beside)
    try:
        return seal_beside(model) is None
    except IntegrityError:
        return False
