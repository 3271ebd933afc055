# SPDX-License-Identifier: Apache-2.0
"""How much a model may take in a sandbox."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from keras_integrity_hook.limits import MIB

_GIB = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """How much a model may take; what is above it ends the process, with a SandboxLimitError.

    Attributes:
        seconds: for one question: the load, or one call of ``predict``; by the clock on the wall.
        start_seconds: for Python to start and Keras to be imported.
        cpu_seconds: of all processors, from the load on, in sum.
        memory: bytes of address space beyond what Python and its libraries take.
        disk: bytes in the private directory.
        answer: bytes of the arrays of one answer.
        output: bytes that it prints in sum.
        threads: at once, those of the libraries included.
    """

    seconds: float = 300.0
    start_seconds: float = 120.0
    cpu_seconds: int = 3600
    memory: int = 8 * _GIB
    disk: int = 2 * _GIB
    answer: int = 2 * _GIB
    output: int = 16 * MIB
    threads: int = 1024

    def __post_init__(self) -> None:
        """Raises ValueError for a limit that is not a number above 0."""
        for field in fields(self):
            value = getattr(self, field.name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not math.isfinite(value) or value <= 0:
                raise ValueError(f"{field.name} must be a number above 0, not {value!r}")
