# SPDX-License-Identifier: Apache-2.0
"""Processes that are forked beside other threads, and whether they come to an end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

SECONDS = 60.0
"""After which a child hangs for ever, and not because the machine is busy."""


def ends(work: Callable[[], object]) -> bool:
    """Whether a forked child that does ``work`` comes to its end, in whatever way but by waiting.

    Raises:
        AssertionError: ``work`` raised something there, which was printed.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    until = time.monotonic() + SECONDS
    while not (found := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(0.0002)
    assert os.waitstatus_to_exitcode(found[1]) == 0
    return True
