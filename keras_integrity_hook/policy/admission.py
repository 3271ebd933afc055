# SPDX-License-Identifier: Apache-2.0
"""Step 4 of a load: may this model be loaded here, before a byte of its content is looked at?"""

from __future__ import annotations

import os
from typing import NamedTuple

from keras_integrity_hook import notices, settings
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.model_file import ModelFile, SealedModel
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    IntegrityError,
    UnreadableFileError,
    UnsealedModelError,
    UnsealedModelWarning,
)
from keras_integrity_hook.files import local_copies, permissions
from keras_integrity_hook.history.memory import Memory
from keras_integrity_hook.policy import checks, evidence, registration
from keras_integrity_hook.policy.refusal import is_refused
from keras_integrity_hook.settings import History, Settings
from keras_integrity_hook.verification import pinning

_MORE_UNSEALED = (
    "more models without a seal are loaded: the logger keras_integrity_hook names each at level "
    "INFO, and 'keras-integrity verify DIR' lists those in a directory"
)


class Admitted(NamedTuple):
    """A model may be loaded.

    Attributes:
        model: as it was opened; where a detached signature satisfied a demand, its raw bytes under
            a seal that pins them, and where a vetter's word did, its content under one.
        signers: names of those whose signatures were asked for and found.
        vetters: names of those whose word that it passed was asked for and found.
        is_registered: that was asked for and found.
        otherwise: what is known where none of that was asked for.
    """

    model: ModelFile
    signers: tuple[str, ...] = ()
    vetters: tuple[str, ...] = ()
    is_registered: bool = False
    otherwise: str = "verified"

    @property
    def is_vouched_for(self) -> bool:
        """Whether somebody was asked for whose word it is, and gave it."""
        return bool(self.signers or self.vetters or self.is_registered)

    @property
    def assurance(self) -> str:
        """For the record, of a model that has a seal and matches it."""
        people = (("signed", self.signers), ("vetted", self.vetters))
        said = [f"{what} by {', '.join(names)}" for what, names in people if names]
        said += ["registered"] if self.is_registered else []
        return ", ".join(said) or self.otherwise


def memory_of(path: str, place: Place | None, *named: str) -> Memory | None:
    """What this machine remembers of a path, to be asked for before the model there is opened.

    None where it is to remember nothing.

    Args:
        place: where a set lies, None for a single file.
        named: as of :func:`admit`.

    Raises:
        ConfigurationError, InsecurePermissionsError: see :func:`settings.at`.
    """
    where = path if place is None else place.path
    in_force = settings.at_each_name(*dict.fromkeys((*named, path, where)))
    counting = [demands for demands in in_force if demands.history is not History.OFF]
    if not counting:
        return None
    return Memory(path, place, of_machine="history" in counting[0].locked)


def admit(model: ModelFile, *named: str, memory: Memory | None = None) -> Admitted:
    """Hold an open model against what the policy demands of it, under every name of it.

    A rule for the model holds, one for a file of it, and one for what the user named.

    Args:
        named: more paths that it is loaded by: a directory of which it is the latest step.
        memory: what :func:`memory_of` had before the model was opened.

    Raises:
        UnsealedModelError: it has no seal and one is required.
        StrippedModelError, SignerChangedError: it contradicts what this machine remembers.
        NotSignedError, RevokedModelError, ExpiredModelError, WrongModelError, RollbackError,
        WeakAlgorithmError, InsecurePermissionsError, MalformedBundleError, NotVettedError,
        UnregisteredModelError, RecalledModelError, RegistryUnavailableError, RegistryForkError: as
        their names say.
        ConfigurationError: the policy has a mistake.
    """
    admitted = Admitted(model)
    in_force = demands_on(model, *named)
    for demands in in_force:
        try:
            admitted = _both(model, admitted, _admitted(model, demands, memory))
        except IntegrityError as error:
            error.path = error.path or model.path
            if model.seal is not None:
                error.sealed = error.sealed or model.seal.statement.origin()
            raise
    if memory is not None and any(demands.history is History.WARN for demands in in_force):
        _warn_of_contradiction(memory, model, admitted)
    return admitted


def _warn_of_contradiction(memory: Memory, model: ModelFile, admitted: Admitted) -> None:
    """Warn of a model that contradicts what this machine remembers of its path."""
    if model.seal is None and admitted.model.seal is not None:
        return  # somebody else vouches for these bytes
    error = memory.contradiction(model, beside=admitted.model is not model)
    if error is not None:
        memory.warn_of(error)


def demands_on(model: ModelFile, *named: str) -> tuple[Settings, ...]:
    """What the policy demands of ``model``, under every name of it and of its files.

    Args:
        named: as of :func:`admit`.

    Raises:
        ConfigurationError, InsecurePermissionsError: see :func:`settings.at`.
    """
    paths = [*named, model.path]
    if model.files is not None:
        paths.append(model.files.place.path)
    return settings.at_each_name(*dict.fromkeys(paths), parts=_paths_of_parts(model))


def _admitted(model: ModelFile, demands: Settings, memory: Memory | None) -> Admitted:
    """``model`` as ``demands`` admit it; raises as :func:`admit`."""
    if demands.permissions is settings.Permissions.STRICT:
        _check_permissions(model, demands)
    memory = None if demands.history is History.OFF else memory
    admitted = Admitted(model)
    if demands.needs_signatures:
        admitted = Admitted(*evidence.required(model, demands, memory))
    elif isinstance(model, SealedModel):
        history = evidence.history_of(memory, model)
        checks.from_settings(demands).verify(evidence.evidence(model, demands, history))
    elif demands.needs_seal and not demands.takes_content_without_seal:
        raise _stripped(memory, model) or _unsealed(model.path, "the model", demands)
    if demands.needs_vetting:
        admitted = _vetted(model, admitted, demands)
    registration.refuse_recalled_otherwise(model, demands)
    if admitted.model.seal is None:
        _refuse_stripped(admitted.model, demands, memory)
        if demands.registry is not None:
            admitted = _pinned_as_registered(admitted, demands)
    return admitted._replace(is_registered=demands.needs_registration)


