# SPDX-License-Identifier: Apache-2.0
"""Where on a machine what was pulled lies, and how it gets there: whole, and past nobody's eyes.

The directory ``published`` has all of one publisher: ``source.toml``, where it is pulled from;
``root.json``, whom to believe; ``trust.toml``, ``trusted_root.json`` and ``policy.toml`` as they
were pulled; ``metadata``, what python-tuf remembers of the publisher.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from keras_integrity_hook.activation import machine_policy
from keras_integrity_hook.errors import SigningError
from keras_integrity_hook.files import owned, permissions, portable, public_file, root_owned
from keras_integrity_hook.files.atomic import open_target
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.settings.toml_file import Layer
from keras_integrity_hook.signing import trust_store


class Place(NamedTuple):
    """Whose files are pulled.

    Attributes:
        directory: the absolute path of ``published``.
        policy: that of the policy that is in force there.
        is_machine: the machine's, which only root can have written.
    """

    directory: str
    policy: str
    is_machine: bool

    @property
    def layer(self) -> Layer:
        """Whose policy it is."""
        return Layer.MACHINE if self.is_machine else Layer.USER

    def file(self, name: str) -> str:
        """The path of a file of the directory."""
        return os.path.join(self.directory, name)

    def read(self, path: str, limit: int) -> bytes | None:
        """The bytes of a file of the place, None where there is none.

        Raises:
            InsecurePermissionsError: others could have written it.
            ConfigurationError: it cannot be read, or is over ``limit`` bytes.
        """
        if self.is_machine:
            return root_owned.read_root_owned(path, limit)
        return owned.read_own(path, limit, named=False, strict=True)


def of_user() -> Place:
    """Where the user's lies."""
    directory = os.path.dirname(trust_store.published_file())
    return Place(directory, owned.user_file("policy.toml"), is_machine=False)


def of_machine() -> Place:
    """Where the machine's lies."""
    return Place(os.path.dirname(trust_store.MACHINE_PUBLISHED), root_owned.POLICY, is_machine=True)


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Make the directory, if need be, and hold it: two that pull at once would mix theirs.

    Raises:
        InsecurePermissionsError: others may write it.
        SigningError: this user may not.
    """
    try:
        _make(place)
        fd = _open(place)
    except OSError as error:
        remedy = "The machine's files are root's: run the command as root."
        cause = f"cannot be written ({error.strerror})"
        raise SigningError(
            cause, path=place.directory, remedy=remedy if place.is_machine else None
        ) from None
    try:
        portable.lock(fd, wait=True)
        yield
    finally:
        portable.close(fd)


def put(path: str, data: bytes) -> None:
    """Let the file at ``path`` have this content, in one step and readable by all: it is no secret.

    Raises:
        OSError: it is as it was.
    """
    with open_target(path) as target:
        target.refuse_unwritable()
        public_file.replace(target, data)


def put_policy(place: Place, data: bytes) -> None:
    """Let the policy of the place have this content; the one before is kept beside it.

    Raises:
        OSError, SiteError, InsecurePermissionsError: it is as it was.
    """
    if place.is_machine:
        machine_policy.write(data)
        return
    before = place.read(place.policy, LIMITS.policy)
    if before is not None:
        put(f"{place.policy}.previous", before)
    put(place.policy, data)


def _make(place: Place) -> None:
    if not place.is_machine:
        os.makedirs(place.directory, mode=0o700, exist_ok=True)
        return
    for folder in (root_owned.DIRECTORY, place.directory):
        with suppress(FileExistsError):
            os.mkdir(folder)
            os.chmod(folder, 0o755)  # whatever our umask: every user's loads read the files


def _open(place: Place) -> int:
    if place.is_machine:
        return root_owned.open_directory(place.directory)
    fd = system.open(place.directory, os.O_RDONLY | portable.O_DIRECTORY | portable.O_CLOEXEC)
    try:
        permissions.check_open(place.directory, fd)
    except BaseException:
        os.close(fd)
        raise
    return fd
