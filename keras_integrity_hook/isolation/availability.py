# SPDX-License-Identifier: Apache-2.0
"""Whether a process can be confined here, and what is missing if not."""

from __future__ import annotations

import os
import sys
from typing import Any

from keras_integrity_hook.errors import SandboxUnavailableError


def facts() -> dict[str, Any]:
    """For ``doctor``: ``landlock`` (its ABI, 0 for none), ``seccomp``, and ``missing`` in words."""
    missing = reasons()
    if not _is_linux():  # a number of a call is another call's elsewhere
        return {"landlock": 0, "seccomp": False, "missing": missing}
    return {"landlock": _landlock(), "seccomp": _has_seccomp(), "missing": missing}


def require() -> None:
    """Return only where a process can be confined.

    Raises:
        SandboxUnavailableError: something that this needs is not there.
    """
    missing = reasons()
    if missing:
        raise SandboxUnavailableError(f"no process can be confined here: {'; '.join(missing)}")


def reasons() -> list[str]:
    """What is missing, in words."""
    if not _is_linux():
        return ["this system has no files in memory that can be sealed (memfd_create)"]
    missing = []
    if not sys.executable or not os.access(sys.executable, os.X_OK):
        missing.append("there is no Python to start (sys.executable)")
    missing += [
        f"the package {name} is not installed ('pip install {name}')"
        for name in ("landlockpy", "pyseccomp")
        if not _is_installed(name)
    ]
    if not missing and not _landlock():
        missing.append(
            "this kernel has no Landlock, or it is switched off (Linux 5.13, CONFIG_LSM)"
        )
    if not missing:
        missing += _of_seccomp()
    return missing


def _is_linux() -> bool:
    return hasattr(os, "memfd_create")


def _is_installed(name: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(name) is not None
    except ValueError:  # it is being hidden
        return False


def _landlock() -> int:
    if not _is_installed("landlockpy"):
        return 0
    import landlockpy

    try:
        return landlockpy.abi_version()
    except OSError:
        return 0


def _has_seccomp() -> bool:
    return not _of_seccomp()


def _of_seccomp() -> list[str]:
    """Why there are no filters of system calls; empty where there are."""
    if not _is_installed("pyseccomp"):
        return ["the package pyseccomp is not installed"]
    try:
        import pyseccomp
    except (RuntimeError, OSError):
        return ["libseccomp is not installed (Debian: apt install libseccomp2)"]
    try:
        with open("/proc/sys/kernel/seccomp/actions_avail", encoding="ascii") as file:
            available = file.read().split()
    except OSError:
        return ["this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)"]
    lacking = {"user_notif", "trace", "errno", "allow"} - set(available)
    if lacking or not hasattr(pyseccomp, "NOTIFY"):
        return [f"this kernel's seccomp lacks {', '.join(sorted(lacking))} (Linux 5.0)"]
    return []
