# SPDX-License-Identifier: Apache-2.0
"""Step 5b of a load: what would Keras do with these bytes? Nothing is deserialized to find out."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from keras_integrity_hook import audit
from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.file_set import OpenSet
from keras_integrity_hook.containers.model_file import ModelFile
from keras_integrity_hook.containers.opening import errors_of
from keras_integrity_hook.errors import LimitExceededError
from keras_integrity_hook.inspection.findings import Finding, worst
from keras_integrity_hook.loading import caller
from keras_integrity_hook.policy import admission, refusal
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.settings import Inspecting, Settings
from keras_integrity_hook.verification import holding
from keras_integrity_hook.verification.holding import Verified
from keras_integrity_hook.verification.verified_file import content_of

if TYPE_CHECKING:
    from keras_integrity_hook.inspection.kept_reads import KeptReads
else:  # for those who look annotations up at run time
    KeptReads = object


def inspect_verified(verified: Verified, *named: str) -> None:
    """Inspect what matched its seal, as it will be handed over.

    Args:
        named: more paths that it is loaded by.

    Raises:
        DangerousModelError: what was found stops the load; in mode ``warn`` it is only reported.
        IntegrityError: what is to be inspected cannot be read.
    """
    demands = _demands(verified.model, named)
    if demands:
        content = content_of(verified) if verified.model.files is None else None
        _inspect(verified.model, content, demands)


def inspect_unsealed(model: ModelFile, *named: str) -> ModelFile:
    """Inspect what has no seal; raises as :func:`inspect_verified`.

    Returns:
        ``model`` with what was inspected of it kept, so that it stays what it was.
    """
    demands = _demands(model, named)
    if not demands:
        return model
    if model.files is None:
        return replace(model, content=_inspect(model, None, demands)[""])
    if os.path.isdir(holding.LINKS):
        # If there are more than may be open the loader has to open them by their names.
        with contextlib.suppress(LimitExceededError):
            file_set.take_hold(model.files)
    _keep(model.files, _inspect(model, None, demands))
    return model


def _keep(files: OpenSet, kept: Mapping[str, KeptReads]) -> None:
    """Let the files be what was read of them; what was read whole needs no descriptor any more."""
    for part in files.parts:
        part.content = kept[part.name]
        if part.fd >= 0 and kept[part.name].is_whole:
            os.close(part.fd)
            part.fd = -1


def _demands(model: ModelFile, named: tuple[str, ...]) -> tuple[Settings, ...]:
    """The settings by which it is inspected; none where it is not to be."""
    demands = admission.demands_on(model, *named)
    return () if all(one.inspection is Inspecting.OFF for one in demands) else demands


def _inspect(
    model: ModelFile, content: Content | None, demands: tuple[Settings, ...]
) -> Mapping[str, KeptReads]:
    from keras_integrity_hook.inspection import inspecting, judging

    with errors_of(model.path):
        inspection = inspecting.inspect(model, content)
    for one in demands if inspection.findings else ():
        stopping = judging.stopping(inspection.findings, one, safe_mode=caller.safe_mode())
        if stopping:
            takes_word = one.inspection is Inspecting.REFUSE
            error = judging.refusal(stopping, model.path, takes_word=takes_word)
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
