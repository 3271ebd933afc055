# SPDX-License-Identifier: Apache-2.0
"""What an inspection says of a model, in one word; what cannot even be opened is refused."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from keras_integrity_hook import IntegrityError
from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.inspection.findings import Finding, Verdict
from keras_integrity_hook.inspection.inspecting import inspect


class Judgement(NamedTuple):
    """The verdict, and why."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    refusal: str = ""

    @property
    def reasons(self) -> str:
        """All that was found, for the message of a test."""
        said = [f"{one.verdict} {one.rule}: {one.place}: {one.construct}" for one in self.findings]
        return "; ".join([*said, self.refusal]).strip("; ") or "nothing"


def judge(path: Path) -> Judgement:
    """Inspect the model at ``path``."""
    try:
        with open_model(path) as model:
            found = inspect(model)
    except IntegrityError as error:
        return Judgement(Verdict.REFUSE, (), f"{type(error).__name__}: {error}")
    return Judgement(found.verdict, found.findings)
