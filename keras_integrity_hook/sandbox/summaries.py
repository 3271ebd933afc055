# SPDX-License-Identifier: Apache-2.0
"""The verdict on a vetted model, signed and put beside it for policies to ask for."""

from __future__ import annotations

import os
from typing import NamedTuple

from keras_integrity_hook import audit
from keras_integrity_hook.detached import vetted, vsa
from keras_integrity_hook.detached.vsa import Summary
from keras_integrity_hook.errors import SigningError
from keras_integrity_hook.sandbox.vetting import Outcome, Vetting
from keras_integrity_hook.sealing.envelope import Envelope
from keras_integrity_hook.signing import signers
from keras_integrity_hook.signing.secret import Ask


class Signed(NamedTuple):
    """What was written: where, and the id of the key."""

    path: str
    keyid: str


def sign(vetting: Vetting, key: str, *, ask: Ask | None = None) -> Signed:
    """Write down, signed, that a model passed, or that it was refused.

    Args:
        key: a path, ``env:NAME`` or a signer's URI, see :mod:`signing.signers`.
        ask: asks a person for a passphrase or PIN.

    Raises:
        SigningError: a person has to look at the model first; or the key cannot sign; or the file
            cannot be written.
        MalformedBundleError, LimitExceededError, UnreadableFileError: what lies where the summary
            goes is something else.
    """
    if vetting.outcome is Outcome.REVIEW:
        raise SigningError(
            "nothing was signed: the model has to be looked at by a person first",
            path=vetting.path,
            remedy="Name what you have read and trust in allowed_objects, and vet it again.",
        )
    name = os.path.basename(os.path.normpath(vetting.path))
    said = Summary(name, vetting.digest, vetting.passed, vetting.at, vetting.versions)
    payload = vsa.encode(said)
    signature = signers.sign(payload, key, ask=ask)
    where = vetted.write(vetting.path, Envelope(payload, (signature,)))
    done = Signed(where, signature.keyid)
    audit.record("sign", vetting.path, outcome="ok", summary=where, keyid=signature.keyid)
    return done