def _refuse_stripped(model: ModelFile, demands: Settings, memory: Memory | None) -> None:
    """Refuse a model without a seal that had one before, where nobody else has to speak for it."""
    if demands.history is History.ENFORCE and not demands.needs_registration:
        error = _stripped(memory, model)
        if error is not None:
            raise error


def _stripped(memory: Memory | None, model: ModelFile) -> IntegrityError | None:
    """Whether ``model``, which has no seal, had one before."""
    return None if memory is None else memory.contradiction(model)


def _pinned_as_registered(admitted: Admitted, demands: Settings) -> Admitted:
    """Content without a seal, under one that pins what the registry was asked about. Where that
    need not be registered, it must not have been recalled."""
    algorithm = registration.algorithm_for(demands.allowed_algorithms)
    pinned = pinning.pinned(admitted.model, algorithm)
    seen = evidence.evidence(pinned, demands)
    by_algorithm = checks.AlgorithmAmong(demands.allowed_algorithms)
    checks.AllOf((by_algorithm, *checks.of_registry(demands))).verify(seen)
    return admitted._replace(model=pinned, otherwise="not recalled")


def _vetted(model: ModelFile, admitted: Admitted, demands: Settings) -> Admitted:
    from keras_integrity_hook.policy import vetting

    is_pinned = admitted.model is not model
    if is_pinned and model.seal is not None and model.files is None and not model.seal.sidecar:
        # The signature is over the file with its seal, which was compared with its content: what
        # the vetter saw is what the seal in these bytes is of.
        return admitted._replace(vetters=vetting.required(model, demands).vetters)
    found = vetting.required(admitted.model, demands)
    return admitted._replace(model=found.model, vetters=found.vetters)


def _both(model: ModelFile, one: Admitted, other: Admitted) -> Admitted:
    """What is admitted by both: of the bytes that signatures vouch for, one and the same."""
    pins = [each.model for each in (one, other) if each.model is not model]
    roots = {pin.seal.statement.root for pin in pins if pin.seal is not None}
    if len(roots) > 1:
        raise ChecksumMismatchError("the file was changed while it was read")
    kept = pins[0] if pins else model
    return Admitted(
        kept,
        other.signers or one.signers,
        other.vetters or one.vetters,
        other.is_registered or one.is_registered,
        one.otherwise if other.otherwise == Admitted(kept).otherwise else other.otherwise,
    )


def warn_if_unsealed(model: ModelFile, admitted: Admitted) -> None:
    """Warn of a model that was admitted without a seal, and without anybody's word."""
    if model.seal is None and not admitted.is_vouched_for:
        # One warning is enough for a set and its files.
        warn_unsealed(model.path, *_paths_of_parts(model))


def warn_unsealed(path: str, *also: str) -> None:
    """Warn, once for each path, that what is loaded from it has no seal.

    Args:
        also: paths of its files, which need no warning of their own.
    """
    error = UnsealedModelError("the model has no seal; nothing vouches for its bytes", path=path)
    notices.warn(error.facts(), UnsealedModelWarning, once=path, covers=also, rest=_MORE_UNSEALED)


def refuse_unsealed(path: str, what: str = "the model") -> None:
    """Refuse what has no seal where one is required. Raises UnsealedModelError."""
    for demands in settings.at_each_name(path):
        if demands.needs_seal:
            raise _unsealed(path, what, demands)


def refuse_stripped(path: str) -> None:
    """Refuse, or warn of, what is of no kind that has seals, where this machine saw a seal.

    Raises:
        StrippedModelError: the setting ``history`` is ``"enforce"`` there.
    """
    memory = memory_of(path, None)
    error = None if memory is None else memory.stripped(path)
    if memory is None or error is None:
        return
    if any(demands.history is History.ENFORCE for demands in settings.at_each_name(path)):
        raise error
    memory.warn_of(error)


def _unsealed(path: str, what: str, demands: Settings) -> UnsealedModelError:
    needed = "a signed one" if demands.needs_signatures else "one"
    return UnsealedModelError(f"{what} has no seal and {needed} is required", path=path)


def refuse_remote(location: str) -> None:
    """Refuse what is read where it lies, behind a URL, where a seal is required.

    Raises:
        UnsealedModelError: one is required there.
    """
    refuse_uncheckable(
        location,
        "a seal is required, and in this way none is read behind a URL",
        "Copy the model to a local path and load it from there.",
    )


def refuse_uncheckable(location: str, cause: str, remedy: str) -> None:
    """Refuse what is read in a way that cannot be held and checked, where a seal is required.

    Args:
        location: what the rules for paths are asked about: a path, a URL, or a description.

    Raises:
        UnsealedModelError: a seal is required there.
    """
    if not any(demands.needs_seal for demands in settings.at_each_name(location)):
        return
    error = UnsealedModelError(cause, path=location, remedy=remedy)
    is_refused(error)
    raise error


def _check_permissions(model: ModelFile, demands: Settings) -> None:
    try:
        permissions.check_path(local_copies.copy_of(model.path))
        if model.fd >= 0:
            permissions.check_open(model.path, model.fd)
        for path in _paths_of_parts(model):
            permissions.check_path(path)
        beside = model.seal.sidecar if model.seal is not None else None
        if beside is not None:
            permissions.check_path(beside.path)
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
