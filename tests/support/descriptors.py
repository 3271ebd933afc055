# SPDX-License-Identifier: Apache-2.0
"""What this process has open, for tests that nothing of theirs stays open."""

from __future__ import annotations

import gc
import os

from keras_integrity_hook.files import freeing


def opened() -> list[str]:
    """The numbers of the descriptors that are open.

    What earlier tests have left in cycles, or to the thread that frees large files, would be closed
    at any moment: it is closed before they are counted.
    """
    gc.collect()
    freeing.settle()
    return sorted(os.listdir("/proc/self/fd"))
