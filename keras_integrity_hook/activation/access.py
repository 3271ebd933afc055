# SPDX-License-Identifier: Apache-2.0
"""What helps whoever may not change a file of the machine."""

from __future__ import annotations

import shlex
import sys

from keras_integrity_hook.files.portable import system


def remedy() -> str:
    """What to do about a file that this user could not change."""
    if system.geteuid() == 0:
        return (
            "You are root: the file system is mounted read-only, the file is immutable (see "
            "lsattr), or this container may not change it."
        )
    # -P: or what lies in the directory that this is pasted in is imported by root.
    command = [sys.executable, "-P", "-m", "keras_integrity_hook.cli", *sys.argv[1:]]
    return f"Run it as root: sudo {shlex.join(command)}"
