# SPDX-License-Identifier: Apache-2.0
"""What does the registry that the settings name know of this model?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from keras_integrity_hook import notices
from keras_integrity_hook.containers.model_file import ModelFile
from keras_integrity_hook.errors import (
    ConfigurationError,
    IntegrityError,
    LimitExceededError,
    RecalledModelError,
    RegistryError,
    RegistryForkError,
    printable,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.policy import checks
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.envelope import Envelope
from keras_integrity_hook.settings import Require, Settings
from keras_integrity_hook.verification import pinning

if TYPE_CHECKING:
    from keras_integrity_hook.registry.verdicts import Verdict
else:  # for those who look annotations up at run time
    Verdict = object

_KEYID = re.compile("[0-9a-f]{64}")


def verdict(digests: Sequence[str], keys: Sequence[str], demands: Settings) -> Verdict | None:
    """What is known of a content; None where no registry is asked.

    Where nothing has to be registered, a registry that does not answer stops no load: that is told,
    and None.

    Args:
        digests: of the content, hex.
        keys: ids of the keys that have signed its seal, hex.

    Raises:
        RegistryForkError: the registry shows another past than before.
        RegistryUnavailableError, MalformedEventError, LimitExceededError, RegistryError: nothing
            that counts was answered, and the model has to be registered.
        ConfigurationError: no registry is named, or not which one that is.
    """
    if demands.registry is None and not demands.needs_registration:
        return None
    url, registry_id = _named(demands)
    from keras_integrity_hook.registry import client

    try:
        return client.ask(
            url,
            digests,
            keys=keys,
            registry_id=registry_id,
            max_age=demands.registry_max_age,
            timeout=demands.registry_timeout,
        )
    except RegistryForkError:
        raise
    except (RegistryError, LimitExceededError) as error:
        if demands.needs_registration:
            raise
        _tell(error)
        return None


def refuse_recalled_otherwise(model: ModelFile, demands: Settings) -> None:
    """Refuse ``model`` where its content was recalled and its seal names it by a digest that a
    registry need not know, so that nobody would notice; raises as :func:`refuse_recalled`.

    Of what was never registered a recall has one digest alone, which is that of the usual
    algorithm; and the others of a registration are the word of who registered.
    """
    if demands.registry is None or model.seal is None:
        return
    if model.seal.statement.algorithm != algorithm_for(tree.ALGORITHMS):
        refuse_recalled(model, demands)


def refuse_recalled(model: ModelFile, demands: Settings) -> None:
    """Refuse ``model``, whatever its seal says, where its content was recalled. A registry that
    does not answer refuses nothing.

    Raises:
        RecalledModelError: it was.
        RegistryForkError, ConfigurationError: as :func:`verdict`.
    """
    if demands.registry is None:
        return
    pinned = pinning.computed_seal(model, algorithm_for(tree.ALGORITHMS)).statement
    known = verdict((pinned.root,), (), demands._replace(require=Require.NOTHING))
    try:
        checks.refuse_recalled(known)
    except RecalledModelError as error:
        error.path = model.path
        raise


def root_under(model: ModelFile, algorithm: str) -> str | None:
    """The root that the content of ``model`` has now, whatever its seal says; None where this
    machine has no such algorithm. The content is read."""
    if algorithm not in tree.ALGORITHMS or not tree.is_available(algorithm):
        return None
    return pinning.computed_seal(model, algorithm).statement.root


def keys_on(envelope: Envelope) -> tuple[str, ...]:
    """The ids of the keys that ``envelope`` says have signed it, whether they have or not: what
    names a key that was recalled is not to be used."""
    named = (one.keyid for one in envelope.signatures[: LIMITS.signatures])
    return tuple(dict.fromkeys(filter(_KEYID.fullmatch, named)))


def algorithm_for(allowed: Iterable[str]) -> str:
    """The algorithm by which content without a seal is asked about; registrations and recalls are
    known by each."""
    usable = [name for name in tree.ALGORITHMS if name in allowed and tree.is_available(name)]
    return usable[0] if usable else "sha256"


def _named(demands: Settings) -> tuple[str, str]:
    if demands.registry is None:
        cause = f'require is "{demands.require}", and no registry is named'
        raise ConfigurationError(cause, remedy="Set registry and registry_id.")
    if demands.registry_id is None:
        cause = "registry is set, and registry_id is not: anybody could answer for it"
        remedy = "Set registry_id: 'keras-integrity registry status' prints it."
        raise ConfigurationError(cause, remedy=remedy)
    return demands.registry, demands.registry_id


def _tell(error: IntegrityError) -> None:
    notices.trouble(f"loaded without asking whether it was recalled: {printable(error.cause)}")
