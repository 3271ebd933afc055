# SPDX-License-Identifier: Apache-2.0
"""The two seccomp filters of a confined process, compiled by libseccomp in the parent.

The *first* is loaded before anything is imported; no code of a model runs under it alone. It
refuses by ``SECCOMP_RET_TRACE``, which is ``ENOSYS`` where nobody traces. The *second* is laid over
it before the model arrives, and asks the parent about the same calls (``SECCOMP_RET_USER_NOTIF``),
which stands above ``TRACE`` and below ``ERRNO`` in seccomp(2): so each refusal is told with the
call and its arguments, as the kernel saw them, and without the parent it is refused all the same.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from keras_integrity_hook.isolation import system_calls as calls

_OPENS = {"open": 1, "openat": 2}  # the number of the argument with the flags
_O_ACCMODE = 3
_UNKNOWN = -1  # what libseccomp says of a call that is younger than it


class Filters(NamedTuple):
    """Programs for seccomp(2), and what the child cannot know by itself.

    Attributes:
        first, second: ``struct sock_filter`` after another.
        number: of seccomp(2) itself on this machine.
    """

    first: bytes
    second: bytes
    number: int


def compiled(pid: int, *, with_devices: bool) -> Filters:
    """Those of the process ``pid``, which may signal itself.

    Args:
        with_devices: it is given device nodes, whose drivers are asked by ioctl(2).
    """
    import pyseccomp

    first = pyseccomp.SyscallFilter(pyseccomp.TRACE(0))
    second = pyseccomp.SyscallFilter(pyseccomp.NOTIFY)
    number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, "seccomp")
    for program in (first, second):
        program.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
        _add(program, pyseccomp, _rules(pyseccomp, pid, with_devices))
        for name in calls.UNSUPPORTED:
            program.add_rule(pyseccomp.ERRNO(errno.ENOSYS), name)
        for name in calls.UNWANTED:
            program.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
    _add(first, pyseccomp, _judged_by_landlock(pyseccomp))
    first.add_rule(pyseccomp.ALLOW, "seccomp")
    return Filters(_exported(first), _exported(second), number)


_Rule = tuple[Any, ...]  # the name of a call, and what its arguments must be


def _rules(seccomp: Any, pid: int, with_devices: bool) -> Iterator[_Rule]:
    """What is allowed before and after the model is there."""
    yield from ((name,) for name in sorted(calls.ALLOWED))
    yield "clone", seccomp.Arg(0, seccomp.MASKED_EQ, calls.CLONE_JUDGED, calls.CLONE_OF_THREAD)
    for name in ("kill", "tgkill"):
        yield name, seccomp.Arg(0, seccomp.EQ, pid)
    yield "prlimit64", seccomp.Arg(0, seccomp.EQ, 0)
    yield "sendto", seccomp.Arg(4, seccomp.EQ, 0)  # to whom the socket is connected
    yield from (("fcntl", seccomp.Arg(1, seccomp.EQ, command)) for command in calls.FCNTL)
    yield from (("prctl", seccomp.Arg(0, seccomp.EQ, option)) for option in calls.PRCTL)
    if with_devices:
        yield from (("ioctl",),)
    else:
        yield from (("ioctl", seccomp.Arg(1, seccomp.EQ, request)) for request in calls.IOCTL)


def _judged_by_landlock(seccomp: Any) -> Iterator[_Rule]:
    """What the second filter shows to the parent, which lets it go on to Landlock."""
    for name in calls.SHOWN.keys() - _OPENS.keys():
        yield (name,)
    for name, number in _OPENS.items():
        judged = _O_ACCMODE | os.O_TRUNC
        yield name, seccomp.Arg(number, seccomp.MASKED_EQ, judged, os.O_RDONLY)
        for kind in (os.O_WRONLY, os.O_RDWR):
            yield name, seccomp.Arg(number, seccomp.MASKED_EQ, _O_ACCMODE, kind)


def _add(program: Any, seccomp: Any, rules: Iterator[_Rule]) -> None:
    for name, *arguments in rules:
        number = seccomp.resolve_syscall(seccomp.Arch.NATIVE, name)
        if number != _UNKNOWN:
            program.add_rule(seccomp.ALLOW, number, *arguments)


def _exported(program: Any) -> bytes:
    """The program as the kernel takes it."""
    fd = os.memfd_create("filter", os.MFD_CLOEXEC)
    with open(fd, "w+b") as file:
        program.export_bpf(file)
        file.seek(0)
        return file.read()
