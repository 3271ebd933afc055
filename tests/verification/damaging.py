# SPDX-License-Identifier: Apache-2.0
"""Damage to files, for tests of what notices it."""

from __future__ import annotations

import os
from pathlib import Path


def flip(path: Path, at: float = 0.5) -> None:
    """Turn one bit of the byte at the fraction ``at`` of the file, in place."""
    offset = int(path.stat().st_size * at)
    with open(path, "r+b") as file:
        byte = os.pread(file.fileno(), 1, offset)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), offset)
