# SPDX-License-Identifier: Apache-2.0
"""``OrbaxCheckpoint`` of a URL: it writes here, and each step that is final goes up as a whole.

Orbax is given a private directory that knows the steps at the URL by their metadata alone. So it
decides as it would there: which step is the latest, which must not be written again, and which one
goes when there are too many. What it removes here is removed at the URL, once the new one is there.
"""

from __future__ import annotations

import os
from typing import Any

from keras_integrity_hook import notices
from keras_integrity_hook.containers.kinds import ORBAX, Place
from keras_integrity_hook.files import temporary
from keras_integrity_hook.files.location import Kind
from keras_integrity_hook.hooks import calls
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.hooks.keras3 import orbax_steps
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.remote import set_names, sources, upload, urls
from keras_integrity_hook.saving import pipeline as save

_ATTRIBUTE = "_keras_integrity_root"
_OF_MANY_HOSTS = (
    "{0}: several hosts write each step together, without a seal; once a step is final "
    "'keras-integrity seal {0}/STEP' gives it one"
)


def with_urls(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``OrbaxCheckpoint.__init__``.

    What many hosts write together has no seal, and the program is told.

    Raises:
        RemoteError: the store cannot be asked.
    """
    found = calls.location_argument(wrapped, args, kwargs, "directory")
    if found.kind is not Kind.REMOTE:
        return wrapped(*args, **kwargs)
    if _is_one_of_many_hosts(instance):
        notices.trouble(_OF_MANY_HOSTS.format(urls.shown(found.text.rstrip("/"))))
        return wrapped(*args, **kwargs)
    root = RemoteRoot(found.text.rstrip("/"), temporary.folder_of(instance))
    setattr(instance, _ATTRIBUTE, root)
    root.mirror()
    made = calls.call_with(wrapped, args, kwargs, directory=root.folder)
    instance.directory = found.text
    return made


def root_of(instance: Any) -> RemoteRoot | None:
    """What ``instance`` saves to, if that is a URL."""
    root: RemoteRoot | None = getattr(instance, _ATTRIBUTE, None)
    return root


class RemoteRoot:
    """A directory of steps at a URL, and the private one that Orbax writes to.

    Attributes:
        url: of the directory.
        folder: the private directory.
    """

    def __init__(self, url: str, folder: str) -> None:
        self.url = url
        self.folder = folder
        self._there: set[str] = set()

    def mirror(self) -> None:
        """Let the private directory know the steps at the URL; raises RemoteError."""
        try:
            steps = orbax_steps.final_steps(self.url)
        except (FileNotFoundError, NotADirectoryError):
            return
        for step in steps:
            os.mkdir(os.path.join(self.folder, step))
            metadata = sources.open_companion(f"{self.url}/{step}/{orbax_steps.METADATA}")
            data = b"" if metadata is None else metadata.read(0, LIMITS.small_member)
            with open(os.path.join(self.folder, step, orbax_steps.METADATA), "xb") as file:
                file.write(data)
            self._there.add(step)

    def put(self, step: str) -> None:
        """Seal the step and put it at the URL, and remove there what Orbax has removed here.

        Raises:
            As :func:`save.save_directory_sealed`.
        """
        written = os.path.join(self.folder, step)

        def write(where: str) -> None:
            temporary.link_directory(written, where)
            if self.url.startswith(orbax_steps.ATOMIC_BY_MARK):
                with open(os.path.join(where, orbax_steps.SUCCESS), "x", encoding="ascii") as mark:
                    mark.write("The checkpoint is whole.")

        save.save_directory_sealed(f"{self.url}/{step}", ORBAX, write)
        self._there.add(step)
        for old in sorted(self._there):
            if not os.path.lexists(os.path.join(self.folder, old)):
                self._remove(old)
                self._there.discard(old)

    def _remove(self, step: str) -> None:
        place = Place(ORBAX, f"{self.url}/{step}", "")
        names = set_names.present(place)
        first = [name for name in orbax_steps.MARKS if name in names]
        for name in (*first, *sorted(names.keys() - set(first))):
            upload.remove(urls.below(place.directory, name))


def _is_one_of_many_hosts(instance: Any) -> bool:
    """Whether several hosts write one step together: into one directory, which ours would not
    be."""
    asked = getattr(instance, "_is_multihost_initialized", None)
    return asked is not None and bool(asked())
