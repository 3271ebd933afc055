# SPDX-License-Identifier: Apache-2.0
"""Seal, reseal, unseal and sign models that are there already, atomically."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from keras_integrity_hook import settings
from keras_integrity_hook.api import opening
from keras_integrity_hook.api.opening import Location
from keras_integrity_hook.api.reading import as_sealed
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.errors import (
    AlreadySealedError,
    ConfigurationError,
    UnsealedModelError,
    printable,
)
from keras_integrity_hook.files import portable
from keras_integrity_hook.loading import at_hand
from keras_integrity_hook.report import Report, report_on
from keras_integrity_hook.saving import settled
from keras_integrity_hook.settings import Store
from keras_integrity_hook.tracebacks import left_out

if TYPE_CHECKING:
    from keras_integrity_hook.contracts.contract import InputContract
else:  # for those who look annotations up at run time
    InputContract = object

_Change = TypeVar("_Change", bound=Callable[..., Report])


def _put_back(change: _Change) -> _Change:
    """``change`` of a model, also of one behind a URL: what it did is put back there."""

    @functools.wraps(change)
    def change_and_put_back(path: Location, *args: Any, **kwargs: Any) -> Report:
        with at_hand.to_change(path) as name:
            return change(name, *args, **kwargs)

    return cast(_Change, change_and_put_back)


@left_out
@_put_back
def seal(path: Location, *, algorithm: str | None = None, store: str | None = None) -> Report:
    """Put a seal into an unsealed file, which is replaced atomically, or beside a set of files.

    Args:
        path: as in :func:`verify`.
        algorithm: ``sha256``, ``sha512``, ``blake2b`` or, with its extra, ``blake3``; None for
            that of the settings, which is ``sha256`` by default.
        store: ``"sidecar"`` leaves a single file as it is and puts the seal into
            ``<file>.seal``, ``"embedded"`` puts it into the file; None: as the settings say.

    Raises:
        AlreadySealedError: it has one.
        SealWriteError: the sealed copy could not be written; the file is as it was.
        AuditError: the policy wants it recorded and it cannot be; the file is as it was.
        DamagedFileError, NotAModelError, UnreadableFileError, ConfigurationError: see ``verify``.
    """
    portable.require()
    from keras_integrity_hook.saving import rewrite

    with opening.opened(path) as model:
        if model.seal is not None:
            raise AlreadySealedError("the model has a seal already", path=model.path)
        demands = settings.at(model.path)
        where = demands.store if store is None else _checked_store(store)
        rewrite.put_seal(model, algorithm or demands.algorithm, where)
    return _stated(path)


@left_out
@_put_back
def reseal(path: Location, *, reason: str) -> Report:
    """Replace the seal of a model that was changed on purpose by one over what it is now.

    What was appended to an archive, or is its comment, is no part of the model and is put into
    ``<file>.appended``. The new seal says why, and the root that the old one stated. It takes over
    the input contract, unless a :func:`contract` block states one, and nothing else: name and
    version come from the settings or :func:`provenance`, and older signatures go.

    Args:
        path: as in :func:`verify`; whether the content matches its seal does not matter.
        reason: why it was changed, one line of text.

    Raises:
        UnsealedModelError: there is no seal to replace; :func:`seal` makes the first.
        DamagedFileError, MalformedSealError: the structure is broken, so nobody can tell what the
            content would be.
        SealWriteError: the new seal could not be written; the file is as it was.
        ConfigurationError: the reason is empty, too long or not one line.
    """
    portable.require()
    from keras_integrity_hook.contracts import stated
    from keras_integrity_hook.saving import provenance, rewrite

    with opening.opened_to_mend(path) as model:
        if model.seal is None:
            remedy = "Seal it with 'keras-integrity seal PATH'."
            cause = "the model has no seal to replace"
            raise UnsealedModelError(cause, path=model.path, remedy=remedy)
        algorithm = settings.at(model.path).algorithm
        said = model.seal.statement
        with provenance.resealing(reason, said.root), stated.kept(said.inputs):
            rewrite.put_seal(model, algorithm, settled.store_of(model.seal), "reseal")
    return _stated(path)


@left_out
@_put_back
def unseal(path: Location) -> Report:
    """Take the seal out again, or away: what is left is the original content, byte for byte.

    What another program appended to an archive, or wrote into its comment, is put into
    ``<file>.appended``; members that it added stay.

    Raises:
        UnsealedModelError: there is none.
        SealWriteError: the copy could not be written; the file is as it was.
        AuditError: as for :func:`seal`.
    """
    portable.require()
    from keras_integrity_hook.saving import rewrite

    with opening.opened_to_mend(path) as model:
        if not isinstance(model, SealedModel):
            raise UnsealedModelError("the model has no seal to take out", path=model.path)
        rewrite.take_out(model)
        if model.files is not None:
            return report_on(model.without_seal())  # what is left may not even be a model
    return _stated(path)


@left_out
@_put_back
def set_contract(path: Location, contract: InputContract | None) -> Report:
    """Give a sealed model an input contract, or take it away; all else of its seal stays.

    The model itself is not changed by a byte. Signatures go, because they cover what the seal says:
    the model is signed anew where the settings name a key.

    Args:
        path: as in :func:`verify`.
        contract: None for none.

    Raises:
        UnsealedModelError: there is no seal to put it into; :func:`seal` makes one.
        ChecksumMismatchError: the content does not match its seal; nobody should vouch for it.
        LimitExceededError: the contract is longer than a seal may say.
        SigningError: the model has to be signed and could not be.
        SealWriteError, AuditError: as for :func:`seal`; the model is as it was.
    """
    portable.require()
    from keras_integrity_hook.contracts import spelling
    from keras_integrity_hook.saving import restate, rewrite

    value = None if contract is None else spelling.checked(contract.to_dict())
    with opening.opened(path) as model:
        if not isinstance(model, SealedModel):
            cause = "the model has no seal to put an input contract into"
            remedy = "Seal it with 'keras-integrity seal PATH'."
            raise UnsealedModelError(cause, path=model.path, remedy=remedy)
        with rewrite.written(model.path, "reseal"):
            restate.set_inputs(model, value)
    return _stated(path)


@left_out
@_put_back
def sign(path: Location, *, key: str, ask: Callable[[str], str] | None = None) -> Report:
    """Add a signature to the seal of a model whose content matches it; nothing else changes.

    It vouches for all that the seal says, the model's name and version among it. Where the same
    key has signed already nothing is done.

    Args:
        path: as in :func:`verify`.
        key: the path of a private key, ``env:NAME``, or a signer URI (``hsm:…``, ``awskms:…``).
        ask: asks a person for a passphrase or PIN, given what it is for; without it the
            environment has to give it (``KERAS_INTEGRITY_KEY_PASSPHRASE_FILE``).

    Raises:
        UnsealedModelError: there is no seal to sign.
        SigningError: the key cannot be used.
        RevokedModelError: the model was recalled.
        SealWriteError: the new file could not be written; the one there is as it was.
        ChecksumMismatchError and the rest: as :func:`verify`.
    """
    portable.require()
    from keras_integrity_hook.saving import resign, rewrite

    with opening.opened(path) as model:
        if not isinstance(model, SealedModel):
            raise UnsealedModelError("the model has no seal to sign", path=model.path)
        with rewrite.written(model.path, "sign"):
            resign.add_signature(model, key, ask)
    return _stated(path)


def _stated(path: Location) -> Report:
    """What the seal says, without a walk through the parts, which takes long in a crafted file."""
    with opening.opened(path) as model:
        return as_sealed(report_on(model))


def _checked_store(name: str) -> Store:
    try:
        return Store(name)
    except ValueError:
        allowed = ", ".join(one.value for one in Store)
        cause = f"store is '{printable(str(name))}'; allowed are {allowed}"
        raise ConfigurationError(cause) from None
