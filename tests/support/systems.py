# SPDX-License-Identifier: Apache-2.0
"""Other systems, simulated by taking away what they do not have before the package is imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

# Each is gone before the package, or Keras, is imported.
_GONE = """
import os, sys
def gone(module, *names):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
"""

_NO_PROC = """
import builtins, errno, io, os
def _hide(call):
    def hidden(path, *given, **named):
        if isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return call(path, *given, **named)
    return hidden
for _name in ("lstat", "readlink", "listdir", "scandir"):
    setattr(os, _name, _hide(getattr(os, _name)))
os.supports_fd.update({os.listdir, os.scandir})
os.supports_dir_fd.add(os.readlink)
_stat, _open = os.stat, os.open
os.stat, os.open = _hide(os.stat), _hide(os.open)
os.supports_dir_fd.update({os.stat, os.open})
os.supports_fd.add(os.stat)
os.supports_follow_symlinks.add(os.stat)
builtins.open = io.open = _hide(io.open)
"""

# Windows refuses to replace a file that is open, and to remove a directory that is.
_LOCKED = """
import errno, os
def _refuse(path, at):
    try:
        status = os.stat(path, dir_fd=at, follow_symlinks=False)
    except OSError:
        return
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            if os.path.samestat(os.fstat(number), status):
                raise PermissionError(errno.EACCES, "it is open", path)
        except OSError as error:
            if error.errno == errno.EACCES:
                raise
def _renaming(call):
    def renamed(old, new, *, src_dir_fd=None, dst_dir_fd=None):
        _refuse(new, dst_dir_fd)
        call(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
    return renamed
def _removing(call):
    def removed(path, *, dir_fd=None):
        _refuse(path, dir_fd)
        call(path, dir_fd=dir_fd)
    return removed
os.rename, os.replace, os.rmdir = _renaming(os.rename), _renaming(os.replace), _removing(os.rmdir)
os.supports_dir_fd.update({os.rename, os.replace, os.rmdir})
"""

_NO_EXCHANGE = """
import ctypes
class _Library(ctypes.CDLL):
    def __getattr__(self, name):
        if name in ("renameat2", "renameatx_np"):
            raise AttributeError(name)
        return super().__getattr__(name)
ctypes.CDLL = _Library
"""

# As macOS: an open file gets another name, under which its bytes are what they are now.
_CLONES = """
import ctypes, os
_there = ctypes.CDLL
cloned = []
def _clone(fd, directory, name, flags):
    copy = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=directory)
    at = 0
    while piece := os.pread(fd, 1 << 20, at):
        at += os.write(copy, piece)
    os.close(copy)
    cloned.append(fd)
    return 0
class _Cloning(_there):
    def __getattr__(self, name):
        return _clone if name == "fclonefileat" else super().__getattr__(name)
ctypes.CDLL = _Cloning
"""

WITHOUT = {
    "leases": "import fcntl; gone(fcntl, 'F_SETLEASE', 'F_GETLEASE', 'F_SETSIG')",
    "preadv": "gone(os, 'preadv', 'pwritev')",
    "pread": "gone(os, 'pread', 'pwrite', 'preadv', 'pwritev')",
    "/proc": _NO_PROC,
    "renameat2": _NO_EXCHANGE,
    "O_NOFOLLOW": "gone(os, 'O_NOFOLLOW')",
    "O_DIRECTORY": "gone(os, 'O_DIRECTORY')",
    "O_CLOEXEC": "gone(os, 'O_CLOEXEC', 'O_NONBLOCK', 'O_NOCTTY', 'O_PATH')",
    "dir_fd": "os.supports_dir_fd.clear(); os.supports_fd.clear()",
    "fcntl": "sys.modules['fcntl'] = None",
    "fork": "gone(os, 'fork', 'forkpty', 'register_at_fork', 'posix_spawn', 'memfd_create')",
    "replacing open files": _LOCKED,
    "pwd": "sys.modules['pwd'] = sys.modules['grp'] = None",
    "uname": "import numpy, platform; platform.uname(); gone(os, 'uname')",
    "environb": "gone(os, 'environb', 'getenvb'); os.supports_bytes_environ = False",
    "AF_UNIX": "import socket; gone(socket, 'AF_UNIX', 'SOCK_NONBLOCK', 'SOCK_CLOEXEC')",
    "link(follow_symlinks)": "os.supports_follow_symlinks.discard(os.link)",
    "effective ids": "os.supports_effective_ids.clear()",
    "attributes": "gone(os, 'listxattr', 'getxattr', 'setxattr', 'removexattr')",
    "fallocate": "gone(os, 'posix_fallocate', 'sched_getaffinity', 'statvfs')",
}
"""What a system may lack, and how this one is made to lack it."""
WITHOUT = {name: f"{_GONE}\n{how}" for name, how in WITHOUT.items()}

# What macOS does not have of what is used here.
LIKE_MACOS = "\n".join(WITHOUT[name] for name in ("leases", "attributes", "renameat2")) + (
    "\ngone(os, 'O_PATH', 'posix_fallocate', 'sched_getaffinity', 'memfd_create')"
    "\nimport socket; gone(socket, 'SOCK_NONBLOCK', 'SOCK_CLOEXEC')\n"
)
LIKE_MACOS_WITHOUT_PROC = LIKE_MACOS + _NO_PROC
LIKE_MACOS_WITH_CLONES = LIKE_MACOS_WITHOUT_PROC + _CLONES

# What Windows does not have, and what it has instead.
LIKE_WINDOWS = f"""{_GONE}
import numpy, platform  # which ask Linux for its version
platform.uname()
from tests.support import windows_stand_in
windows_stand_in.MINE += sys.argv[1:2] + [os.environ["HOME"]]
gone(os, "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_PATH",
     "geteuid", "getuid", "getegid", "getgid", "fchown", "chown", "fchmod", "pread", "pwrite",
     "preadv", "pwritev", "listxattr", "getxattr", "setxattr", "removexattr", "posix_fallocate",
     "sched_getaffinity", "statvfs", "fstatvfs", "uname", "environb", "memfd_create", "fork",
     "register_at_fork", "mkfifo", "sync", "fdatasync", "fchdir", "lchown", "mknod", "killpg",
     "getpgid", "getgroups", "getpriority", "nice", "posix_fadvise", "getloadavg", "chroot")
