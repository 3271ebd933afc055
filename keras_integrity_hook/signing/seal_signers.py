# SPDX-License-Identifier: Apache-2.0
"""Whose signatures on a seal are good, here and now."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from keras_integrity_hook.errors import LimitExceededError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import base64_text, envelope
from keras_integrity_hook.sealing.envelope import Envelope, Signature
from keras_integrity_hook.signing import keys, trust_store
from keras_integrity_hook.signing.trust_file import TrustedKey

_DEMANDS = frozenset(("require", "signers", "threshold"))


class Signer(NamedTuple):
    """A trusted key that has signed.

    Attributes:
        name: the first name that the trust files give it.
        keyid: its key id, hex.
        names: all its names.
    """

    name: str
    keyid: str
    names: tuple[str, ...]

    @property
    def known_as(self) -> frozenset[str]:
        """All that can stand for it in a policy: its names and its key id."""
        return frozenset((*self.names, self.keyid))


def only_machine_counts(locked: Collection[str]) -> bool:
    """Whether the machine's keys alone count: it fixed who has to sign, so that a user's own
    list of keys must not answer for it.

    Args:
        locked: the settings that the machine's policy has fixed.
    """
    return not _DEMANDS.isdisjoint(locked)


def verified_signers(
    envelope_: Envelope, *, at: datetime, machine_only: bool
) -> tuple[Signer, ...]:
    """The distinct trusted keys with a good signature in ``envelope_``.

    A key counts when it is in the trust store, valid ``at`` that moment and not revoked. What the
    signature is verified with, key and scheme, is all from the trust store; the envelope says
    only which key to try. One key counts once, however many signatures, names or schemes it has.

    Args:
        at: now, with a time zone. Not the time in the seal: whoever has a key can set that.
        machine_only: only keys of the machine's trust file count.

    Raises:
        LimitExceededError: more signatures than any seal has.
        ConfigurationError, InsecurePermissionsError: the trust store cannot be used.
    """
    if not envelope_.signatures:
        return ()
    if len(envelope_.signatures) > LIMITS.signatures:
        raise LimitExceededError(f"the seal has over {LIMITS.signatures} signatures")
    store = trust_store.store(machine_only=machine_only)
    valid = [key for key in store.keys if key.counts_at(at)]
    data = envelope.pae(envelope_.payload)
    found: dict[str, Signer] = {}
    for signature in envelope_.signatures:
        for key in valid:
            if key.keyid == signature.keyid and store.revocation_of(key) is None:
                _note(found, key, signature, data)
    return tuple(found.values())


def _note(found: dict[str, Signer], key: TrustedKey, signature: Signature, data: bytes) -> None:
    """Add the signer, or another name of it, to ``found`` (by public key) if it has signed."""
    public = trust_store.checked(key)
    if keys.is_valid(public, raw(signature), data):
        known = found.get(public.pem, Signer(key.name, key.keyid, ()))
        names = dict.fromkeys((*known.names, key.name))
        found[public.pem] = known._replace(names=tuple(names))


def raw(signature: Signature) -> bytes:
    """The bytes of ``signature``."""
    try:
        return base64_text.decode(signature.sig)
    except ValueError:
        return b""  # an envelope that was not decoded from a file; never a good signature
