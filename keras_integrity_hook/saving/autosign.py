# SPDX-License-Identifier: Apache-2.0
"""Sign what is saved, where the settings name a key.

A save that cannot be signed must not lose the user's model. Where loads demand a signature it
would be of no use, and the file before it perhaps is, so the save is refused and that file stays.
Anywhere else the model is saved with its seal and without a signature, and said so loudly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from keras_integrity_hook import audit, notices, settings
from keras_integrity_hook.containers.model_file import Seal
from keras_integrity_hook.errors import (
    IntegrityError,
    NotSignedError,
    SigningError,
    printable,
)
from keras_integrity_hook.policy import evidence as signatures_on
from keras_integrity_hook.sealing.envelope import Signature
from keras_integrity_hook.settings import Settings

_log = notices.logger()


def check_key(path: str, demands: Settings | None = None) -> None:
    """Before a save that may take minutes: is there a key where one is needed?

    Args:
        demands: the settings in force there, where the caller knows them.

    Raises:
        SigningError: the save at ``path`` must be signed and the key cannot be used.
    """
    if demands is None:
        demands = settings.for_save(path)
    if demands.key is None or not demands.needs_signatures:
        return
    from keras_integrity_hook.signing import signers

    # Asking a device or a service takes a connection or a PIN; they are asked to sign, only.
    if signers.scheme_of(demands.key) in ("file", "env"):
        signers.find(demands.key)


def signatures(payload: bytes, path: str | None, demands: Settings) -> tuple[Signature, ...]:
    """The signatures that a seal with the statement ``payload``, made by a save, gets.

    Args:
        path: where the user will find the model.
        demands: the settings in force there.

    Raises:
        SigningError: it must be signed and could not be.
        AuditError: it could not be signed, nor that be recorded as it has to be.
    """
    if demands.key is None:
        return ()
    from keras_integrity_hook.signing import signers

    try:
        _refuse_work_of_others()
        return (signers.sign(payload, demands.key),)
    except IntegrityError as error:
        if demands.needs_signatures:
            cause = f"not saved, since it could not be signed: {error.cause}"
            raise SigningError(cause, path=path) from None
        _tell(path, error)
        return ()


@contextlib.contextmanager
def only_own_work(reason: Callable[[], str | None]) -> Iterator[None]:
    """Let saves in this block sign nothing that somebody else could have written.

    Args:
        reason: says why somebody could; None where nobody could. Asked only if there is a key, and
            after that of a block around this one.
    """
    outer = _doubt.get()
    token = _doubt.set(lambda: outer() or reason())
    try:
        yield
    finally:
        _doubt.reset(token)


_doubt: ContextVar[Callable[[], str | None]] = ContextVar("_doubt", default=lambda: None)


def _refuse_work_of_others() -> None:
    reason = _doubt.get()()
    if reason is None:
        return
    cause = f"somebody else could have written it before it was sealed: {reason}"
    remedy = (
        "Save where nobody else may write (see umask), or check the model and sign it with "
        "'keras-integrity sign PATH'."
    )
    raise SigningError(cause, remedy=remedy)


def refuse_to_vouch(seal: Seal, path: str) -> None:
    """Refuse to sign, by a save that adds files to a model, the files that it leaves as they are,
    unless somebody has vouched for them: they may be anybody's.

    Args:
        seal: theirs.

    Raises:
        NotSignedError: neither somebody who is trusted nor the key of the save has signed it.
    """
    demands = settings.for_save(path)
    if demands.key is None or signatures_on.signers_of(seal, demands):
        return
    from keras_integrity_hook.signing import signers

    try:
        if signers.has_signed(signers.find(demands.key), seal.envelope):
            return
    except SigningError:
        return  # nor can the save sign with it, and will say so
    cause = "the files that are there already are signed by nobody, and the save would sign them"
    remedy = (
        "Check them and sign them with 'keras-integrity sign PATH', or save to another directory."
    )
    raise NotSignedError(cause, path=path, remedy=remedy)


def _tell(path: str | None, error: IntegrityError) -> None:
    audit.record("sign", path, outcome="failed", error=error)
    message = f"save {printable(path or 'model')}: not signed: {error.in_one_line()}"
    _log.error("%s", message)
    notices.warn(message)
