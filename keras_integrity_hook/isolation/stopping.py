# SPDX-License-Identifier: Apache-2.0
"""A confined process that is not to go on: for a while, or for good."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

from keras_integrity_hook.isolation.home import PrivateHome
from keras_integrity_hook.isolation.protocol import Channel

_STOPPING = 1.0  # seconds that a process may take to stand still
_SHORTLY = 0.0001  # seconds


def stand_still(child: subprocess.Popen[bytes]) -> None:
    """Let the process stand still, and wait until it does.

    Where this program is killed, the kernel ends what stands still of it, and not what is only
    about to, which would then stand for ever.
    """
    child.send_signal(signal.SIGSTOP)
    latest = time.monotonic() + _STOPPING
    asked = os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT
    with contextlib.suppress(ChildProcessError):  # it has ended
        while os.waitid(os.P_PID, child.pid, asked) is None:
            if time.monotonic() > latest:
                return
            time.sleep(_SHORTLY)


def forget(owner: int, child: subprocess.Popen[bytes], channel: Channel, home: PrivateHome) -> None:
    """End what nobody has closed and nobody holds any more; a forked child of the program that
    ``owner`` is the process of has none to end."""
    if os.getpid() != owner:
        return
    child.kill()
    child.wait()
    channel.close()
    home.remove()
