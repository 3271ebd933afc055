# SPDX-License-Identifier: Apache-2.0
"""Errors of a model that is whole and may not be used here, and of keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_integrity_hook.errors.base import IntegrityError


class InsecureDownloadError(IntegrityError):
    """A model file would be downloaded over a connection that is not encrypted, or without the hash
    that the policy asks for.

    Args:
        path: the URL that was asked for, without user, password, query and fragment.
        urls: it and the URLs it was redirected to, likewise; the last was not contacted.
    """

    code = "insecure-download"
    default_remedy = (
        "Use an https:// address that does not redirect to plain http, and give the file's SHA-256 "
        "as file_hash; or fetch the file in a way you trust and give Keras the local path."
    )

    def __init__(
        self,
        cause: str,
        *,
        path: str | None = None,
        urls: tuple[str, ...] = (),
        remedy: str | None = None,
    ) -> None:
        super().__init__(cause, path=path, remedy=remedy)
        self.urls = urls

    def evidence(self) -> dict[str, Any]:
        return {"urls": list(self.urls)}


class NotSignedError(IntegrityError):
    """Signatures of trusted signers are required and too few are there.

    Args:
        signers: names of the signers whose valid signatures were found.
        needed: how many are required, or 0.
        signatures: those that are there and what each is worth, as JSON-able values: ``keyid``,
            ``names``, ``state``, ``since``, ``reason``.
    """

    code = "not-signed"
    default_remedy = (
        "Get a signed copy. If you are a signer, check the model and sign it with "
        "'keras-integrity sign PATH'; 'keras-integrity trust list' shows whom this machine trusts."
    )

    signatures: tuple[Mapping[str, object], ...] = ()  # those of an older version have none

    def __init__(  # noqa: PLR0913
        self,
        cause: str,
        *,
        path: str | None = None,
        signers: tuple[str, ...] = (),
        needed: int = 0,
        signatures: tuple[Mapping[str, object], ...] = (),
        remedy: str | None = None,
    ) -> None:
        super().__init__(cause, path=path, remedy=remedy)
        self.signers = signers
        self.needed = needed
        self.signatures = signatures

    def evidence(self) -> dict[str, Any]:
        return {
            "signers": list(self.signers),
            "needed": self.needed,
            "signatures": [dict(one) for one in self.signatures],
        }


class RevokedModelError(IntegrityError):
    """This very model, by its root digest, was recalled."""

    code = "revoked-model"
    default_remedy = "Do not load it: get the version that replaces it from its publisher."


class ExpiredModelError(IntegrityError):
    """The seal is past its expiry, or older than the policy allows."""

    code = "expired-model"
    default_remedy = "Get a newer version; or have its signer check it and seal it again."


class WrongModelError(IntegrityError):
    """The seal is good and is that of another model than belongs at this path."""

    code = "wrong-model"
    default_remedy = "Put the model there whose name the policy expects at this path."


class RollbackError(IntegrityError):
    """The model is of an older version than the policy allows."""

    code = "rollback"
    default_remedy = "Get a version that is at least the one the policy asks for."


class WeakAlgorithmError(IntegrityError):
    """The seal's digest algorithm is not among those the policy allows."""

    code = "weak-algorithm"
    default_remedy = "Have the model sealed again with one of the allowed algorithms."


class InsecurePermissionsError(IntegrityError):
    """Somebody else may write the model, a directory above it, or a file that decides about it.

    Args:
        found: the path that others may write.
        mode: its permission bits.
        owner: its owner's user id.
    """

    code = "insecure-permissions"
    default_remedy = (
        "Take the write permission away (chmod go-w) or give the path to its right owner, then "
        "check the model: others could have changed it."
    )

    def __init__(  # noqa: PLR0913
        self,
        cause: str,
        *,
        path: str | None = None,
        found: str = "",
        mode: int = 0,
        owner: int = 0,
        remedy: str | None = None,
    ) -> None:
        super().__init__(cause, path=path, remedy=remedy)
        self.found = found
        self.mode = mode
        self.owner = owner

    def evidence(self) -> dict[str, Any]:
        return {"found": self.found, "mode": f"{self.mode:04o}", "owner": self.owner}


class SigningError(IntegrityError):
    """A key cannot be read or used, or a trust file cannot be changed."""

    code = "signing-failed"
    default_remedy = "Check the key's path, its permissions (0600) and its passphrase."


class MalformedBundleError(IntegrityError):
    """A detached signature beside the model is not a well-formed bundle."""

    code = "malformed-bundle"
    default_remedy = "Have the model signed again, or remove the signature if it is not needed."


class OverrideRefusedError(IntegrityError):
    """A manual override is not allowed here, or names another model."""

    code = "override-refused"
    default_remedy = "Ask whoever keeps the policy of this machine; nothing was loaded."
