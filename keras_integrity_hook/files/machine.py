# SPDX-License-Identifier: Apache-2.0
"""This machine: where its configuration lies, what it is called, and what its users are called.

Nothing of it is taken from a variable of the environment, which is the user's to set.
"""

from __future__ import annotations

import os
from types import ModuleType

from keras_integrity_hook.files.portable import system

_ETC = "/etc"
_PROGRAM_DATA, _PROFILE = 0x23, 0x28  # CSIDL_COMMON_APPDATA, CSIDL_PROFILE


def configuration_directory() -> str:
    """Where the machine's configuration lies, by a path of which the first part is no link.

    ``/etc``, and where that is a link, what it leads to: ``/private/etc`` on macOS. Only that one
    link is followed, which is root's own as long as ``/`` is; the rest of the way is checked like
    any other (``files.root_owned``). On Windows it is ``ProgramData``, as the system says it.
    """
    known = _known_folder(_PROGRAM_DATA)
    if known is not None:
        return known
    try:
        target = os.readlink(_ETC)
    except (OSError, ValueError):
        return _ETC
    return os.path.normpath(os.path.join("/", target))


def steps(path: str, rules: ModuleType = os.path) -> tuple[str, list[str]]:
    r"""The root directory that an absolute path begins in, and the names that follow.

    ``("/", ["etc", "x"])``, ``("C:\\", ["ProgramData", "x"])``.
    """
    drive, rest = rules.splitdrive(path)
    if rules.altsep:
        rest = rest.replace(rules.altsep, rules.sep)
    return drive + rules.sep, [name for name in rest.split(rules.sep) if name]


def name() -> str:
    """The name of this machine in its network."""
    if hasattr(os, "uname"):
        return os.uname().nodename
    import socket

    return socket.gethostname()


def user_name() -> str | None:
    """The name of the user whose rights this process has; None where there is none."""
    try:
        import pwd
    except ImportError:
        from keras_integrity_hook.files import windows

        return windows.user_name() if windows.is_here() else None
    try:
        return pwd.getpwuid(system.geteuid()).pw_name
    except KeyError:  # usual in a container
        return None


def home() -> str | None:
    """The home directory of the user who runs this process; None where there is none."""
    try:
        import pwd
    except ImportError:
        return _known_folder(_PROFILE)
    try:
        return pwd.getpwuid(system.getuid()).pw_dir
    except KeyError:
        return None


def how_to_close(path: str) -> str:
    """What gives a file back to the administrators alone, in words."""
    if hasattr(os, "chown"):
        return f"as root, 'chown root:root {path}' and 'chmod go-w {path}'"
    rights = "/setowner *S-1-5-32-544' and 'icacls {0} /inheritance:r /grant *S-1-5-32-544:F"
    text = f"'icacls {{0}} {rights} *S-1-5-18:F *S-1-5-32-545:RX'"
    return "as an administrator, " + text.format(path)


def _known_folder(number: int) -> str | None:
    """A folder that Windows has a number for; None elsewhere."""
    if system is os:
        return None
    from keras_integrity_hook.files import windows

    return windows.folder(number) if windows.is_here() else None
