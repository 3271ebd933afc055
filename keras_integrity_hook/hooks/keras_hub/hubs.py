# SPDX-License-Identifier: Apache-2.0
"""Presets on hubs and behind URLs: gathered by their seal, with KerasHub's own downloads.

KerasHub downloads a preset file by file, each when it is needed: from Kaggle, Hugging Face or
ModelScope, and from stores that TensorFlow knows. The seal is asked for first. It lists the rest:
configuration, tokenizer and weights, which are downloaded in the same way, into the same caches,
and lie in one directory then that can be checked as a whole.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from keras_integrity_hook import settings
from keras_integrity_hook.containers.file_set import name_of
from keras_integrity_hook.containers.kinds import KERAS_HUB_PRESET, SIGNATURE_NAME, Place
from keras_integrity_hook.containers.opening import open_set
from keras_integrity_hook.errors import MalformedSealError
from keras_integrity_hook.files import entry_names, local_copies, temporary
from keras_integrity_hook.loading import remote_sets

_UTILITIES = "keras_hub.src.utils.preset_utils"
_WEIGHTS = ("model.weights.h5", "task.weights.h5", "model.weights.json")


def url_of(preset: object) -> str | None:
    """The URL of what KerasHub would download for ``preset``; None for a directory of the user's,
    and for what is no preset at all."""
    if not isinstance(preset, str):
        return None
    utilities = sys.modules[_UTILITIES]
    if preset in utilities.BUILTIN_PRESETS:
        return str(utilities.BUILTIN_PRESETS[preset].get("kaggle_handle", "")) or None
    scheme, mark, _ = preset.partition("://")
    known = {"kaggle", "hf", "modelscope", *utilities.tf_registered_schemes()}
    return preset if mark and scheme.lower() in known - {"file", ""} else None


@contextlib.contextmanager
def gathered(url: str) -> Iterator[Place | None]:
    """The preset at ``url`` in a private directory, called by the URL; None where it has no seal.

    Raises:
        IntegrityError: its seal alone is enough to refuse it.
        FileNotFoundError: a file that its seal lists is not there; and what KerasHub's downloads
            raise.
    """
    get_file = sys.modules[_UTILITIES].get_file
    try:
        seal = str(get_file(url, KERAS_HUB_PRESET.seal))
    except FileNotFoundError:
        yield None
        return
    with temporary.private_folder() as above:
        folder = os.path.join(above, "preset")
        os.mkdir(folder, 0o700)
        place = Place(KERAS_HUB_PRESET, folder, "")
        with local_copies.standing_for(url, folder):
            _link(seal, folder, place.seal)
            if not _is_signed_beside(url, folder):
                remote_sets.refuse_by_seal(url, place)
            for name in _listed(url, place):
                with contextlib.suppress(FileNotFoundError):  # the check will say so
                    _link(str(get_file(url, name)), folder, name)
            yield place


def downloads_of_weights(url: str) -> list[str]:
    """Where the weights of the preset at ``url`` will lie: one warning is enough for all of it."""
    try:
        folder = os.path.dirname(str(sys.modules[_UTILITIES].get_file(url, "config.json")))
    except FileNotFoundError:
        return []
    return [os.path.join(folder, name) for name in _WEIGHTS]


def _is_signed_beside(url: str, folder: str) -> bool:
    """Whether a detached signature, where one may count, is there and was taken along."""
    if not any(demands.needs_signatures for demands in settings.at_each_name(url)):
        return False
    try:
        signature = sys.modules[_UTILITIES].get_file(url, SIGNATURE_NAME)
    except FileNotFoundError:
        return False
    _link(str(signature), folder, SIGNATURE_NAME)
    return True


def _listed(url: str, place: Place) -> list[str]:
    """The files that the seal lists. Raises MalformedSealError, as :func:`open_set` and for a name
    that leads elsewhere."""
    with open_set(url, place, hold=False) as model:
        members = () if model.seal is None else model.seal.statement.files
        names = [name_of(place, member.name) for member in members]
    for name in names:
        if not entry_names.is_below(name):
            raise MalformedSealError("the seal lists a file outside the preset", path=url)
    return names


def _link(file: str, folder: str, name: str) -> None:
    """Let ``name`` in ``folder`` be the downloaded ``file``, which is opened once, by the check."""
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    os.symlink(os.path.realpath(file), path)
