# SPDX-License-Identifier: Apache-2.0
"""Other systems, simulated by taking away what they do not have before the package is imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

# What macOS does not have of what is used here. It is gone before any other module is imported.
LIKE_MACOS = """
import os, sys, ctypes, fcntl
for name in ("listxattr", "getxattr", "setxattr", "removexattr", "posix_fallocate", "O_PATH",
             "sched_getaffinity", "memfd_create", "O_TMPFILE", "O_DIRECT"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("F_SETLEASE", "F_GETLEASE", "F_SETSIG"):
    if hasattr(fcntl, name):
        delattr(fcntl, name)
class _Library(ctypes.CDLL):
    def __getattr__(self, name):
        if name == "renameat2":
            raise AttributeError(name)
        return super().__getattr__(name)
ctypes.CDLL = _Library
"""

# What Windows does not have.
LIKE_WINDOWS = """
import os, sys
for name in ("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_PATH",
             "geteuid", "getuid", "fchown", "fchmod", "pread", "pwrite", "listxattr", "getxattr",
             "setxattr", "removexattr", "posix_fallocate", "sched_getaffinity"):
    if hasattr(os, name):
        delattr(os, name)
os.supports_dir_fd.clear()
sys.modules["fcntl"] = None
sys.modules["pwd"] = None
"""


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
