# SPDX-License-Identifier: Apache-2.0
"""Publish: make a TUF repository of trust files and a policy, and keep it up to date.

The repository is a directory that any web server can serve as it is. It is kept where the keys are
and copied from there: who may write it can neither change what machines believe nor hold it back
for longer than the roles' expiry, but what a publisher reads back from a server and signs again
would be that server's word. Hence all of it is verified before it is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_integrity_hook.distribution import targets
from keras_integrity_hook.distribution.repository import Repository, require_tuf
from keras_integrity_hook.errors import ConfigurationError, SigningError
from keras_integrity_hook.signing.keys import PublicKey
from keras_integrity_hook.signing.secret import Ask, Secrets

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root

    AnyFile = Metadata[Any]
else:  # for those who look annotations up at run time
    AnyFile = Root = object

ROLES = ("root", "targets", "snapshot", "timestamp")
DAYS = {"root": 365, "targets": 180, "snapshot": 7, "timestamp": 7}
"""For how long each role's word is good. That of ``timestamp`` is how long a machine can be kept
from the news without noticing."""

_KEYS = (
    "'keras-integrity trust publish DIRECTORY --key KEY' takes --key as often as there are keys."
)


class Change(NamedTuple):
    """What is to be different in who may sign.

    Attributes:
        admit: keys that a role has from now on, as pairs of role and key.
        dismiss: keys that it has no longer, as pairs of role and key id.
        thresholds: how many keys of a role have to sign together.
    """

    admit: Sequence[tuple[str, PublicKey]] = ()
    dismiss: Sequence[tuple[str, str]] = ()
    thresholds: Mapping[str, int] = {}


class RoleState(NamedTuple):
    """One role as it is published.

    Attributes:
        signers: the ids of the keys that have signed it.
        is_new: this version was made just now.
    """

    version: int
    expires: datetime
    signers: tuple[str, ...]
    is_new: bool


class Published(NamedTuple):
    """What came of it.

    Attributes:
        root: the path of the first root, which machines are given to begin with.
        roles: each role's state.
        files: names of the files that are published now.
    """

    root: str
    roles: Mapping[str, RoleState]
    files: tuple[str, ...]


def publish(  # noqa: PLR0913
    directory: str,
    files: Mapping[str, bytes],
    keys: Sequence[str],
    change: Change | None = None,
    *,
    days: Mapping[str, int] = DAYS,
    ask: Ask | None = None,
    now: datetime | None = None,
) -> Published:
    """Make or update the repository in ``directory``.

    Without files and changes this renews what expires soon, as far as the keys are at hand; the
    timestamp is renewed whenever its key is.

    Args:
        files: contents by names of :data:`targets.TARGETS`; others stay as they are.
        keys: references of keys that sign (``signers.find``), each for every role that has it. In a
            new repository for which nothing else is said they are those of every role.
        days: for how long what is signed now is good, by role.
        ask: asks a person for passphrases.

    Raises:
        SigningError: a key is missing or does not sign, or what is there is not what its keys
            signed; nothing was changed.
        ConfigurationError: a file has a mistake, or nobody could sign for a role any more.
    """
    at = (now or datetime.now(UTC)).replace(microsecond=0)
    ends = {role: at + timedelta(days=days.get(role, DAYS[role])) for role in ROLES}
    for name, data in files.items():
        targets.check(name, data, name)
    with _as_signing_errors(directory), Repository.opened(directory) as repository:
        signing = _Signing(repository, keys, Secrets(ask), ends, at)
        # Each role is named by the one before it, so that it is made before it.
        signing.root(change or Change())
        signing.targets(files)
        signing.snapshot()
        signing.timestamp()
        repository.write(files)
        return Published(
            repository.first_root,
            {role: signing.state(role) for role in ROLES},
            tuple(repository.targets.signed.targets),
        )


@contextmanager
def _as_signing_errors(directory: str) -> Iterator[None]:
    require_tuf()
    try:
        yield
    except OSError as error:
        path = error.filename if isinstance(error.filename, str) else directory
        raise SigningError(f"cannot be written ({error.strerror})", path=path) from error


class _Signing:
    """One publication under way: nothing is written until all of it is signed."""

    def __init__(
        self,
        repository: Repository,
        references: Sequence[str],
        secrets: Secrets,
        ends: Mapping[str, datetime],
        at: datetime,
    ) -> None:
        from keras_integrity_hook.signing import signers

        self._repository, self._ends, self._at, self._secrets = repository, ends, at, secrets
        self._keys = [(signers.find(one, secrets), one) for one in references]
        self._new: set[str] = set()

    def root(self, change: Change) -> None:
        """A new root where somebody else may sign, or where it expires soon."""
        root = self._repository.root
        before = root.signed.to_dict()
        if not self._repository.published["root"] and not change.admit:
            everybody = [(role, key.public) for key, _ in self._keys for role in ROLES]
            change = change._replace(admit=everybody)
        _apply(root.signed, change)
        changed = root.signed.to_dict() != before
        if changed or (self._is_due("root") and self._can_sign("root")):
            self._renew("root")

    def targets(self, files: Mapping[str, bytes]) -> None:
        """New targets where a file is another, or where they expire soon."""
        from tuf.api.metadata import TargetFile

        there = self._repository.targets.signed.targets
        made = {name: TargetFile.from_data(name, data, ["sha256"]) for name, data in files.items()}
        changed = any(there.get(name) != target for name, target in made.items())
        there.update(made)
        self._renew_if("targets", changed=changed)

    def snapshot(self) -> None:
        """A new snapshot of new targets, or where it expires soon."""
        meta = self._repository.snapshot.signed.meta["targets.json"]
        meta.version = self._repository.targets.signed.version
        self._renew_if("snapshot", changed="targets" in self._new)

    def timestamp(self) -> None:
        """A new timestamp whenever somebody can sign it: that is what publishing anew is for."""
        signed = self._repository.timestamp.signed
        signed.snapshot_meta.version = self._repository.snapshot.signed.version
        changed = "snapshot" in self._new or self._can_sign("timestamp")
        self._renew_if("timestamp", changed=changed)

    def state(self, role: str) -> RoleState:
        """What ``role`` is now."""
        metadata = self._repository.of(role)
        signed = metadata.signed
        signers = tuple(metadata.signatures)
        return RoleState(signed.version, signed.expires, signers, role in self._new)

    def _renew_if(self, role: str, *, changed: bool) -> None:
        is_first = not self._repository.published[role]
        must = changed or is_first or not self._repository.is_signed(role)
        if must or (self._is_due(role) and self._can_sign(role)):
            self._renew(role)

    def _renew(self, role: str) -> None:
        metadata = self._repository.of(role)
        metadata.signed.version = self._repository.published[role] + 1
        metadata.signed.expires = self._ends[role]
        self._sign(role, metadata)
        self._new.add(role)

    def _sign(self, role: str, metadata: AnyFile) -> None:
        from securesystemslib.signer import Signature

        from keras_integrity_hook.signing.signers import raw_signature

        payload, may_sign = metadata.signed_bytes, self._repository.key_ids(role)
        metadata.signatures.clear()
        for key, reference in self._keys:
            keyid = key.public.keyid
            if keyid in may_sign:
                raw = raw_signature(key, payload, reference, self._secrets)
                metadata.signatures[keyid] = Signature(keyid, raw.hex())
        if not self._repository.is_signed(role):
            wanted = ", ".join(sorted(one[:12] for one in may_sign))
            needed = self._repository.root.signed.roles[role].threshold
            cause = f"{role} needs {needed} of the keys {wanted} to sign it, and they are not given"
            raise SigningError(f"{cause}; nothing was published", remedy=_KEYS)

    def _can_sign(self, role: str) -> bool:
        ours = {key.public.keyid for key, _ in self._keys} & self._repository.key_ids(role)
        return len(ours) >= self._repository.root.signed.roles[role].threshold

    def _is_due(self, role: str) -> bool:
        """Whether more than half of the time is over that this role's word is good for."""
        metadata = self._repository.of(role)
        whole = self._ends[role] - self._at
        return bool(metadata.signed.expires - self._at < whole / 2)


def _apply(root: Root, change: Change) -> None:
    from securesystemslib.signer import SSlibKey

    from keras_integrity_hook.signing import keys, openssl

    for role, keyid in change.dismiss:
        named = [one for one in root.roles[role].keyids if keyid and one.startswith(keyid)]
        if len(named) != 1:
            raise ConfigurationError(f"{role} has no key '{keyid}', or several that begin so")
        root.revoke_key(named[0], role)
    for role, public in change.admit:
        with openssl.entered():
            key = SSlibKey.from_crypto(keys.load(public.pem), public.keyid, public.scheme)
        root.add_key(key, role)
    for role, threshold in change.thresholds.items():
        root.roles[role].threshold = threshold
    for role in ROLES:
        held = root.roles[role]
        if held.threshold < 1 or len(held.keyids) < held.threshold:
            cause = f"{role} would have {len(held.keyids)} keys, and need {held.threshold}"
            raise ConfigurationError(cause, remedy="Admit keys, or ask for fewer.")
