# SPDX-License-Identifier: Apache-2.0
"""The machine's policy file as an admin sees it: what state it is in, writing it, removing it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from enum import StrEnum

from keras_integrity_hook.activation import access
from keras_integrity_hook.errors import InsecurePermissionsError, IntegrityError, SiteError
from keras_integrity_hook.files import owned, portable, private_directory, root_owned
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.settings import layers, toml_file
from keras_integrity_hook.settings.toml_file import Layer

LOCKED = b"""\
# Written by 'keras-integrity site install --lock'.
# KERAS_INTEGRITY=off and KERAS_INTEGRITY=warn have no effect on this machine.
mode = "enforce"
allow_opt_out = false
"""
"""The smallest policy that a user cannot opt out of."""

PREVIOUS = f"{root_owned.POLICY}.previous"
"""The policy that was there before this one: the way back."""


class State(StrEnum):
    """What can be said of the file."""

    MISSING = "missing"
    HIDDEN = "hidden"  # not to be seen, and not only root could have seen to that
    VALID = "valid"
    INSECURE = "insecure"  # others could have written it
    INVALID = "invalid"  # unreadable, no TOML, or a setting that there is not


@dataclass(frozen=True)
class MachinePolicy:
    """The machine's policy.

    Attributes:
        path: where it lies, the same on every machine.
        state: missing, hidden, valid, insecure or invalid.
        locked: names of the settings that it fixes, or that are fixed in its stead; sorted.
        error: why it is hidden, insecure or invalid.
    """

    path: str
    state: State
    locked: tuple[str, ...] = ()
    error: IntegrityError | None = None

    @property
    def honours_opt_out(self) -> bool:
        """Whether ``KERAS_INTEGRITY=off`` switches the checks off.

        A file that is there and cannot be relied on locks as well: then nothing is loaded at all.
        """
        return self.error is None and "mode" not in self.locked


def examine() -> MachinePolicy:
    """The state of the file; never raises for what is wrong with it."""
    path = root_owned.POLICY
    try:
        found = root_owned.look_for(path, LIMITS.policy)
        if isinstance(found, root_owned.Missing):
            return _without_one(path, found.doubt)
        locked = toml_file.parse(found, path, Layer.MACHINE).locked
    except InsecurePermissionsError as error:
        return MachinePolicy(path, State.INSECURE, error=error)
    except IntegrityError as error:
        return MachinePolicy(path, State.INVALID, error=error)
    return MachinePolicy(path, State.VALID, tuple(sorted(locked)))


def _without_one(path: str, doubt: InsecurePermissionsError | None) -> MachinePolicy:
    if doubt is None:
        return MachinePolicy(path, State.MISSING)
    locked = toml_file.parse(layers.HIDDEN, path, Layer.MACHINE).locked
    return MachinePolicy(path, State.HIDDEN, tuple(sorted(locked)), doubt)


def read_candidate(path: str) -> bytes:
    """The bytes of a file that is to become the machine's policy, once they have been checked.

    Raises:
        UnreadableFileError: it cannot be read.
        ConfigurationError: it is no policy.
    """
    text = owned.read_named(path, LIMITS.policy)
    toml_file.parse(text, os.path.abspath(path), Layer.MACHINE)
    return text


def may_write(text: bytes, *, overwrite: bool) -> bool:
    """Whether :func:`write` has anything to do.

    Raises:
        SiteError: this user may not, or another policy is there and not to be replaced.
    """
    path = root_owned.POLICY
    if system.geteuid() != 0:
        cause = "only root can write the machine's policy"
        raise SiteError(cause, path=path, remedy=access.remedy())
    if not os.path.lexists(path):
        return True
    if _is_in_force(path, text):
        return False
    if not overwrite:
        remedy = (
            f"Compare the two. --replace-policy puts the new one in its place and keeps the old "
            f"one as {PREVIOUS}."
        )
        raise SiteError("there is another policy already", path=path, remedy=remedy)
    return True


def write(text: bytes) -> None:
    """Make ``text`` the machine's policy: root's, mode 0644, in one step; the one that was there
    before is kept as :data:`PREVIOUS`.

    Raises:
        SiteError: it cannot be written.
        InsecurePermissionsError: a directory on the way is somebody else's, so the policy would
            not be relied on; it was not written.
    """
    path = root_owned.POLICY
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(root_owned.DIRECTORY)
            os.chmod(root_owned.DIRECTORY, 0o755)  # whatever our umask
        directory = root_owned.open_directory(root_owned.DIRECTORY)
        try:
            _keep_previous(directory)
            _put(text, directory, os.path.basename(path))
        finally:
            os.close(directory)
    except OSError as error:
        cause = f"cannot be written: {error.strerror}"
        raise SiteError(cause, path=path, remedy=access.remedy()) from None


def _keep_previous(directory: int) -> None:
    """Give the policy in ``directory`` a second name, so that there is one at every moment."""
    name, kept = os.path.basename(root_owned.POLICY), os.path.basename(PREVIOUS)
    with contextlib.suppress(FileNotFoundError):
        system.unlink(kept, dir_fd=directory)
    with contextlib.suppress(FileNotFoundError):
        system.link(name, kept, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)


def _put(text: bytes, directory: int, name: str) -> None:
    """Let a new file, and nothing of an old one, be what has this name in ``directory``."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.O_NOFOLLOW | portable.O_CLOEXEC
    with private_directory.fresh(directory) as (private, _):
        with open(system.open(name, flags, 0o600, dir_fd=private), "wb") as file:
            file.write(text)
            system.fchmod(file.fileno(), 0o644)
        system.rename(name, name, src_dir_fd=private, dst_dir_fd=directory)


def remove() -> bool:
    """Remove the policy and the one before it, and their directory if nothing else is in it; False
    where there is none.

    Raises:
        SiteError: this user may not.
    """
    try:
        os.unlink(root_owned.POLICY)
    except FileNotFoundError:
        return False
    except OSError as error:
        cause = f"cannot be removed: {error.strerror}"
        raise SiteError(cause, path=root_owned.POLICY, remedy=access.remedy()) from None
    with contextlib.suppress(OSError):
        os.unlink(PREVIOUS)
    with contextlib.suppress(OSError):  # the trusted keys lie there, too
        os.rmdir(root_owned.DIRECTORY)
    return True


def _is_in_force(path: str, text: bytes) -> bool:
    try:
        return root_owned.read_root_owned(path, LIMITS.policy) == text
    except IntegrityError:
        return False
