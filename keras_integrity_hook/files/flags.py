# SPDX-License-Identifier: Apache-2.0
"""The flags of open(2), wherever Python runs.

Those that ``files.substitutes`` can see to where the system has no such flag are bits that no
system uses: ``os.open`` refuses them, so that none is passed over in silence. The others are
nothing where they are missing, for there they would change nothing: Windows has neither FIFOs nor
terminals to wait for, and Python opens no file there that a child inherits.
"""

from __future__ import annotations

import os

_HAS_OPEN_DIRECTORIES = hasattr(os, "O_DIRECTORY")

O_CLOEXEC: int = getattr(os, "O_CLOEXEC", 0)
O_DIRECTORY: int = getattr(os, "O_DIRECTORY", 1 << 40)
O_NOCTTY: int = getattr(os, "O_NOCTTY", 0)
O_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 1 << 41)
O_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
# A directory that may be renamed and removed while it is open, as it may everywhere but on Windows.
O_MOVABLE: int = 0 if _HAS_OPEN_DIRECTORIES else 1 << 42
O_PATH: int = getattr(os, "O_PATH", os.O_RDONLY)  # for use with ``dir_fd`` alone
O_BINARY: int = getattr(os, "O_BINARY", 0)  # or Windows ends lines in its own way
