# SPDX-License-Identifier: Apache-2.0
"""Which objects below a URL are those of a set, by their names.

A store is a stranger: what it calls an object becomes the name of a local file, so a name that
leads anywhere else is refused, and there is a limit for all of them together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from keras_integrity_hook.containers.kinds import SIGNATURE_NAME, VOUCHERS, Place
from keras_integrity_hook.errors import DamagedFileError, LimitExceededError
from keras_integrity_hook.files import entry_names
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.remote import sources, urls
from keras_integrity_hook.remote.sources import Entry

STAGED = ".keras-integrity-upload-"
"""How the name of an object begins that is on its way to another name."""


def present(place: Place) -> dict[str, Entry]:
    """The objects of the set at ``place``, by their names below its directory, which is a URL.

    Of a whole directory those that a loader could read, its seal and its signature; of a stem what
    a save of it writes, and what vouches for it. Empty where nothing is there.

    Raises:
        DamagedFileError: the store has a name that leads elsewhere.
        LimitExceededError: there are more than a set may have, or deeper ones.
        RemoteError: the store cannot be asked.
    """
    found: dict[str, Entry] = {}
    for name, entry in _entries(place):
        if _is_of_set(place, name):
            found[name] = entry
            if len(found) > LIMITS.set_files:
                raise LimitExceededError(
                    f"the model has over {LIMITS.set_files} files", path=urls.shown(place.path)
                )
    return found


def heads_of(place: Place, names: Collection[str]) -> list[str]:
    """Those of ``names`` whose presence says that the set at ``place`` is whole.

    They are what its loader asks for first, and go up last.
    """
    return [name for name in place.heads if name in names]


def _is_of_set(place: Place, name: str) -> bool:
    if name.rpartition("/")[2].startswith(STAGED):
        return False
    if place.kind.whole_directory:
        return name in (place.seal, SIGNATURE_NAME) or place.kind.is_read(name)
    return place.owns(name) or name in (SIGNATURE_NAME, *(place.stem + end for end in VOUCHERS))


def _entries(place: Place) -> Iterator[tuple[str, Entry]]:
    """Names below the set's directory, and what is there."""
    top = urls.below(place.directory, "")
    look = sources.walk if place.kind.whole_directory else sources.listing
    try:
        for count, entry in enumerate(look(place.directory)):
            if count >= LIMITS.set_entries:
                cause = f"the directory holds over {LIMITS.set_entries} entries"
                raise LimitExceededError(cause, path=urls.shown(place.path))
            if not entry.is_directory:
                yield _name_below(top, entry.url), entry
    except (FileNotFoundError, NotADirectoryError):
        return


def _name_below(top: str, url: str) -> str:
    """The name of the object ``url`` below ``top``. Raises DamagedFileError."""
    name = url.removeprefix(top)
    steps = name.split("/")
    if not url.startswith(top) or not entry_names.is_below(name):
        raise DamagedFileError("the store has an object with an odd name", path=urls.shown(url))
    if len(steps) > LIMITS.set_depth or len(name) > LIMITS.set_name:
        cause = "the store has an object with too long a name"
        raise LimitExceededError(cause, path=urls.shown(top))
    return name
