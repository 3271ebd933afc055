# SPDX-License-Identifier: Apache-2.0
"""What a registration says of a model, computed from its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.errors import RegistryError, printable
from keras_integrity_hook.limits import KIB
from keras_integrity_hook.registry.events import Registered
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.statement import files_digest
from keras_integrity_hook.verification import digests, pinning

_PROVENANCE = 16 * KIB  # characters of an event; a seal may have more
_REMEDY = "Say what it is: --model NAME and --version VERSION, as the seal says it if it does."


def registration(
    model: SealedModel, *, name: str | None = None, version: str | None = None
) -> Registered:
    """That ``model`` is what its seal says, or ``name`` and ``version`` where the seal says none.

    Its content is compared with its seal, and read once more for each algorithm.

    Raises:
        ChecksumMismatchError, DamagedFileError: the content is not that of the seal.
        RegistryError: there is no name or version, or the seal says another.
    """
    digests.check_content(model)
    stated = model.seal.statement
    return Registered(
        _one(model, "name", name),
        _one(model, "version", version),
        stated.root,
        stated.algorithm,
        stated.size,
        stated.container,
        hashlib.sha256(model.seal.envelope.payload).hexdigest(),
        roots(model),
        _short(stated.provenance),
        files_digest(stated.files),
    )


def roots(model: SealedModel) -> dict[str, str]:
    """The roots (hex) that seals over the content would have, by algorithm: all that can be
    computed here."""
    known = {model.seal.statement.algorithm: model.seal.statement.root}
    for algorithm in tree.ALGORITHMS:
        if algorithm not in known and tree.is_available(algorithm):
            known[algorithm] = pinning.computed_seal(model, algorithm).statement.root
    return known


def _one(model: SealedModel, what: str, given: str | None) -> str:
    """The model's ``what``, from its seal or as it was given."""
    sealed = model.seal.statement.model.get(what)
    if sealed and given and sealed != given:
        cause = f"the seal says {what} '{printable(sealed)}', and not '{printable(given)}'"
        raise RegistryError(cause, path=model.path, remedy=_REMEDY)
    stated = given or sealed
    if not stated:
        raise RegistryError(f"the seal says no {what}", path=model.path, remedy=_REMEDY)
    return stated


def _short(facts: Mapping[str, str]) -> dict[str, str]:
    """As many of the facts as an event has room for."""
    kept, left = {}, _PROVENANCE
    for name, fact in facts.items():
        left -= len(name) + len(fact)
        if left >= 0:
            kept[name] = fact
    return kept
