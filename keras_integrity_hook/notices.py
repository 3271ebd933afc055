# SPDX-License-Identifier: Apache-2.0
"""Where in the user's own program are we? A warning is to show that line."""

from __future__ import annotations

import sys


def outside_depth() -> int:
    """The stack level of the first frame outside this package, Keras and wrapt: the user's line."""
    inside = {"keras_integrity_hook", "keras", "tf_keras", "tensorflow", "wrapt"}
    inside |= {"contextlib", "urllib"}
    frame = sys._getframe(1)
    depth = 1
    while frame.f_back is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in inside:
            return depth
        frame = frame.f_back
        depth += 1
    return depth
