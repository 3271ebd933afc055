# SPDX-License-Identifier: Apache-2.0
"""Change a trust file: what is there, comments too, stays as it is; the file is replaced in one
step, and never by one that could not be read again."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from keras_integrity_hook import audit, notices
from keras_integrity_hook.errors import AuditError, ConfigurationError, SigningError, printable
from keras_integrity_hook.files import portable, public_file, root_owned
from keras_integrity_hook.files.atomic import Target, open_target
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.target import real_path
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.signing import trust_file, trust_store
from keras_integrity_hook.signing.trust_file import (
    Trusted,
    TrustedIdentity,
    TrustedKey,
    TrustedRoot,
    TrustFile,
)


@dataclass
class _Change:
    """What a change of a trust file does, for the record.

    Attributes:
        what: ``added``, ``removed`` or ``revoked``.
        kind: ``key``, ``vetter``, ``certificates``, ``identity`` or ``model``.
    """

    what: str
    kind: str
    facts: dict[str, object]

    def record(self, path: str, outcome: str, **more: object) -> None:
        """Record it. Raises AuditError where that has to be and cannot; for trust that is taken
        away that is a warning: a log that somebody fills up must not keep a stolen key good."""
        facts = {name: value for name, value in self.facts.items() if value}
        try:
            audit.record(
                "trust", path, outcome=outcome, change=self.what, kind=self.kind, **facts, **more
            )
        except AuditError as error:
            if self.what == "added":
                raise
            notices.trouble(str(error))


_KINDS = {TrustedKey: "key", TrustedRoot: "certificates", TrustedIdentity: "identity"}

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
else:  # for those who look annotations up at run time
    TOMLDocument = object


def add_key(path: str, key: TrustedKey, *, vetter: bool = False) -> None:
    """Trust ``key`` from now on, by an entry in the trust file at ``path``.

    Args:
        vetter: to say that models were tried, and not to sign them.

    Raises:
        SigningError: the name or key is there already, or the file cannot be written.
        ConfigurationError, InsecurePermissionsError: the file that is there has a mistake.
        AuditError: the change has to be recorded and cannot be; nothing was changed.
    """
    table, others = ("vetters", "keys") if vetter else ("keys", "vetters")
    change = _Change("added", "vetter" if vetter else "key", {"name": key.name, "keyid": key.keyid})
    with _edited(path, change) as (document, found):
        alike: tuple[TrustedKey, ...] = getattr(found, table)
        # One key may have both rights, by one name or by two.
        named = {one.name for one in getattr(found, others) if one.keyid != key.keyid}
        for entries in (alike, found.certificates, found.identities):
            named |= {one.name for one in entries}
        _refuse_taken(key.name, named, path)
        for known in alike:
            if known.keyid == key.keyid:
                raise _refused(f"this key is trusted already, as '{known.name}'", path)
        _append(document, table, _fields(key))


def add_certificates(path: str, root: TrustedRoot) -> None:
    """Trust those whom the certificates of ``root`` vouch for; raises as :func:`add_key`."""
    change = _Change("added", "certificates", {"name": root.name, "identity": root.identity})
    with _edited(path, change) as (document, found):
        _refuse_taken(root.name, _names(found), path)
        _append(document, "certificates", _fields(root))


def add_identity(path: str, identity: TrustedIdentity) -> None:
    """Trust somebody whom an instance of sigstore knows; raises as :func:`add_key`."""
    change = _Change(
        "added",
        "identity",
        {"name": identity.name, "identity": identity.identity, "issuer": identity.issuer},
    )
    with _edited(path, change) as (document, found):
        _refuse_taken(identity.name, _names(found), path)
        _append(document, "sigstore", _fields(identity))


def remove(path: str, name: str) -> Trusted:
    """Trust no longer what has this name, or the key with this id, neither to sign nor to vet;
    raises as :func:`add_key`.

    Returns:
        What was removed; the key, where it was trusted in both ways.
    """
    change = _Change("removed", "", {})
    with _edited(path, change) as (document, found):
        removed = [
            _without(document, table, entries, name)
            for table, entries in _tables(found).items()
            if any(_is_called(one, name) for one in entries)
        ]
        if not removed:
            raise _refused(f"nobody who is trusted is named '{printable(name)}'", path)
        change.kind = _KINDS[type(removed[0])]
        change.facts = {"name": removed[0].name, "keyid": getattr(removed[0], "keyid", None)}
        return removed[0]


def _names(found: TrustFile) -> set[str]:
    return {one.name for entries in _tables(found).values() for one in entries}


def _refuse_taken(name: str, taken: set[str], path: str) -> None:
    if name in taken:
        raise _refused(f"there is one named '{name}' already", path)


def _fields(entry: Trusted) -> dict[str, Any]:
    """What a trust file has to say of ``entry``: all but what is not set."""
    return {name: value for name, value in entry._asdict().items() if value and name != "source"}


def _tables(found: TrustFile) -> dict[str, tuple[Trusted, ...]]:
    return {
        "keys": found.keys,
        "vetters": found.vetters,
        "certificates": found.certificates,
        "sigstore": found.identities,
    }


def _is_called(one: Trusted, name: str) -> bool:
    return name in (one.name, getattr(one, "keyid", None))


def _without(
    document: TOMLDocument, table: str, entries: tuple[Trusted, ...], name: str
) -> Trusted:
    """Take the first of ``entries``, those of ``table``, that has this name or id out of it."""
    at, removed = next((i, one) for i, one in enumerate(entries) if _is_called(one, name))
    listed: Any = document[table]
    del listed[at]
    if not listed:
        del document[table]
    return removed


def revoke_key(path: str, keyid: str, reason: str) -> bool:
    """Let the key count for nothing any more, in whatever file it is trusted.

    Returns:
        False where that was so already. Raises as :func:`add_key`.
    """
    return _revoke(path, "revoked_keys", "keyid", keyid, reason)


def revoke_model(path: str, root: str, reason: str) -> bool:
    """Recall the model with this root digest (hex); returns and raises as :func:`revoke_key`."""
    return _revoke(path, "revoked_models", "root", root, reason)


def _revoke(path: str, table: str, field: str, target: str, reason: str) -> bool:
    kind = "key" if field == "keyid" else "model"
    change = _Change("revoked", kind, {field: target, "reason": reason})
    with _edited(path, change) as (document, found):
        if any(one.target == target for one in getattr(found, table)):
            return False
        now = datetime.now(UTC).replace(microsecond=0)
        _append(document, table, {field: target, "since": now, "reason": reason})
        return True


def narrowed(here: bytes, published: bytes, path: str) -> bytes:
    """The trust file ``here`` without the trust that ``published`` takes away, and with none that
    it gives: what that revokes is revoked, and whom it does not name is not trusted any more.

    Args:
        path: of the file, for messages.

    Raises:
        ConfigurationError: one of them is no trust file, or what would come of it.
        SigningError: what would come of it is too long.
    """
    import tomlkit

    found, wanted = trust_file.parse(here, path), trust_file.parse(published, path)
    document = tomlkit.parse(here)
    for table, field in (("revoked_keys", "keyid"), ("revoked_models", "root")):
        known = {one.target for one in getattr(found, table)}
        for one in getattr(wanted, table):
            if one.target not in known:
                fields = {field: one.target, "since": one.since, "reason": one.reason}
                _append(document, table, {name: value for name, value in fields.items() if value})
    for table, entries in _tables(found).items():
        _drop(document, table, entries, {_identity(one) for one in _tables(wanted)[table]})
    after = tomlkit.dumps(document).encode()
    _check(after, path)
    if len(after) > LIMITS.trust_file:
        raise _refused(f"not changed, since it would have over {LIMITS.trust_file} bytes", path)
    return after


def _drop(
    document: TOMLDocument, table: str, entries: Sequence[Trusted], staying: Container[str]
) -> None:
    """Take those of ``entries``, which are all of ``table``, out that do not stay."""
    listed: Any = document.get(table)
    for at in reversed(range(len(entries))):
        if _identity(entries[at]) not in staying:
            del listed[at]
    if entries and not listed:
        del document[table]


def _identity(one: Trusted) -> str:
    return one.keyid if isinstance(one, TrustedKey) else one.name


def _append(document: TOMLDocument, table: str, fields: dict[str, Any]) -> None:
    import tomlkit

    entry = tomlkit.table()
    for name, value in fields.items():
        several = isinstance(value, str) and "\n" in value
        entry.add(name, tomlkit.string(value, multiline=True) if several else value)
    if not document.get(table):
        document.pop(table, None)
        document.append(table, tomlkit.aot())
    entries: Any = document[table]
    entries.append(entry)


@contextmanager
def _edited(path: str, change: _Change) -> Iterator[tuple[TOMLDocument, TrustFile]]:
    """The file's document, to be changed, and what it says; written afterwards if it changed.

    The change is recorded before it happens: an audit log may name one too many, never one too few.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    with _locked(path) as target:
        before = _read(path)
        found = trust_file.parse(before or b"", path)
        try:
            document = tomlkit.parse(before or b"")
            yield document, found
            after = tomlkit.dumps(document).encode()
        except TOMLKitError as error:
            cause = f"the trust file has to be changed by hand: {error}"
            raise _refused(cause, path) from None
        if after != (before or b""):
            _check(after, path)
            if _read(path) != before:  # by an editor, which takes no lock
                raise _refused("the trust file was changed meanwhile; try again", path)
            target.refuse_unwritable()
            change.record(path, "ok")
            try:
                public_file.replace(target, after)
            except OSError as error:
                change.record(path, "failed", error=error)
                raise


