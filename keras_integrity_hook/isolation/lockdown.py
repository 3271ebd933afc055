# SPDX-License-Identifier: Apache-2.0
"""How a process gives up what it may do, for good: in the child, before it imports anything else.

What is restricted are the thread that asks and those that it starts from then on, so that this
comes before any library can start one (landlock(7), seccomp(2)).
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from collections.abc import Iterable
from typing import Any

_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_MODE_FILTER = 2
_SECCOMP_SET_MODE_FILTER = 1
# All threads at once; a listener; and an error of its own where a thread cannot follow.
_SYNC_AND_LISTEN = 1 | 8 | 16
_CAPABILITIES = 0x20080522  # version 3 of the structure, capget(2)
_CAP_DAC_READ_SEARCH = 1 << 2
_INSTRUCTION = 8  # bytes of a struct sock_filter

_libc = ctypes.CDLL(None, use_errno=True)


def give_up_privileges() -> None:
    """No new ones by any file, none of root's, and no way for others to look in.

    Root keeps the right to read what belongs to others: its libraries may. Landlock says which.
    """
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for number in range(64):
        _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)  # refused to whoever is not root
    header = struct.pack("Ii", _CAPABILITIES, 0)
    kept = _CAP_DAC_READ_SEARCH if os.geteuid() == 0 else 0
    if _libc.capset(header, struct.pack("6I", kept, kept, 0, 0, 0, 0)):
        # Root of a container may not have it.
        _checked(_libc.capset(header, bytes(24)))


def limit(name: str, value: int, grace: int = 0) -> None:
    """Set a limit of this process, or leave the lower one that it has; see getrlimit(2).

    Args:
        grace: what the hard limit is higher by: one of time is told by a signal before it kills.
    """
    kind: int = getattr(resource, f"RLIMIT_{name}")
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    top = value + grace if hard == resource.RLIM_INFINITY else min(value + grace, hard)
    resource.setrlimit(kind, (value, top))


def confine_files(
    readable: Iterable[str],
    listable: Iterable[str],
    writable: str,
    devices: Iterable[str],
    abi: int | None,
) -> int:
    """Let this process read, and write, what is named, and nothing else. (Landlock)

    Args:
        abi: at most this version of Landlock, for tests of older kernels; None for the newest.

    Returns:
        the version that is in force.

    Raises:
        OSError: this kernel has no Landlock.
    """
    import landlockpy as landlock

    in_force = min(landlock.abi_version(), landlock.flags.LATEST_ABI if abi is None else abi)
    rights = landlock.fs_for_abi(in_force)
    reading = landlock.AccessFS.READ_FILE | landlock.AccessFS.READ_DIR
    of_devices = reading | landlock.AccessFS.WRITE_FILE | landlock.AccessFS.IOCTL_DEV
    execution = landlock.AccessFS.EXECUTE | landlock.AccessFS.IOCTL_DEV
    special = (
        landlock.AccessFS.MAKE_CHAR
        | landlock.AccessFS.MAKE_BLOCK
        | landlock.AccessFS.MAKE_SOCK
        | landlock.AccessFS.MAKE_FIFO
    )
    with landlock.Ruleset(
        handled_fs=rights,
        handled_net=landlock.net_for_abi(in_force),
        scoped=landlock.scope_for_abi(in_force),
    ) as rules:
        for path in readable:
            _allow(rules, path, reading)
        for path in listable:
            _allow(rules, path, landlock.AccessFS.READ_DIR)
        _allow(rules, "/proc/self", reading)
        for path in ("/dev/null", *devices):
            _allow(rules, path, of_devices)
        rules.allow_path(writable, rights & ~(execution | special))
        rules.restrict()
    return in_force


def _allow(rules: Any, path: str, access: Any) -> None:
    import landlockpy as landlock

    of_files = landlock.AccessFS.READ_FILE | landlock.AccessFS.WRITE_FILE
    of_files |= landlock.AccessFS.IOCTL_DEV
    try:
        rules.allow_path(path, access if os.path.isdir(path) else access & of_files)
    except FileNotFoundError:
        return  # what is not there needs no rule


def confine_calls(program: bytes) -> None:
    """Load the first filter. Raises OSError: this kernel has no seccomp."""
    loaded = _Program.of(program)
    _checked(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(loaded), 0, 0))


def watch_calls(program: bytes, number: int) -> int:
    """Load the second filter into all threads; returns the descriptor that its questions come by.

    Args:
        number: of seccomp(2) on this machine.

    Raises:
        OSError: another supervisor has that right already, or a thread cannot follow.
    """
    loaded = _Program.of(program)
    return _checked(
        _libc.syscall(
            ctypes.c_long(number),
            ctypes.c_uint(_SECCOMP_SET_MODE_FILTER),
            ctypes.c_uint(_SYNC_AND_LISTEN),
            ctypes.byref(loaded),
        )
    )


def address_space() -> int:
    """Bytes of address space that this process has taken."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    @classmethod
    def of(cls, program: bytes) -> _Program:
        buffer = ctypes.create_string_buffer(program, len(program))
        made = cls(len(program) // _INSTRUCTION, ctypes.cast(buffer, ctypes.c_void_p))
        made._buffer = buffer
        return made


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
