# SPDX-License-Identifier: Apache-2.0
"""A process that may open no more files: that is no fault of the file it was about to open."""

from __future__ import annotations

import errno

REMEDY = (
    "Close what is no longer needed, or let the process hold more files open ('ulimit -n', "
    "LimitNOFILE of systemd), and load the model again."
)


def is_exhausted(error: BaseException) -> bool:
    """Whether ``error`` says that this process, or the system, has no descriptor left."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def remedy_for(error: BaseException) -> str | None:
    """What to do about ``error`` if that is it; None for any other, which has its own remedy."""
    return REMEDY if is_exhausted(error) else None
