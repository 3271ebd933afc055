# SPDX-License-Identifier: Apache-2.0
"""Which set of files a URL names, as :mod:`containers.recognition` tells it of a path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.kinds import SAVED_MODEL, Place
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.remote import sources, urls
from keras_integrity_hook.remote.store import Entry


def place_of(url: str) -> Place | None:
    """The set at ``url``, the first where a directory is several; None for a single file, and for
    what is nothing of a model.

    Raises:
        FileNotFoundError: nothing is there. RemoteError: the store cannot be asked.
    """
    if "?" not in url and not url.endswith("://"):
        url = url.rstrip("/")
    name = urls.split(url).name
    above = urls.beside(url, "").rstrip("/")
    is_directory = sources.is_directory(url)
    if is_directory:
        kind = next(recognition.kinds_of(StoreFolder.of(url)), None)
        if kind is not None:
            return Place(kind, url, "")

    def is_there(other: str) -> bool:
        if other != name:
            return sources.exists(urls.beside(url, other))
        # ram:// takes what another name begins with for a directory.
        return not is_directory and sources.exists(url)

    kind = recognition.kind_of_stem(name, is_there)
    return None if kind is None else Place(kind, above, name)


class StoreFolder:
    """A directory of a store; see :class:`recognition.Folder`."""

    def __init__(self, url: str, files: Mapping[str, Entry], folders: Iterable[str]) -> None:
        """``files`` and ``folders`` are what is in it, by name."""
        self._url, self._files, self._folders = url, files, list(folders)
        self._inner: dict[str, frozenset[str]] = {}

    @classmethod
    def of(cls, url: str) -> StoreFolder:
        """The directory at ``url`` as it is now; raises as :func:`sources.listing`."""
        there = {urls.split(entry.url).name: entry for entry in sources.listing(url)}
        folders = [name for name, entry in there.items() if entry.is_directory]
        return cls(url, {name: there[name] for name in there.keys() - set(folders)}, folders)

    def holds(self, *names: str) -> bool:
        """See :class:`recognition.Folder`."""
        return any(map(self._has, names))

    def _has(self, name: str) -> bool:
        folder, slash, rest = name.partition("/")
        if not slash:
            return name in self._files or name in self._folders
        return folder in self._folders and rest in self._names_in(folder)

    def _names_in(self, folder: str) -> frozenset[str]:
        if folder not in self._inner:
            below = urls.below(self._url, folder)
            try:
                # Asked only whether a name is among them: one that leads elsewhere is refused by
                # whoever follows it (``set_names``, or the audit, to which it is a finding).
                names = frozenset(one.url[len(below) + 1 :] for one in sources.listing(below))
            except (FileNotFoundError, NotADirectoryError):
                names = frozenset()
            self._inner[folder] = names
        return self._inner[folder]

    def folders(self) -> Iterable[str]:
        """See :class:`recognition.Folder`."""
        return self._folders

    def head(self, name: str) -> bytes:
        """See :class:`recognition.Folder`."""
        if name not in self._files:
            return b""
        try:
            with sources.open_source(urls.below(self._url, name)) as source:
                return source.read(0, LIMITS.small_member)
        except (IntegrityError, OSError):
            return b""

    def holds_seal_of_saved_model(self) -> bool:
        """See :class:`recognition.Folder`."""
        return urls.split(self._url).name == SAVED_MODEL.seal.partition("/")[0]
