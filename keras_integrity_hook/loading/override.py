# SPDX-License-Identifier: Apache-2.0
"""A manual override: one content, named by its digest, is loaded although it would be refused.

Nothing else is let through by that: not what the content was before, not what it becomes next. What
was named is computed again from the bytes as they are and pinned, so that the loader gets those.
No environment variable does this: one is too easily left on.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple

from keras_integrity_hook import audit, notices
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.model_file import ModelFile, SealedModel
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    ConfigurationError,
    DangerousModelError,
    ExpiredModelError,
    InsecurePermissionsError,
    IntegrityError,
    MalformedBundleError,
    NotSignedError,
    OverrideRefusedError,
    OverrideWarning,
    RegistryUnavailableError,
    RevokedModelError,
    RollbackError,
    UnregisteredModelError,
    UnsealedModelError,
    WeakAlgorithmError,
    WrongModelError,
    printable,
)
from keras_integrity_hook.policy import admission, registration
from keras_integrity_hook.saving import provenance
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.verification import pinning

# Not those of a broken structure, where nobody can say what the content is, nor a recalled model's.
_OVERRIDABLE = (
    ChecksumMismatchError,
    DangerousModelError,
    ExpiredModelError,
    InsecurePermissionsError,
    MalformedBundleError,
    NotSignedError,
    RegistryUnavailableError,
    RollbackError,
    UnregisteredModelError,
    UnsealedModelError,
    WeakAlgorithmError,
    WrongModelError,
)
_FORM = "it is written as '<algorithm>:<hex>', as 'keras-integrity inspect --digest' prints it"


class Override(NamedTuple):
    """What is let through: a content by its digest (``"sha256:<hex>"``), and why."""

    digest: str
    reason: str

    @property
    def algorithm(self) -> str:
        """That of the digest."""
        return self.digest.partition(":")[0]


_active: ContextVar[tuple[Override, ...]] = ContextVar("_active", default=())


@contextlib.contextmanager
def override(*, root: str, reason: str) -> Iterator[None]:
    """Let one model be loaded in this ``with`` block although it would be refused.

    It is let through only as the content that was named, with a warning and a line in the log; any
    other is refused as ever. A block counts for its own thread and asynchronous task alone.

    Args:
        root: the digest of the content as ``keras-integrity inspect --digest`` prints it:
            ``"sha256:<hex>"``; the hexadecimal digits alone mean SHA-256.
        reason: why, on one line; it is recorded.

    Raises:
        OverrideRefusedError: no such digest, or no reason; where a policy has
            ``allow_override = false`` it comes from the load itself.

    Example:
        >>> import keras_integrity_hook
        >>> digest = "sha256:" + "0" * 64
        >>> with keras_integrity_hook.override(root=digest, reason="INC-42: last good copy"):
        ...     pass  # keras.models.load_model("model.keras")
    """
    named = Override(_checked_digest(root), _checked_reason(reason))
    token = _active.set((*_active.get(), named))
    try:
        yield
    finally:
        _active.reset(token)


def is_in_force() -> bool:
    """Whether anything may be let through here although it would be refused."""
    return bool(_active.get())


def admitted(
    path: str,
    error: IntegrityError,
    place: Place | None = None,
    *,
    fd: int | None = None,
    named: tuple[str, ...] = (),
) -> SealedModel | None:
    """The model at ``path``, pinned as it is, where somebody overrides its refusal with ``error``.

    None where nobody does: ``error`` stands.

    Args:
        path: what the user named.
        place: where the set lies, None for a single file.
        fd: that file, where it is open already.
        named: what else the user named it by.

    Raises:
        OverrideRefusedError: somebody does, and the policy does not allow it.
        RevokedModelError: somebody does, and the content was recalled.
        AuditError: it could not be recorded, and the policy says that it must be.
    """
    if not _active.get() or not isinstance(error, _OVERRIDABLE):
        return None
    for override in reversed(_active.get()):
        model = _opened(path, place, override.algorithm, fd)
        if model is None:
            return None
        try:
            if _is_named(model, override, error):
                _refuse(model, error, override, named)
                _tell(path, error, override)
                return model
        except BaseException:
            model.close()
            raise
        model.close()
    return None


def _opened(path: str, place: Place | None, algorithm: str, fd: int | None) -> SealedModel | None:
    """The model as it is, None where there is no telling what that is."""
    try:
        return pinning.open_as_it_is(path, place, algorithm, fd=fd)
    except ConfigurationError:
        raise
    except IntegrityError:
        return None


def _is_named(model: SealedModel, named: Override, error: IntegrityError) -> bool:
    digest = pinning.content_digest(model.seal)
    if tree.same_root(digest, named.digest):
        return True
    error.add_note(f"An override is in force here, but not for this content, which is {digest}.")
    return False


def _refuse(
    model: ModelFile, error: IntegrityError, override: Override, named: tuple[str, ...]
) -> None:
    """Refuse what no person may override here, for the record too."""
    try:
        _refuse_recalled(model)
        in_force = admission.demands_on(model, *named)
        for demands in in_force:
            registration.refuse_recalled(model, demands)
        if not all(demands.allow_override for demands in in_force):
            cause = f"the policy allows no override, so the refusal stands ({error.cause})"
            raise OverrideRefusedError(cause, path=model.path) from error
    except (OverrideRefusedError, RevokedModelError) as refused:
        audit.record("override", model.path, outcome="refused", **override._asdict(), error=refused)
        refused.is_told = True
        raise


def _refuse_recalled(model: ModelFile) -> None:
    """Whatever it is refused for, and by whichever algorithm it was named or recalled."""
    from keras_integrity_hook.signing import trust_store

    store = trust_store.store(machine_only=True)
    for algorithm in store.recalling_algorithms():
        recall = store.revoked_models.get(pinning.computed_seal(model, algorithm).statement.root)
        if recall is not None:
            why = printable(recall.reason or "no reason given")
            raise RevokedModelError(f"this model was recalled: {why}", path=model.path)


def _tell(path: str, error: IntegrityError, named: Override) -> None:
    message = (
        f"{printable(path)}: loaded as {named.digest} by override ({named.reason}), "
        f"in spite of: {error.cause}"
    )
    audit.record(
        "override",
        path,
        outcome="overridden",
        why=f"{named.reason} (in spite of: {error.cause})",
        digest=named.digest,
        reason=named.reason,
        error=error,
    )
    notices.warn(message, OverrideWarning)


def _checked_digest(root: object) -> str:
    text = root.lower() if isinstance(root, str) else ""
    algorithm, colon, digits = text.rpartition(":")
    algorithm = algorithm if colon else "sha256"
    width = tree.ALGORITHMS.get(algorithm)
    if width is None or len(digits) != 2 * width or not re.fullmatch("[0-9a-f]+", digits):
        raise OverrideRefusedError(f"an override names no digest of a content; {_FORM}")
    return f"{algorithm}:{digits}"


def _checked_reason(reason: str) -> str:
    try:
        return provenance.checked_reason(reason)
    except ConfigurationError as error:
        raise OverrideRefusedError(f"an override needs a reason: {error.cause}") from None
