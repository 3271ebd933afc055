# SPDX-License-Identifier: Apache-2.0
"""The machine's policy file as an admin sees it: what state it is in, writing it, removing it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from keras_integrity_hook.errors import InsecurePermissionsError, IntegrityError, SiteError
from keras_integrity_hook.files import atomic, owned, root_owned
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.settings import toml_file
from keras_integrity_hook.settings.toml_file import Layer

LOCKED = b"""\
# Written by 'keras-integrity site install --lock'.
# KERAS_INTEGRITY=off and KERAS_INTEGRITY=warn have no effect on this machine.
mode = "enforce"
allow_opt_out = false
"""
"""The smallest policy that a user cannot opt out of."""


class State(StrEnum):
    """What can be said of the file."""

    MISSING = "missing"
    VALID = "valid"
    INSECURE = "insecure"  # others could have written it
    INVALID = "invalid"  # unreadable, no TOML, or a setting that there is not


@dataclass(frozen=True)
class MachinePolicy:
    """The machine's policy.

    Attributes:
        path: where it lies, the same on every machine.
        state: missing, valid, insecure or invalid.
        locked: names of the settings that it fixes, sorted.
        error: why it is insecure or invalid.
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
        data = root_owned.read_root_owned(path, LIMITS.policy)
        if data is None:
            return MachinePolicy(path, State.MISSING)
        locked = toml_file.parse(data, path, Layer.MACHINE).locked
    except InsecurePermissionsError as error:
        return MachinePolicy(path, State.INSECURE, error=error)
    except IntegrityError as error:
        return MachinePolicy(path, State.INVALID, error=error)
    return MachinePolicy(path, State.VALID, tuple(sorted(locked)))


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
    if os.geteuid() != 0:
        raise SiteError("only root can write the machine's policy", path=path)
    if not os.path.lexists(path):
        return True
    if _is_in_force(path, text):
        return False
    if not overwrite:
        cause = "there is another policy; --replace-policy puts this one in its place"
        raise SiteError(cause, path=path)
    return True


def write(text: bytes) -> None:
    """Make ``text`` the machine's policy: root's, mode 0644, in one step.

    Raises:
        SiteError: it cannot be written.
        InsecurePermissionsError, ConfigurationError: a directory on the way is somebody else's or
            a link, so the policy would not be relied on; it was not written.
    """
    target = Path(root_owned.POLICY)
    try:
        if not target.parent.is_dir():
            target.parent.mkdir()
            target.parent.chmod(0o755)  # whatever our umask
        with atomic.private_sibling(target) as temporary:
            temporary.write_bytes(text)
            temporary.chmod(0o644)
            # Asked as each load will ask, while it is not in its place yet.
            root_owned.read_root_owned(str(temporary), LIMITS.policy)
            os.replace(temporary, target)
    except OSError as error:
        raise SiteError(f"cannot be written: {error.strerror}", path=str(target)) from None


def remove() -> bool:
    """Remove the policy, and its directory if nothing else is in it; False where there is none.

    Raises:
        SiteError: this user may not.
    """
    try:
        os.unlink(root_owned.POLICY)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SiteError(f"cannot be removed: {error.strerror}", path=root_owned.POLICY) from None
    with contextlib.suppress(OSError):  # the trusted keys lie there, too
        os.rmdir(root_owned.DIRECTORY)
    return True


def _is_in_force(path: str, text: bytes) -> bool:
    try:
        return root_owned.read_root_owned(path, LIMITS.policy) == text
    except IntegrityError:
        return False
