# SPDX-License-Identifier: Apache-2.0
"""Who has signed an open model, in its seal or beside it, and is that enough?"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from keras_integrity_hook.containers.model_file import ModelFile, Seal, SealedModel
from keras_integrity_hook.errors import (
    IntegrityError,
    NotSignedError,
    UnsealedModelError,
    printable,
)
from keras_integrity_hook.history.memory import Memory
from keras_integrity_hook.policy import checks, registration
from keras_integrity_hook.policy.checks import Evidence, Verdict, nothing_remembered
from keras_integrity_hook.settings import Settings

if TYPE_CHECKING:
    from keras_integrity_hook.detached.vouching import Attestation
    from keras_integrity_hook.signing.seal_signers import Signer
else:  # for those who look annotations up at run time
    Attestation = Signer = object


Remembered = Callable[[], IntegrityError | None]


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


def evidence(
    model: SealedModel, demands: Settings, history: Remembered = nothing_remembered
) -> Evidence:
    """What the checks of a policy need to know of the seal of ``model``.

    Args:
        history: tells what of it contradicts what was remembered of its path.
    """
    seal = model.seal
    return Evidence(
        statement=seal.statement,
        now=datetime.now(UTC),
        signers=lambda: signers_of(seal, demands),
        revocation=lambda: _recalled((seal.statement.root,)),
        verdicts=lambda: _verdicts_on(seal, demands),
        history=history,
        registry=functools.cache(  # several checks ask
            lambda: registration.verdict((seal.statement.root,), _keys_on(seal), demands)
        ),
        root_under=functools.cache(lambda algorithm: registration.root_under(model, algorithm)),
    )


def required(
    model: ModelFile, demands: Settings, memory: Memory | None = None
) -> tuple[ModelFile, tuple[str, ...]]:
    """``model``, which a policy wants to be signed, and the names of those who signed it.

    The seal's own signatures are looked at first; where they are too few, a detached one beside the
    model, by itself. Then what is returned is the bytes that were signed, under a seal that pins
    them.

    Args:
        memory: what is remembered of the path, where that counts.

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
    if isinstance(model, SealedModel) and enough.is_met_by(signers):
        _verify_seal(model, demands, signers, history_of(memory, model))
        return model, _names(signers)
    from keras_integrity_hook import detached

    attestation = detached.attestation_for(
        model, at=datetime.now(UTC), machine_only=only_machine_counts(demands)
    )
    if attestation is None:
        if not isinstance(model, SealedModel):
            cause = "the model has no seal and a signed one is required"
            raise UnsealedModelError(cause, path=model.path)
        _verify_seal(model, demands, signers)  # raises: too few have signed
        return model, ()
    _refuse_unvouched(model, attestation, demands)
    # Not added to those in the seal: each was read at a moment of its own, and between the two a
    # file may change.
    statement = (attestation.seal if model.seal is None else model.seal).statement
    roots = (statement.root, *attestation.roots)
    keys = (*_keys_on(model.seal), *(signer.keyid for signer in attestation.signers))
    found = Evidence(
        statement,
        datetime.now(UTC),
        lambda: attestation.signers,
        lambda: _recalled(roots),
        history=history_of(memory, model, beside=True),
        registry=functools.cache(lambda: registration.verdict(roots, keys, demands)),
        root_under=functools.cache(lambda algorithm: registration.root_under(model, algorithm)),
    )
    checks.from_settings(demands).verify(found)
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


def _keys_on(seal: Seal | None) -> tuple[str, ...]:
    return () if seal is None else registration.keys_on(seal.envelope)


def _verify_seal(
    model: SealedModel,
    demands: Settings,
    signers: tuple[Signer, ...],
    history: Remembered = nothing_remembered,
) -> None:
    """Hold the seal of ``model``, which ``signers`` have signed, against ``demands``."""
    found = evidence(model, demands, history)._replace(signers=lambda: signers)
    checks.from_settings(demands).verify(found)


def history_of(memory: Memory | None, model: ModelFile, *, beside: bool = False) -> Remembered:
    """What is asked of ``memory``; nothing about a seal where ``model`` has none."""
    if memory is None or model.seal is None:
        return nothing_remembered
    return lambda: memory.contradiction(model, beside=beside)


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
