# SPDX-License-Identifier: Apache-2.0
"""Step 5b of a load: what would Keras do with these bytes? Nothing is deserialized to find out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from keras_integrity_hook import audit
from keras_integrity_hook.containers.model_file import ModelFile
from keras_integrity_hook.inspection.findings import Finding, worst
from keras_integrity_hook.loading import caller
from keras_integrity_hook.policy import admission, refusal
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.settings import Inspecting
from keras_integrity_hook.verification.holding import Verified
from keras_integrity_hook.verification.verified_file import HeldContent

if TYPE_CHECKING:
    from keras_integrity_hook.inspection.kept_reads import KeptReads


def inspect_verified(verified: Verified, *named: str) -> None:
    """Inspect what matched its seal, as it will be handed over.

    Args:
        named: more paths that it is loaded by.

    Raises:
        DangerousModelError: what was found stops the load; in mode ``warn`` it is only reported.
        IntegrityError: what is to be inspected cannot be read.
    """
    content = HeldContent.of(verified) if verified.model.files is None else None
    _inspect(verified.model, content, named)


def inspect_unsealed(model: ModelFile, *named: str) -> Content:
    """Inspect what has no seal; raises as :func:`inspect_verified`.

    Returns:
        The content of ``model``: what was inspected of it is kept, and stays what it was.
    """
    kept = _inspect(model, None, named)
    return model.content if kept is None or model.files is not None else kept[""]


def _inspect(
    model: ModelFile, content: Content | None, named: tuple[str, ...]
) -> Mapping[str, KeptReads] | None:
    demands = admission.demands_on(model, *named)
    if all(one.inspection is Inspecting.OFF for one in demands):
        return None
    from keras_integrity_hook.inspection import inspecting, judging

    inspection = inspecting.inspect(model, content)
    for one in demands if inspection.findings else ():
        stopping = judging.stopping(inspection.findings, one, safe_mode=caller.safe_mode())
        if stopping:
            error = judging.refusal(
                stopping, model.path, takes_word=one.inspection is Inspecting.REFUSE
            )
            if refusal.is_refused(error):
                raise error
            break  # one report of it is enough
    else:
        judged = (judging.as_set(inspection.findings, one) for one in demands)
        _record(model.path, tuple(dict.fromkeys(itertools.chain(*judged))))
    return inspection.kept


def _record(path: str, findings: tuple[Finding, ...]) -> None:
    """Record what was found and stops no load, before the model is handed over."""
    if findings:
        told = [finding.to_dict() for finding in findings]
        audit.record("inspection", path, outcome=str(worst(findings)), findings=told)
