# SPDX-License-Identifier: Apache-2.0
"""Does what is at a path now contradict what was there before? Values in, an error or None out.

Three things contradict it, because no work on a model brings them about: its seal is gone, none of
those who had signed has signed, its version is below one that was here. Another content under the
same signers and no lower version is what training anew, or a new release, looks like.
"""

from __future__ import annotations

from keras_integrity_hook.errors import (
    IntegrityError,
    RollbackError,
    SignerChangedError,
    StrippedModelError,
)
from keras_integrity_hook.history.seen import Seen
from keras_integrity_hook.versions import is_below

_SHORT = 12  # hex digits of a key id, which people compare
_ROLLBACK_REMEDY = (
    "Get the newer version. If the older one is meant, say so with 'keras-integrity history forget "
    "PATH'."
)


def stripped(before: Seen, path: str) -> StrippedModelError:
    """The error of a model whose seal is gone."""
    cause = f"it has no seal, and what this machine saw here at {before.at} had one"
    return StrippedModelError(cause, path=path)


def contradiction(before: Seen, now: Seen, path: str) -> IntegrityError | None:
    """Why a sealed model is not what follows on what was there; None where it may be.

    Args:
        path: what the user calls it.
    """
    return signer_changed(before, now, path) or rollback(before, now, path)


def signer_changed(before: Seen, now: Seen, path: str) -> SignerChangedError | None:
    """Whether none of those who had signed has signed.

    A signature that cannot be verified here, by a key that nobody here trusts, is a claim: it
    proves nothing, and where it is still made nothing proves that it is gone. Keys that the trust
    files give one name are one signer's, who changes keys now and then.
    """
    keys = {*before.signers, *before.claims}
    if not keys or not keys.isdisjoint((*now.signers, *now.claims)):
        return None
    if not _names(before).isdisjoint(_names(now)):
        return None
    was = "was" if before.signers else "claimed to be"
    cause = (
        f"it is signed by none of those who had signed what this machine saw here at {before.at}, "
        f"which {was} signed by {_spelled(before)}"
    )
    return SignerChangedError(cause, path=path, signers=tuple(sorted(keys)))


def rollback(before: Seen, now: Seen, path: str) -> RollbackError | None:
    """Whether its version is below the highest of its name; versions that PEP 440 does not order
    say nothing."""
    version, highest = now.versions.get(now.name), before.versions.get(now.name)
    if version is None or highest is None or not is_below(version, highest):
        return None
    named = f"'{now.name}' " if now.name else ""
    cause = f"its seal says {named}version {version}, and this machine saw version {highest} here"
    return RollbackError(cause, path=path, remedy=_ROLLBACK_REMEDY)


def _names(seen: Seen) -> frozenset[str]:
    return frozenset(name for names in seen.signers.values() for name in names)


def _spelled(seen: Seen) -> str:
    signers = seen.signers or dict.fromkeys(seen.claims, ())
    told = [_signer(keyid, names) for keyid, names in list(signers.items())[:2]]
    rest = [f"{len(signers) - 2} more"] if len(signers) > 2 else []
    return " and ".join((*told, *rest))


def _signer(keyid: str, names: tuple[str, ...]) -> str:
    key = f"key {keyid[:_SHORT]}"
    return f"'{names[0]}' ({key})" if names else key
