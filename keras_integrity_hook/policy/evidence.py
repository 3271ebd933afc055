# SPDX-License-Identifier: Apache-2.0
"""Who has signed an open model, in its seal or beside it, and is that enough?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from keras_integrity_hook.containers.model_file import ModelFile, Seal
from keras_integrity_hook.errors import NotSignedError, UnsealedModelError, printable
from keras_integrity_hook.policy import checks, registration
from keras_integrity_hook.policy.checks import Evidence, Verdict
from keras_integrity_hook.sealing.statement import Statement
from keras_integrity_hook.settings import Settings

if TYPE_CHECKING:
    from keras_integrity_hook.detached.vouching import Attestation
    from keras_integrity_hook.signing.seal_signers import Signer
else:  # for those who look annotations up at run time
    Attestation = Signer = object


def signers_of(seal: Seal, demands: Settings) -> tuple[Signer, ...]:
    """Who of those that count here has signed ``seal``; imports nothing where nobody has.

    Raises:
        LimitExceededError: more signatures than any seal has.
        ConfigurationError, InsecurePermissionsError: the trust files cannot be used.
    """
    if not seal.envelope.signatures:
        return ()
    from keras_integrity_hook.signing import seal_signers

    return seal_signers.verified_signers(
        seal.envelope, at=datetime.now(UTC), machine_only=only_machine_counts(demands)
    )


def _verdicts_on(seal: Seal, demands: Settings) -> Sequence[Verdict]:
    """What each signature in ``seal`` is worth; raises as :func:`signers_of`."""
    if not seal.envelope.signatures:
        return ()
    from keras_integrity_hook.signing import verdicts

    return verdicts.on(
        seal.envelope, at=datetime.now(UTC), machine_only=only_machine_counts(demands)
    )


def evidence(seal: Seal, demands: Settings) -> Evidence:
    """What the checks of a policy need to know of ``seal``."""
    return Evidence(
        statement=seal.statement,
        now=datetime.now(UTC),
        signers=lambda: signers_of(seal, demands),
        revocation=lambda: _recalled((seal.statement.root,)),
        verdicts=lambda: _verdicts_on(seal, demands),
        registry=lambda: registration.verdict(
            (seal.statement.root,), registration.keys_on(seal.envelope), demands
        ),
    )


def required(model: ModelFile, demands: Settings) -> tuple[ModelFile, tuple[str, ...]]:
    """``model``, which a policy wants to be signed, and the names of those who signed it.

    The seal's own signatures are looked at first; where they are too few, a detached one beside the
    model, by itself. Then what is returned is the bytes that were signed, under a seal that pins
    them.

    Raises:
        NotSignedError: too few of those that count have signed.
        UnsealedModelError: no seal and no detached signature; or no seal, where the policy demands
            what only a seal can say.
        MalformedBundleError, ChecksumMismatchError: the detached signature is none, or that of
            something else.
        And whatever else the policy demands and the model lacks.
    """
    signers = () if model.seal is None else signers_of(model.seal, demands)
    enough = checks.SignedBy(demands.signers, demands.threshold)
    if model.seal is not None and enough.is_met_by(signers):
        _verify(demands, model.seal.statement, signers, _asked_of(model))
        return model, _names(signers)
    from keras_integrity_hook import detached

    attestation = detached.attestation_for(
        model, at=datetime.now(UTC), machine_only=only_machine_counts(demands)
    )
    if attestation is None:
        if model.seal is None:
            cause = "the model has no seal and a signed one is required"
            raise UnsealedModelError(cause, path=model.path)
        # Raises: too few have signed.
        _verify(demands, model.seal.statement, signers, _asked_of(model), in_seal=model.seal)
        return model, ()
    _refuse_unvouched(model, attestation, demands)
    # Not added to those in the seal: each was read at a moment of its own, and between the two a
    # file may change.
    statement = (attestation.seal if model.seal is None else model.seal).statement
    roots = (statement.root, *attestation.roots)
    keys = (*_asked_of(model).keys, *(signer.keyid for signer in attestation.signers))
    _verify(demands, statement, attestation.signers, _Recallable(roots, keys))
    return model.with_seal(attestation.seal, attestation.content), _names(attestation.signers)


def _refuse_unvouched(model: ModelFile, attestation: Attestation, demands: Settings) -> None:
    """Name, version and age are the signers' word only if their signature covers the seal."""
    if not demands.asks_of_seal or attestation.vouched:
        return
    cause = (
        f"the detached signature {printable(attestation.bundle)} does not cover a seal, and the "
        "policy demands a name, version or age, which only a seal has"
    )
    if model.seal is None:
        raise UnsealedModelError(cause, path=model.path)
    raise NotSignedError(cause, path=model.path, needed=demands.threshold)


class _Recallable(NamedTuple):
    """What a model may be recalled by.

    Attributes:
        roots: of its content, hex.
        keys: those that have signed, or are said to.
    """

    roots: tuple[str, ...]
    keys: tuple[str, ...] = ()


def _verify(
    demands: Settings,
    statement: Statement,
    signers: tuple[Signer, ...],
    by: _Recallable,
    *,
    in_seal: Seal | None = None,
) -> None:
    """Hold what is known against ``demands``.

    Args:
        in_seal: the seal that ``signers`` have signed, where it is that.
    """
    found = Evidence(
        statement,
        datetime.now(UTC),
        lambda: signers,
        lambda: _recalled(by.roots),
        lambda: () if in_seal is None else _verdicts_on(in_seal, demands),
        lambda: registration.verdict(by.roots, by.keys, demands),
    )
    checks.from_settings(demands).verify(found)


def _asked_of(model: ModelFile) -> _Recallable:
    if model.seal is None:
        return _Recallable(())
    return _Recallable((model.seal.statement.root,), registration.keys_on(model.seal.envelope))


def _names(signers: Iterable[Signer]) -> tuple[str, ...]:
    return tuple(signer.name for signer in signers)


def only_machine_counts(demands: Settings) -> bool:
    """Whether the machine's policy has fixed who has to sign, so that its trust file counts."""
    from keras_integrity_hook.signing import seal_signers

    return seal_signers.only_machine_counts(demands.locked)


def _recalled(roots: Iterable[str]) -> str | None:
    from keras_integrity_hook.signing import trust_store

    for root in roots:
        recall = trust_store.revocation(root)
        if recall is not None:
            return recall.reason or "no reason given"
    return None
