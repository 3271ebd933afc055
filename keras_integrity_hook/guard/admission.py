# SPDX-License-Identifier: Apache-2.0
"""Step 4 of a load: may this model be loaded here, before a byte of its content is looked at?"""

from __future__ import annotations

import os
import threading
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from keras_integrity_hook import settings
from keras_integrity_hook.containers.base import ModelFile, Seal
from keras_integrity_hook.errors import (
    IntegrityError,
    UnreadableFileError,
    UnsealedModelError,
    UnsealedModelWarning,
    printable,
)
from keras_integrity_hook.guard.refusal import is_refused, outside_depth
from keras_integrity_hook.policy import checks, permissions
from keras_integrity_hook.settings import Settings

if TYPE_CHECKING:
    from keras_integrity_hook.signing.verify import Signer

_warned: set[str] = set()
_warned_lock = threading.Lock()


def admit(model: ModelFile) -> None:
    """Hold an open model against what the policy demands at its path.

    Raises:
        UnsealedModelError: it has no seal and one is required.
        NotSignedError, RevokedModelError, ExpiredModelError, WrongModelError, RollbackError,
        WeakAlgorithmError, InsecurePermissionsError: as their names say.
        ConfigurationError: the policy has a mistake.
    """
    demands = settings.at(model.path)
    if demands.permissions is settings.Permissions.STRICT:
        _check_permissions(model, demands)
    if model.seal is None:
        refuse_unsealed(model.path)
        return
    try:
        checks.from_settings(demands).verify(_evidence(model.seal, demands))
    except IntegrityError as error:
        error.path = error.path or model.path
        raise


def warn_if_unsealed(model: ModelFile) -> None:
    """Warn of an admitted model that has no seal."""
    if model.seal is None:
        # One warning is enough for a set and its files.
        warn_unsealed(model.path, *_paths_of_parts(model))


def warn_unsealed(path: str, *also: str) -> None:
    """Warn, once for each path, that what is loaded from it has no seal.

    Args:
        also: paths of its files, which need no warning of their own.
    """
    with _warned_lock:
        first = path not in _warned
        _warned.update((path, *also))
    if first:
        error = UnsealedModelError("the model has no seal; nothing vouches for its bytes")
        warnings.warn(
            f"{printable(path)}: {error}", UnsealedModelWarning, stacklevel=outside_depth()
        )


def refuse_unsealed(path: str, what: str = "the model") -> None:
    """Refuse what has no seal where one is required. Raises UnsealedModelError."""
    demands = settings.at(path)
    if demands.needs_signatures:
        raise UnsealedModelError(f"{what} has no seal and a signed one is required", path=path)
    if demands.needs_seal:
        raise UnsealedModelError(f"{what} has no seal and one is required", path=path)


def refuse_remote(location: str) -> None:
    """Refuse a model behind a URL where a seal is required: its bytes cannot be held and checked.

    Raises:
        UnsealedModelError: one is required there.
    """
    if not settings.at(location).needs_seal:
        return
    error = UnsealedModelError("a seal is required, and behind a URL none is read", path=location)
    error.default_remedy = "Copy the model to a local path and load it from there."
    is_refused(error)
    raise error


def signers_of(seal: Seal, demands: Settings) -> tuple[Signer, ...]:
    """Who of those that count here has signed ``seal``; imports nothing where nobody has.

    Raises:
        LimitExceededError: more signatures than any seal has.
        ConfigurationError, InsecurePermissionsError: the trust files cannot be used.
    """
    if not seal.envelope.signatures:
        return ()
    from keras_integrity_hook.signing import verify

    machine_only = verify.only_machine_counts(demands.locked)
    return verify.verified_signers(seal.envelope, at=datetime.now(UTC), machine_only=machine_only)


def _evidence(seal: Seal, demands: Settings) -> checks.Evidence:
    root = seal.statement.root
    return checks.Evidence(
        statement=seal.statement,
        now=datetime.now(UTC),
        signers=lambda: signers_of(seal, demands),
        revocation=lambda: _reason(root),
    )


def _reason(root: str) -> str | None:
    from keras_integrity_hook.signing import trust

    found = trust.revocation(root)
    return None if found is None else found.reason or "no reason given"


def _check_permissions(model: ModelFile, demands: Settings) -> None:
    try:
        permissions.check_path(model.path)
        if model.fd >= 0:
            permissions.check_open(model.path, model.fd)
        for path in _paths_of_parts(model):
            permissions.check_path(path)
        for policy in demands.files:
            permissions.check_path(policy)
    except OSError as error:
        cause = f"its permissions cannot be looked at ({error.strerror or error})"
        raise UnreadableFileError(cause, path=model.path) from error


def _paths_of_parts(model: ModelFile) -> list[str]:
    if model.files is None:
        return []
    where = model.files.place.directory
    return [os.path.join(where, part.name) for part in model.files.parts]
