# SPDX-License-Identifier: Apache-2.0
"""What an inspection says: findings, each by a rule, and one verdict over all of them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple


class Verdict(StrEnum):
    """What a finding, or a whole model, amounts to; the worst finding decides."""

    FINE = "fine"
    REVIEW = "review"
    """It carries code, or reads other files: somebody has to know it."""
    REFUSE = "refuse"
    """Only an attack does this."""


_SEVERITY = {Verdict.FINE: 0, Verdict.REVIEW: 1, Verdict.REFUSE: 2}


class Finding(NamedTuple):
    """One thing that was found.

    Attributes:
        rule: which rule says so, a stable word such as ``"lambda-code"``; see docs.
        verdict: what it amounts to.
        file: the file, member or part that it is in, e.g. ``"config.json"``; escaped.
        place: where in it, in the user's terms, e.g. ``"layer 'dense_3' > activation"``; escaped.
        construct: what stands there, e.g. ``"builtins>eval"``; escaped, cut.
        why: what loading it would do, one sentence without a final stop.
        object: the full name by which ``allowed_objects`` can allow it, e.g. ``"my_pkg>Scale"``;
            empty where no name can allow it.
    """

    rule: str
    verdict: Verdict
    file: str
    place: str
    construct: str
    why: str
    object: str = ""

    def sentence(self) -> str:
        """What stands where, and what loading it would do; without a final stop."""
        where = " of ".join(filter(None, (self.place, self.file)))
        what = " in ".join(filter(None, (self.construct, where)))
        return f"{what}: {self.why}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {**self._asdict(), "verdict": str(self.verdict)}


def worst(findings: Iterable[Finding]) -> Verdict:
    """The verdict over all of ``findings``; fine where there is none."""
    return max((one.verdict for one in findings), key=_SEVERITY.__getitem__, default=Verdict.FINE)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """``findings`` by their verdicts, those of one verdict in the order they have."""
    return sorted(findings, key=lambda one: _SEVERITY[one.verdict], reverse=True)
