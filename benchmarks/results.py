# SPDX-License-Identifier: Apache-2.0
"""One measured figure."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.measure import Samples


@dataclass(frozen=True)
class Result:
    """``value`` in ``unit`` of ``what`` in ``case``; ``target`` is the most we want, if any."""

    case: str
    what: str
    value: float
    unit: str
    target: float | None
    samples: Samples = field(default_factory=dict, repr=False)

    @property
    def verdict(self) -> str:
        """Words for the table: whether the target is met."""
        if self.target is None:
            return ""
        return "met" if self.value <= self.target else "missed"
