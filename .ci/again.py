#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""``again.py COMMAND …`` runs a command that downloads, up to three times.

Networks fail once, and what has come by then is in the cache of pip or uv. For installing only: a
test that passes when it is run again has not passed. The exit status is that of the last attempt.
"""

import shlex
import subprocess
import sys
import time

WAITS = (5, 30)  # seconds before the second and the third attempt


def run(command: list[str]) -> int:
    """The exit status of the first attempt that succeeds, or of the last."""
    for wait in WAITS:
        if (status := subprocess.call(command)) == 0:
            return status
        told = f"again in {wait} s, as it ended with {status}: {shlex.join(command)}"
        print(told, file=sys.stderr, flush=True)
        time.sleep(wait)
    return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(abs(run(sys.argv[1:])))
