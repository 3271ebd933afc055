# SPDX-License-Identifier: Apache-2.0
"""What becomes of each signature on a seal: whose it is, and why it does not count.

For the refusal that follows; who has signed is decided in :mod:`seal_signers` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from keras_integrity_hook.errors import IntegrityError, printable
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import envelope
from keras_integrity_hook.sealing.envelope import Envelope, Signature
from keras_integrity_hook.signing import keys, seal_signers, trust_file, trust_store
from keras_integrity_hook.signing.trust_file import Revocation, TrustedKey
from keras_integrity_hook.signing.trust_store import TrustStore

_SHORT = 12  # hex digits that people compare; a policy names the whole id


class Verdict(NamedTuple):
    """What one signature is worth here.

    Attributes:
        keyid: that of its key, hex, as the signature claims.
        names: those that the trust files give the key; none for a stranger's.
        state: ``good``, ``unknown``, ``revoked``, ``expired``, ``not yet valid``, ``not counted``
            (only the machine's keys count here) or ``wrong`` (it is not over this seal).
        since: when the key was revoked or expired, or begins to count.
        reason: the one given with the revocation.
    """

    keyid: str
    names: tuple[str, ...]
    state: str
    since: datetime | None = None
    reason: str = ""

    @property
    def key(self) -> str:
        """The key for people: its names and the beginning of its id."""
        names = " or ".join(f"'{printable(name)}'" for name in self.names)
        short = f"key {printable(self.keyid[:_SHORT])}"
        return f"{names} ({short})" if names else short

    def counts_for(self, names: Sequence[str]) -> bool:
        """Whether it is a good one, of one of these."""
        return self.state == "good" and not frozenset(self.names).isdisjoint(names)

    def sentence(self) -> str:
        """A clause about the signature: "that of 'release' (key 3f2a…) does not count: …"."""
        return f"that of {self.key} {self.clause()}"

    def clause(self) -> str:
        """What is the matter with it."""
        day = f" on {self.since:%Y-%m-%d}" if self.since else ""
        said = f" ({printable(self.reason)})" if self.reason else ""
        clauses = {
            "good": "is good, and not one that was asked for",
            "unknown": "is by nobody who is trusted here",
            "revoked": f"does not count: the key was revoked{day}{said}",
            "expired": f"does not count: the key expired{day}",
            "not yet valid": f"does not count yet: the key becomes valid{day}",
            "not counted": "does not count: the machine's policy takes only the machine's keys",
            "wrong": "does not fit the seal: it is damaged or forged",
        }
        return clauses[self.state]

    def to_dict(self) -> dict[str, object]:
        """JSON-able values."""
        since = None if self.since is None else self.since.isoformat().replace("+00:00", "Z")
        return {**self._asdict(), "names": list(self.names), "since": since}


def on(envelope_: Envelope, *, at: datetime, machine_only: bool) -> tuple[Verdict, ...]:
    """A verdict on each signature in ``envelope_``, of which there are not too many.

    Args:
        at, machine_only: as for :func:`seal_signers.verified_signers`.

    Raises:
        ConfigurationError, InsecurePermissionsError: the trust store cannot be used.
    """
    counted = trust_store.store(machine_only=machine_only)
    known = _of_everybody(counted)
    data = envelope.pae(envelope_.payload)
    signatures = envelope_.signatures[: LIMITS.signatures]
    return tuple(_on_one(one, data, counted, known, at) for one in signatures)


def on_key(key: TrustedKey, store: TrustStore, at: datetime) -> Verdict:
    """A verdict on what ``key`` has signed, which is verified already."""
    names = tuple(dict.fromkeys(one.name for one in store.named(key.keyid))) or (key.name,)
    revocation = store.revocation_of(key)
    if revocation is not None:
        return revoked(key.keyid, names, revocation)
    state = trust_file.state_at(key, at)
    if state == "valid":
        return Verdict(key.keyid, names, "good")
    since = key.not_after if state == "expired" else key.not_before
    return Verdict(key.keyid, names, state, since)


def _on_one(
    signature: Signature, data: bytes, counted: TrustStore, known: TrustStore, at: datetime
) -> Verdict:
    candidates = list(_with_id(signature.keyid, known))
    if not candidates:
        revocation = known.revoked_keys.get(signature.keyid)
        if revocation is not None:
            return revoked(signature.keyid, (), revocation)
        return Verdict(signature.keyid, (), "unknown")
    raw = seal_signers.raw(signature)
    signed = [one for one in candidates if keys.is_valid(trust_store.checked(one), raw, data)]
    if not signed:
        names = tuple(dict.fromkeys(one.name for one in candidates))
        return Verdict(signature.keyid, names, "wrong")
    # The entry of it that counts, where it has several.
    verdicts = [
        on_key(one, known, at) if one in counted.keys else _elsewhere(on_key(one, known, at))
        for one in signed
    ]
    return next((one for one in verdicts if one.state == "good"), verdicts[0])


def _elsewhere(verdict: Verdict) -> Verdict:
    return verdict._replace(state="not counted") if verdict.state == "good" else verdict


def revoked(keyid: str, names: tuple[str, ...], revocation: Revocation) -> Verdict:
    """The verdict on a key that was revoked."""
    return Verdict(keyid, names, "revoked", revocation.since, revocation.reason)


def _with_id(keyid: str, store: TrustStore) -> Iterator[TrustedKey]:
    return (key for key in store.keys if key.keyid == keyid)


def _of_everybody(counted: TrustStore) -> TrustStore:
    """The keys of every trust file, to name those that do not count here."""
    try:
        return trust_store.store()
    except IntegrityError:  # a user's mistake is not what is wrong with the model
        return counted
