# SPDX-License-Identifier: Apache-2.0
"""Add a signature to a seal that is there; neither content nor statement change by a byte."""

from __future__ import annotations

from keras_integrity_hook import audit
from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.file_set import OpenSet
from keras_integrity_hook.containers.formats import FORMATS
from keras_integrity_hook.containers.model_file import ModelFile, Seal, SealedModel
from keras_integrity_hook.errors import (
    LimitExceededError,
    RevokedModelError,
    SealWriteError,
    printable,
)
from keras_integrity_hook.history import moves
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.saving import rewrite, seal_writer, sidecars
from keras_integrity_hook.sealing import block, envelope
from keras_integrity_hook.sealing.envelope import Envelope
from keras_integrity_hook.signing import signers, trust_store
from keras_integrity_hook.signing.secret import Ask, Secrets
from keras_integrity_hook.verification import digests


def add_signature(model: SealedModel, reference: str, ask: Ask | None = None) -> bool:
    """Sign the seal of ``model``, if its content matches it.

    Args:
        model: an open, sealed model; the file at its path is replaced.
        reference: the key, see :mod:`~keras_integrity_hook.signing.signers`.
        ask: asks a person for a passphrase or PIN.

    Returns:
        False where a signature by this key is there already, and nothing was changed.

    Raises:
        ChecksumMismatchError: the content does not match; nobody should vouch for it.
        RevokedModelError: the model was recalled.
        SigningError: the key cannot be used.
        LimitExceededError: the seal has as many signatures as it may have.
        SealWriteError, OSError: the file could not be replaced and is as it was.
    """
    digests.check_content(model)
    refuse_recalled(model)
    signed = _signed(model.seal.envelope, reference, ask)
    if signed is None:
        return False
    wrapped = envelope.encode(signed)
    keyid = signed.signatures[-1].keyid
    facts = audit.seal_facts(model.seal.statement)
    audit.record("sign", model.path, outcome="ok", keyid=keyid, **facts)
    put = moves.Put(model.seal.statement, signed, (keyid,))
    with rewrite.moved_along(model, put):
        put_envelope(model, wrapped)
    return True


def refuse_recalled(model: SealedModel) -> None:
    """Raise RevokedModelError where ``model`` was recalled."""
    revoked = trust_store.revocation(model.seal.statement.root)
    if revoked is not None:
        cause = f"this model was recalled: {printable(revoked.reason)}"
        raise RevokedModelError(cause, path=model.path)


def put_envelope(model: SealedModel, wrapped: bytes) -> None:
    """Put another envelope in the place of that of ``model``, over the same content.

    Args:
        wrapped: the envelope, encoded.

    Raises:
        SealWriteError, OSError: the file could not be replaced and is as it was.
    """
    if model.files is not None:
        _refuse_resealed(model.files, model.seal)
        directory, place = model.files.directory, model.files.place
        seal_writer.put_beside(directory, place, block.encode(wrapped, model.seal.table))
    elif model.seal.sidecar is not None:
        sidecars.replace_seal(model, block.encode(wrapped, model.seal.table))
    else:
        _rewrite(model, model.seal, wrapped)


def _refuse_resealed(files: OpenSet, seal: Seal) -> None:
    """Refuse to put a seal in the place of another than the one that was read: the model may have
    been saved anew meanwhile."""
    current = file_set.read_block(files)
    if current is None or envelope.decode(current.envelope) != seal.envelope:
        raise SealWriteError("the model was changed while it was signed", path=files.place.path)


def _signed(old: Envelope, reference: str, ask: Ask | None) -> Envelope | None:
    secrets = Secrets(ask)
    key = signers.find(reference, secrets)
    if signers.has_signed(key, old):
        return None
    # What stands there under this key's id and is no signature by it does not keep it out.
    kept = tuple(one for one in old.signatures if one.keyid != key.public.keyid)
    if len(kept) >= LIMITS.signatures:
        raise LimitExceededError(f"the seal has {len(kept)} signatures already")
    made = signers.sign_with(key, old.payload, reference, secrets)
    return Envelope(old.payload, (*kept, made))


def _rewrite(model: ModelFile, seal: Seal, wrapped: bytes) -> None:
    # In HDF5 the block fills the user block; its padding usually has room for more.
    with rewrite.replaced(model, FORMATS[model.container].room_for(seal.size)) as (fd, _):
        seal_writer.put_block(fd, seal_writer.plain_layout(fd), wrapped, seal.table)
