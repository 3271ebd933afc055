# SPDX-License-Identifier: Apache-2.0
"""Where the memory lies: the user's own directory, or the machine's, which root made for all.

The user's is found by a variable (XDG Base Directory Specification 0.8), so that whoever starts a
program can give it an empty one. Where the machine's policy has fixed ``history`` the machine's
counts, if it is there: like ``/var/tmp`` it is root's, everybody may make a directory of his own in
it, and nobody may touch another's. What others have put there is believed by nobody else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat

from keras_integrity_hook import notices
from keras_integrity_hook.errors import InsecurePermissionsError, SiteError
from keras_integrity_hook.files import owned, permissions
from keras_integrity_hook.files.portable import system

MACHINE = "/var/lib/keras-integrity/history"


def of_user() -> str:
    """The directory of this user's own memory."""
    home = owned.user_directory("XDG_STATE_HOME", "~/.local/state")
    return os.path.join(home, "keras-integrity", "history")


def in_force(*, of_machine: bool) -> str:
    """The directory to look in and to write to.

    Args:
        of_machine: the machine's policy has fixed ``history``.
    """
    return (in_machine() if of_machine else None) or of_user()


def in_machine() -> str | None:
    """This user's directory in the machine's memory; None where there is no machine's memory.

    It may have to be made yet. Somebody else may have taken its name: then it has another, which
    only the owner of a directory tells to be this user's.
    """
    if not _is_roots(MACHINE):
        return None
    user = system.geteuid()
    plain = os.path.join(MACHINE, str(user))
    owner = _owner(plain)
    if owner == user:
        return plain
    # Also where nobody has its name now: whoever had taken it may have given it up since.
    other = _own_under_another_name(user)
    if owner is None:
        return other or plain
    notices.trouble(f"history: {plain} is for user {user}, and was made by user {owner}")
    return other or os.path.join(MACHINE, f"{user}-{os.urandom(8).hex()}")


def make_machines() -> bool:
    """Make the machine's memory, as root; whether it was not there before.

    Raises:
        SiteError: it cannot be made, or what is there is not root's.
    """
    if _is_roots(MACHINE):
        return False
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(MACHINE))
            os.chmod(os.path.dirname(MACHINE), 0o755)  # whatever our umask
        os.mkdir(MACHINE)
        os.chmod(MACHINE, 0o1777)
    except OSError as error:
        raise SiteError(f"cannot be made ({error.strerror})", path=MACHINE) from None
    if not _is_roots(MACHINE):
        raise SiteError("or a directory above it is not root's alone", path=MACHINE)
    return True


def file_of(directory: str, path: str) -> str:
    """The file in which ``path``, a real path, is remembered."""
    name = hashlib.sha256(os.fsencode(path)).hexdigest()
    return os.path.join(directory, name[:2], f"{name}.json")


def _is_roots(path: str) -> bool:
    """Whether nobody but root could have put it there, or take from it what is another's."""
    try:
        status = system.stat(path, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid:
            return False
        permissions.check_path(path)
    except (OSError, InsecurePermissionsError):
        return False
    return True


def _owner(path: str) -> int | None:
    try:
        status = system.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return status.st_uid if stat.S_ISDIR(status.st_mode) else -1


def _own_under_another_name(user: int) -> str | None:
    try:
        names = sorted(name for name in os.listdir(MACHINE) if name.startswith(f"{user}-"))
    except OSError:
        return None
    own = (path for name in names if _owner(path := os.path.join(MACHINE, name)) == user)
    return next(own, None)