import time
gone(time, "clock_gettime", "clock_gettime_ns")
os.supports_bytes_environ = False
for _set in (os.supports_dir_fd, os.supports_fd, os.supports_effective_ids):
    _set.clear()
os.supports_follow_symlinks.discard(os.link)
import signal, socket, subprocess
gone(signal, "SIGURG", "SIGKILL", "SIGHUP")
gone(socket, "AF_UNIX", "SOCK_NONBLOCK", "SOCK_CLOEXEC", "socketpair")
windows_stand_in.install()
for _name in ("fcntl", "pwd", "grp", "resource", "termios"):
    sys.modules[_name] = None
"""
# Nothing can be guarded there: no directory stays what was opened, and no file has an owner.
LIKE_NOTHING = (
    WITHOUT["dir_fd"] + _NO_PROC + "os.supports_dir_fd.clear()\ngone(os, 'geteuid', 'O_NOFOLLOW')"
)


_ARM = "from keras_integrity_hook.activation.finder import arm\narm()"


def run_like(
    system: str, script: str, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``script`` in an interpreter that has lost what ``system`` takes away.

    The finder is armed by hand: start-up files would run before anything is gone.
    """
    body = f"{system}\n{_ARM}\n{script}"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(env or {})}
    return subprocess.run(
        [sys.executable, "-S", "-c", _with_path(body), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


_BROOD = """
import json, os, sys, traceback
import keras
import numpy
for line in sys.stdin:
    asked = json.loads(line)
    pid = os.fork()
    if not pid:
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT, 0o600), number)
        os.environ.update(asked["env"])
        sys.argv[1:] = asked["argv"]
        status = 1
        try:
            exec(compile(asked["script"], "<script>", "exec"), {"__name__": "__main__"})
            status = 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""

_ACTIVATE = "import keras_integrity_hook\nkeras_integrity_hook.activate()"


class Brood:
    """Processes that share one import of Keras: a parent has it, and each is its child.

    What is taken away goes before the package is imported. That Keras is imported after the
    package, as it is elsewhere, is what :func:`run_like` is for.
    """

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-S", "-c", _with_path(_BROOD)],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run_like(
        self, system: str, script: str, top: Path, *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        """As the function of that name; ``top`` is the first argument, and a home for the child."""
        outputs = {name: str(top / f".{name}") for name in ("stdout", "stderr")}
        asked = {
            "script": f"{system}\n{_ACTIVATE}\n{script}",
            "argv": [str(top), *arguments],
            "env": {"HOME": str(top), "TMPDIR": str(top)},
            **outputs,
        }
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(asked) + "\n")
        self._parent.stdin.flush()
        status = int(self._parent.stdout.readline())
        stdout, stderr = (Path(outputs[name]).read_text() for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess([], status, stdout, stderr)

    def close(self) -> None:
        """End the parent."""
        self._parent.communicate()


def run_where_etc_is_a_link(
    top: Path, script: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run ``script`` like on macOS, where no descriptors are in ``/proc`` and ``/etc`` is a link
    into ``/private``: in a root directory of its own, with everything else mounted from here.

    Skips where mounts are not to be had. ``top`` is to be a directory that is root's all the way
    up, or the machine's policy cannot be relied on in there.
    """
    if os.geteuid() or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare(1)")
    lines = ["set -e", "mount --make-rprivate /", f"cd {top}", "mkdir -p private tmp"]
    for name in sorted(os.listdir("/")):
        place = Path("/", name)
        if name in ("etc", "proc", "private") or not place.is_dir():
            continue
        if place.is_symlink():
            lines.append(f"ln -sfn {os.readlink(place)} {name}")
        else:
            lines.append(f"mkdir -p {name} && mount --rbind /{name} {name}")
    lines += ["ln -s private/etc etc", "cp -a /etc private/etc"]
    # TensorFlow, as it is built for Linux, ends the process where it cannot read these two.
    lines += ["mkdir -p proc/self", f"ln -s {sys.executable} proc/self/exe"]
    lines += ["printf python > proc/self/cmdline", 'exec chroot . "$@"']
    body = _with_path(f"{LIKE_MACOS}\n{_ARM}\n{script}")
    inside = [sys.executable, "-S", "-c", body, *arguments]
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", "\n".join(lines), "sh", *inside],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )


def _with_path(body: str) -> str:
    paths: Sequence[str] = [os.path.abspath(one) for one in sys.path if one]
    return f"import sys; sys.path[:] = {paths!r}\n{body}"