def _check(after: bytes, path: str) -> None:
    """Nothing is written that could not be read again."""
    try:
        trust_file.parse(after, path)
    except ConfigurationError as error:
        raise _refused(f"not changed, since it would have a mistake: {error.cause}", path) from None


def _read(path: str) -> bytes | None:
    if path == trust_store.MACHINE:
        return root_owned.read_root_owned(path, LIMITS.trust_file)
    return trust_store.read_owned(path)


@contextmanager
def _locked(path: str) -> Iterator[Target]:
    """Hold the file's directory, made if need be, against other edits: none must be lost.

    A link to the file is followed: people keep their configuration elsewhere and link to it.
    """
    try:
        _make_directory(path)
        with open_target(path) as target:
            fd = system.open(
                ".",
                os.O_RDONLY | portable.O_DIRECTORY | portable.O_CLOEXEC,
                dir_fd=target.directory,
            )
            try:
                portable.lock(fd, wait=True)
                yield target.sibling(target.name)  # as it is now that nobody else edits it
            finally:
                portable.close(fd)
    except OSError as error:
        raise _cannot(path, error) from None


def _make_directory(path: str) -> None:
    folder = os.path.dirname(real_path(path))
    if not os.path.isdir(folder):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if path == trust_store.MACHINE:
            os.chmod(folder, 0o755)  # whatever our umask: every user's loads read the file


def _refused(cause: str, path: str) -> SigningError:
    remedy = "'keras-integrity trust list' shows what is trusted."
    return SigningError(cause, path=path, remedy=remedy)


def _cannot(path: str, error: OSError) -> SigningError:
    remedy = "Check the permissions of the file and of its directory."
    if path == trust_store.MACHINE:
        remedy = "The machine's trust file is root's: run the command as root."
    cause = f"the trust file cannot be changed ({error.strerror})"
    return SigningError(cause, path=path, remedy=remedy)
