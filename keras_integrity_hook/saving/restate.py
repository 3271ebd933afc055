# SPDX-License-Identifier: Apache-2.0
"""Change what a seal says of a model; the content stays as it is, and what else is said."""

from __future__ import annotations

from typing import Any

from keras_integrity_hook import audit, settings
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.history import moves
from keras_integrity_hook.saving import autosign, resign, rewrite
from keras_integrity_hook.saving.provenance import RESEAL
from keras_integrity_hook.sealing import canonical, envelope, statement
from keras_integrity_hook.sealing.envelope import Envelope
from keras_integrity_hook.verification import digests

_REASON = "the input contract was {}"


def set_inputs(model: SealedModel, inputs: Any) -> None:
    """Let the seal of ``model`` state another input contract, if its content matches it.

    Older signatures cover what was said before, so they go; where the settings name a key, the
    model is signed anew.

    Args:
        inputs: the contract as a seal spells it; None for none.

    Raises:
        ChecksumMismatchError: the content does not match; nobody should vouch for it.
        RevokedModelError: the model was recalled.
        SigningError: it has to be signed and could not be.
        LimitExceededError: the contract is longer than a seal may say.
        SealWriteError, AuditError, OSError: the model is as it was.
    """
    digests.check_content(model)
    resign.refuse_recalled(model)
    demands = settings.for_save(model.path)
    payload = _restated(model.seal.envelope.payload, inputs)
    said = statement.decode(payload)
    signed = Envelope(payload, autosign.signatures(payload, model.path, demands))
    why = {key: said.provenance[key] for key in RESEAL}
    audit.record("reseal", model.path, outcome="ok", **audit.seal_facts(said), **why)
    with rewrite.moved_along(model, moves.made(said, signed)):
        resign.put_envelope(model, envelope.encode(signed))


def _restated(payload: bytes, inputs: Any) -> bytes:
    """``payload`` with another contract; every other field is spelt as it was, known or not."""
    said = canonical.decode(payload)
    predicate = said["predicate"]
    predicate.pop("inputs", None)
    if inputs is not None:
        predicate["inputs"] = inputs
    reason = _REASON.format("taken away" if inputs is None else "set")
    root = statement.decode(payload).root
    predicate["provenance"] |= dict(zip(RESEAL, (reason, root), strict=True))
    return canonical.encode(said)
