# SPDX-License-Identifier: Apache-2.0
"""What this process has open, for tests that nothing of theirs stays open."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Mapping

from keras_integrity_hook.files import freeing


def opened() -> dict[str, str]:
    """What is open, by the numbers of the descriptors.

    What earlier tests have left in cycles, or to the thread that frees large files, would be closed
    at any moment: it is closed before that is asked.
    """
    gc.collect()
    freeing.settle()
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the list itself, which is closed by now
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return found


def opened_since(before: Mapping[str, str]) -> dict[str, str]:
    """What is open and was not at ``before``. A thread of an earlier test may have closed something
    meanwhile: that is no matter."""
    return {number: what for number, what in opened().items() if before.get(number) != what}
