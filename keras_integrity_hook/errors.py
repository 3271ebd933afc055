# SPDX-License-Identifier: Apache-2.0
"""Every error the package raises: one root, typed evidence, and a remedy for a person.

``IntegrityError`` derives from ``Exception`` alone, on purpose. Keras and its callbacks catch
``OSError`` (``BackupAndRestore`` falls back to an older checkpoint, ``ModelCheckpoint`` reads
``args[0]`` as text) and ``ValueError`` (the optimizer state is dropped with a log line). A refusal
that they could catch would be a refusal that nobody sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from keras_integrity_hook import texts
from keras_integrity_hook.texts import printable as printable  # noqa: PLC0414 - others' home of it

_REPR = 100  # characters


class DamagedRange(NamedTuple):
    """A run of bytes of the original content that does not match the seal.

    Attributes:
        start: offset of the first byte, in bytes of the original (unsealed) content.
        stop: offset after the last byte.
    """

    start: int
    stop: int


class IntegrityError(Exception):
    """Root of all refusals.

    Control characters of the cause and the remedy are escaped here, once: either may quote a file.

    Args:
        cause: what happened, one sentence without a final stop.
        path: the file concerned, as the user named it, or None. It stays as it is, so that it can
            be opened, and is escaped where it is shown.
        remedy: what a person can do about it, where that is not what can always be done about
            errors of this class.

    Attributes:
        is_told: it was recorded already that it refuses a load.
        sealed: what the model's seal says of itself, where it could be read: ``"created"`` and, if
            they are known, ``"by"``, ``"name"`` and ``"version"``; printable.
    """

    code = "integrity-error"
    default_remedy = "Restore the file from a trusted copy."
    # Errors that an older version pickled have neither.
    _remedy: str | None = None
    sealed: Mapping[str, str] | None = None

    def __init__(self, cause: str, *, path: str | None = None, remedy: str | None = None) -> None:
        self.cause = printable(cause)
        super().__init__(self.cause)
        self.path = path
        self.is_told = False
        if remedy is not None:
            self._remedy = printable(remedy)

    def remedy(self) -> str:
        """What a person can do about it, in one or two sentences; with the path, if it is known."""
        return texts.with_path(self._remedy or self.default_remedy, self.path)

    def evidence(self) -> dict[str, Any]:
        """The typed evidence as JSON-able values; empty where there is none."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """The error for machines: ``code``, ``message``, ``path``, ``remedy``, ``evidence``, and
        ``sealed``."""
        return {
            "code": self.code,
            "message": self.cause,
            "path": self.path,
            "remedy": self.remedy(),
            "evidence": self.evidence(),
            "sealed": dict(self.sealed) if self.sealed else None,
        }

    def facts(self) -> tuple[str, ...]:
        """What happened, what the seal says of itself, and what to do: printable sentences."""
        where = f"{printable(self.path)}: " if self.path else ""
        return tuple(filter(None, (f"{where}{self.cause}.", self._seal_says(), self.remedy())))

    def in_one_line(self) -> str:
        """For logs, and wherever a line is a record."""
        return " ".join(self.facts())

    def _seal_says(self) -> str:
        if not self.sealed:
            return ""
        named = [self.sealed[key] for key in ("name", "version") if key in self.sealed]
        what = f"this is '{' '.join(named)}', " if named else ""
        by = f" by {self.sealed['by']}" if "by" in self.sealed else ""
        return f"Its seal says: {what}sealed at {self.sealed['created']}{by}."

    def __str__(self) -> str:
        """One fact a line, as whoever prints a traceback shows it; see :meth:`in_one_line`."""
        kind = type(self)
        return texts.laid_out(self.facts(), after=len(f"{kind.__module__}.{kind.__qualname__}: "))

    def __repr__(self) -> str:
        text = self.facts()[0]
        text = text if len(text) <= _REPR else f"{text[: _REPR - 1]}…"
        return f"{type(self).__name__}({text!r})"

    def _repr_html_(self) -> str:
        """For notebooks."""
        from html import escape

        first, *rest = map(escape, self.facts())
        lines = "".join(f"<br>{line}" for line in rest)
        return f"<div><b>{type(self).__name__}</b>: {first}{lines}</div>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries (Ray, joblib, multiprocessing): keep evidence and type.
        return _rebuild, (type(self), self.args, self.__dict__)


class DamagedFileError(IntegrityError):
    """The file is neither a plain Keras file nor a well-formed sealed one."""

    code = "damaged-file"
    default_remedy = (
        "Restore the file from a trusted copy or save the model again; do not load this one."
    )


class MalformedSealError(DamagedFileError):
    """There is a seal, but its bytes break a rule of the format."""

    code = "malformed-seal"


class ChecksumMismatchError(IntegrityError):
    """The seal is well formed and the content does not match it.

    Args:
        container: ``"keras-zip"`` or ``"hdf5"``.
        damaged: the damaged ranges of the original content.
        parts: what was damaged in the user's terms, e.g. ``"layers/dense_3/vars/0"``.

    Attributes:
        content_digest: that of the content as it is, ``"sha256:<hex>"``, where all of it was read.
    """

    code = "checksum-mismatch"
    default_remedy = (
        "The file was changed after it was saved: restore it from a trusted copy. If you changed "
        "it on purpose, give it a new seal with 'keras-integrity reseal --reason TEXT PATH'."
    )

    def __init__(  # noqa: PLR0913
        self,
        cause: str,
        *,
        path: str | None = None,
        container: str = "",
        damaged: tuple[DamagedRange, ...] = (),
        parts: tuple[str, ...] = (),
        remedy: str | None = None,
    ) -> None:
        super().__init__(cause, path=path, remedy=remedy)
        self.container = container
        self.damaged = damaged
        self.parts = tuple(printable(part) for part in parts)
        self.content_digest: str | None = None

    def evidence(self) -> dict[str, Any]:
        return {
            "container": self.container,
            "damaged": [list(one) for one in self.damaged],
            "parts": list(self.parts),
            "content_digest": self.content_digest,
        }


class UnsealedModelError(IntegrityError):
    """The file carries no seal and one is required."""

    code = "unsealed"
    default_remedy = (
        "If you trust where it comes from, seal it with 'keras-integrity seal PATH'; "
        "otherwise get a sealed copy."
    )


class NotAModelError(IntegrityError):
    """The file is not in a format Keras writes (empty, text, a Git-LFS pointer, ...)."""

    code = "not-a-model"
    default_remedy = "Check the path, and fetch or save the model file again."


class UnreadableFileError(IntegrityError):
    """The path cannot be read as a regular file: missing, no permission, directory, FIFO, ..."""

    code = "unreadable"
    default_remedy = "Check the path, its type and its permissions."


class LimitExceededError(IntegrityError):
    """A size, count or depth is over the cap in :mod:`keras_integrity_hook.limits`."""

    code = "limit-exceeded"
    default_remedy = "No file that Keras wrote looks like this: treat it as hostile or damaged."


class ExternalReferenceError(IntegrityError):
    """An HDF5 file that makes the reader open other files (CVE-2026-1669 and kin)."""

    code = "external-reference"
    default_remedy = (
        "Bytes outside the checked file would be loaded. Copy the data into one plain HDF5 file "
        "with a tool you trust, and seal that."
    )


class AlreadySealedError(IntegrityError):
    """``seal`` was asked to seal a file that has a seal already."""

    code = "already-sealed"
    default_remedy = "Nothing to do; 'keras-integrity verify PATH' checks it."


class SealWriteError(IntegrityError):
    """A seal could not be written; the file at the destination is as it was."""

    code = "seal-write"
    default_remedy = "Check free space and permissions of the directory."


class ConfigurationError(IntegrityError):
    """A setting has a value that is not one of the allowed ones."""

    code = "configuration"
    default_remedy = "Correct the setting; until then nothing is loaded."


class NotActiveError(IntegrityError):
    """The hook is not protecting this process."""

    code = "not-active"
    default_remedy = "Run 'keras-integrity doctor' to see why."


class UnsupportedKerasError(IntegrityError):
    """This Keras lacks a function that has to be guarded."""

    code = "unsupported-keras"
    default_remedy = (
        "Install a supported version of Keras, upgrade keras-integrity-hook, or opt out with "
        "KERAS_INTEGRITY=off."
    )


class UnsupportedPlatformError(IntegrityError):
    """This system cannot be guarded: it lacks what every check and every save here relies on."""

    code = "unsupported-platform"
    default_remedy = (
        "Use Keras on Linux or macOS (on Windows: in WSL or a container), uninstall "
        "keras-integrity-hook here, or set the environment variable KERAS_INTEGRITY=off to work "
        "without the guard."
    )


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


class AuditError(IntegrityError):
    """An event could not be recorded and the policy says that it must be."""

    code = "audit"
    default_remedy = "Make the audit log writable; until then nothing is loaded or saved."


class SiteError(IntegrityError):
    """The machine's set-up could not be changed; it is as it was."""

    code = "site"
    default_remedy = "Run the command as root, for the Python that is to be protected."


class IntegrityWarning(UserWarning):
    """Root of the package's warnings."""


class UnsealedModelWarning(IntegrityWarning):
    """A model without a seal was loaded; shown once per path."""


class OverrideWarning(IntegrityWarning):
    """A model was loaded that would have been refused, because somebody said so by its digest."""


class FallbackWarning(IntegrityWarning):
    """A model was refused, and the one that the policy names was loaded in its place."""


class UnverifiedDownloadWarning(IntegrityWarning):
    """A model file is downloaded without a hash to compare it with; shown once per URL."""


def _rebuild(kind: type[IntegrityError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
