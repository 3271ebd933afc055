# SPDX-License-Identifier: Apache-2.0
"""What a plain overwrite leaves as it is, and a replacement has to be given: owner, group, mode,
access control list, extended attributes and label."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from keras_integrity_hook.files import portable
from keras_integrity_hook.files.portable import system

_ACL = "system.posix_acl_access"
# About the bytes that go (capabilities(7), the kernel's IMA and EVM), or about the layer of an
# overlay that the file lies in.
_OF_THE_CONTENT = ("security.capability", "security.ima", "security.evm", "trusted.overlay.")
_UNKNOWN = {errno.ENOTSUP, errno.ENOSYS}


def carry_over(old: int, new: int) -> bool:
    """Give the file behind the descriptor ``new`` all that it can have of ``old``'s.

    Returns:
        Whether it is all now. Where the owner cannot be given the group still is.
    """
    was, made = system.fstat(old), system.fstat(new)
    kept = _carry_owner(new, was, made)
    kept = _carry_extended(old, new) and kept
    try:
        mode = _mode_for(system.fstat(new), was)
        if stat.S_IMODE(system.fstat(new).st_mode) != mode:
            system.fchmod(new, mode)
    except PermissionError:
        return False
    return kept


def _mode_for(made: os.stat_result, was: os.stat_result) -> int:
    """The old file's mode; of rights that it gave to a user or a group, none to another one."""
    mode = stat.S_IMODE(was.st_mode)
    if made.st_uid != was.st_uid:
        mode &= ~stat.S_ISUID
    if made.st_gid != was.st_gid:
        others = mode & stat.S_IRWXO
        mode &= ~stat.S_ISGID & ~(stat.S_IRWXG & ~(others << 3))
    return mode


def _carry_owner(new: int, was: os.stat_result, made: os.stat_result) -> bool:
    if (was.st_uid, was.st_gid) == (made.st_uid, made.st_gid):
        return True
    try:
        system.fchown(new, was.st_uid, was.st_gid)
    except PermissionError:
        with contextlib.suppress(PermissionError):
            system.fchown(new, -1, was.st_gid)
        return False
    return True


def _carry_extended(old: int, new: int) -> bool:
    if not portable.has_attributes():
        return not portable.has_own_rights(old)
    wanted, present = _extended(old), _extended(new)
    kept = True
    for name in {*wanted, *present}:
        if wanted.get(name) == present.get(name) or name.startswith(_OF_THE_CONTENT):
            continue
        try:
            if name in wanted:
                os.setxattr(new, name, wanted[name])
            elif name == _ACL:  # from the directory's default, which an old file did not get
                os.removexattr(new, name)
        except OSError:
            kept = False
    return kept


def _extended(fd: int) -> dict[str, bytes]:
    try:
        return {name: os.getxattr(fd, name) for name in os.listxattr(fd)}
    except OSError as error:
        if error.errno in _UNKNOWN:
            return {}
        raise
