# SPDX-License-Identifier: Apache-2.0
"""The parent's side of the second filter: each refusal, and each path that is opened, is seen here.

The kernel stops the calling thread and hands over the call's number and arguments
(``SECCOMP_RET_USER_NOTIF``, seccomp_unotify(2)). What the list does not allow is refused; opens and
changes by path are let go on to Landlock, which judges them. The text of a path is read from the
memory of the process, and could be another by the time it is used: it is told, and decides nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import re
import struct

from keras_integrity_hook.isolation import system_calls as calls
from keras_integrity_hook.isolation.attempts import Attempts, Source
from keras_integrity_hook.isolation.reachable import Reachable

_RECEIVE = 0xC0502100  # SECCOMP_IOCTL_NOTIF_RECV
_SEND = 0xC0182101  # SECCOMP_IOCTL_NOTIF_SEND
_QUESTION = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif
_ANSWER = struct.Struct("=QqiI")  # struct seccomp_notif_resp
_GO_ON = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_PATH = 4096  # bytes; PATH_MAX
_PAGE = 4096
_AT_CWD = -100 & 0xFFFFFFFF
# Constants of <sys/socket.h>, by which an address family is named.
_FAMILIES = {1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET"}
_FAMILIES |= {38: "AF_ALG", 40: "AF_VSOCK", 44: "AF_XDP"}
# Looked for by libraries on the way, and done without: nobody's attempt at anything.
_UNREMARKABLE = ("/proc", "/sys", "/dev/nvidia", "/etc/nsswitch.conf")
_ROOT_BY_PROC = re.compile(r"/proc/[^/]+(/task/\d+)?/root(?=/)")
_OF_PROCESS = re.compile(r"/proc/\d+(/|\Z)")


class Supervisor:
    """Answers the kernel's questions about one process, and keeps what they tell.

    Args:
        listener: the descriptor that they come by; taken over.
        memory: ``/proc/PID/mem``, opened for reading; -1 where it is not to be had. Stays open.
        home: the private directory of the process.
    """

    def __init__(
        self, listener: int, memory: int, reachable: Reachable, home: str, attempts: Attempts
    ) -> None:
        self.listener = listener
        self._memory = memory
        self._reachable = reachable
        self._home = os.path.realpath(home)
        self._attempts = attempts

    def answer(self) -> None:
        """Answer one question. Nothing happens where the thread that asks is gone by now."""
        from fcntl import ioctl  # not every system that imports this has it

        question = bytearray(_QUESTION.size)
        with contextlib.suppress(OSError):  # ENOENT: it was killed
            ioctl(self.listener, _RECEIVE, question)
            identity, _, _, number, _, _, *arguments = _QUESTION.unpack(question)
            is_shown = self._consider(_name_of(number), number, arguments)
            reply = (identity, 0, 0, _GO_ON) if is_shown else (identity, 0, -errno.EPERM, 0)
            ioctl(self.listener, _SEND, _ANSWER.pack(*reply))

    def close(self) -> None:
        """Whatever the process asks from now on is refused by the kernel alone."""
        if self.listener >= 0:
            os.close(self.listener)
            self.listener = -1

    def _consider(self, name: str, number: int, arguments: list[int]) -> bool:
        """Whether the call goes on to Landlock; it is noted if that will refuse it."""
        if name not in calls.SHOWN:
            self._attempts.note(name, self._in_words(name, arguments), Source.KERNEL)
            return False
        paths = [self._path(name, arguments, at) for at in calls.SHOWN[name]]
        if name in ("open", "openat"):
            flags = arguments[calls.SHOWN[name][0] + 1]
            if calls.is_unjudged(flags):
                self._attempts.note(name, f"{paths[0]} (flags {flags:#x})", Source.KERNEL)
                return False
            refused = [path for path in paths if not self._may_open(path, flags)]
        else:
            refused = [path for path in paths if path and not self._is_at_home(path)]
        if refused:
            self._attempts.note(name, " ".join(refused), Source.KERNEL)
        return True

    def _may_open(self, path: str, flags: int) -> bool:
        """Whether that is for the process to open, or nothing to speak of."""
        if not path or self._is_at_home(path):
            return True
        if not path.startswith("/"):
            return False
        if flags & calls.WRITING:
            is_name_of_thread = path.startswith("/proc/self/task/") and path.endswith("/comm")
            return is_name_of_thread or path in ("/dev/null", *self._reachable.devices)
        if self._reachable.covers(path):
            return True
        if path.startswith(_UNREMARKABLE):
            return not _OF_PROCESS.match(path)
        return not os.path.lexists(path)

    def _is_at_home(self, path: str) -> bool:
        return path == self._home or path.startswith(f"{self._home}/")

    def _path(self, name: str, arguments: list[int], at: int) -> str:
        """The path in argument number ``at``, made absolute where that can be told."""
        path = self._text(arguments[at])
        if not path or path.startswith("/"):
            return self._resolved(os.path.normpath(path)) if path else ""
        is_at = name.endswith("at") or name in ("renameat2", "fchmodat2", "openat2")
        if is_at and arguments[at - 1] & 0xFFFFFFFF != _AT_CWD:
            # Below a directory that was opened before, and told then; or out of it again.
            return path if ".." in path.split("/") else ""
        return self._resolved(os.path.normpath(os.path.join(self._home, path)))

    def _resolved(self, path: str) -> str:
        """``path``, and where it leads by links of the process's own making."""
        path = _ROOT_BY_PROC.sub("", path)
        if not self._is_at_home(path) or path == self._home:
            return path
        folder, name = os.path.split(path)
        path = os.path.join(os.path.realpath(folder), name)
        with contextlib.suppress(OSError):
            # A file of the model is a link to a descriptor, of that process and not of this one.
            if not os.readlink(path).startswith("/proc/self/fd/"):
                return os.path.realpath(path)
        return path

    def _text(self, address: int) -> str:
        """The text at ``address`` in the process; empty where it cannot be read."""
        if self._memory < 0 or not address:
            return ""
        data = b""
        with contextlib.suppress(OSError, OverflowError):
            while len(data) < _PATH and b"\0" not in data:
                start = address + len(data)
                # To the end of a page: what is behind it may not be there.
                piece = os.pread(self._memory, _PAGE - start % _PAGE, start)
                if not piece:
                    break
                data += piece
        return os.fsdecode(data.partition(b"\0")[0][:_PATH])

    def _in_words(self, name: str, arguments: list[int]) -> str:
        """The arguments of a refused call as a person would put them."""
        if name in calls.REFUSED_WITH_PATH:
            found = (self._path(name, arguments, at) for at in calls.REFUSED_WITH_PATH[name])
            return " ".join(filter(None, found))
        if name in ("socket", "socketpair"):
            return _FAMILIES.get(arguments[0], f"family {arguments[0]}")
        if name == "memfd_create":
            return self._text(arguments[0])
        if name in ("clone", "fork", "vfork"):
            return "a new process"
        if name in _OF_PROCESSES:
            number = arguments[1] if name == "ptrace" else arguments[0]
            return f"process {ctypes.c_int(number).value}"
        return " ".join(hex(argument) for argument in arguments[:3])


# fmt: off
_OF_PROCESSES = frozenset((
    "kill", "tgkill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open",
    "process_vm_readv", "process_vm_writev", "prlimit64", "ptrace",
))
# fmt: on


@functools.cache
def _name_of(number: int) -> str:
    """The name of a system call."""
    import pyseccomp

    try:
        name: bytes = pyseccomp.resolve_syscall(pyseccomp.system_arch(), number)
    except ValueError:
        return f"system call {number}"
    return name.decode()
