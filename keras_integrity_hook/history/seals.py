# SPDX-License-Identifier: Apache-2.0
"""A seal as it is remembered: which one it is, and who has signed it as far as that can be told."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection
from datetime import UTC, datetime

from keras_integrity_hook.history.seen import Seen, is_kept
from keras_integrity_hook.sealing import statement
from keras_integrity_hook.sealing.envelope import Envelope
from keras_integrity_hook.sealing.statement import Statement


def identity(envelope: Envelope) -> str:
    """SHA-256 (hex) that tells this seal from any other, one with other signatures too."""
    digest = hashlib.sha256(b"%d\0" % len(envelope.payload))
    digest.update(envelope.payload)
    for one in envelope.signatures:
        digest.update(f"\0{one.keyid}\0{one.sig}".encode())
    return digest.hexdigest()


def seen(stated: Statement, envelope: Envelope, *, own: Collection[str] = ()) -> Seen:
    """What is remembered of a model with this seal; its signatures are verified for that.

    Nothing is imported where there are none to verify.

    Args:
        own: key ids of signatures that were made here a moment ago.

    Raises:
        ConfigurationError, InsecurePermissionsError: the trust files cannot be used.
    """
    signers: dict[str, tuple[str, ...]] = {}
    claims: tuple[str, ...] = ()
    if envelope.signatures:
        signers, claims = _verified(envelope)
        signers = dict.fromkeys(own, ()) | signers
        claims = tuple(keyid for keyid in claims if keyid not in signers)
    name, version = (stated.model.get(key) or "" for key in ("name", "version"))
    versions = {name: version} if version and is_kept(name) and is_kept(version) else {}
    return Seen(
        seal=identity(envelope),
        at=statement.spelled(datetime.fromtimestamp(int(time.time()), UTC)),
        signers=signers,
        claims=claims,
        name=name if is_kept(name) else "",
        versions=versions,
    )


def _verified(envelope: Envelope) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """The keys whose signatures are good, whether or not they count, and those of claims."""
    from keras_integrity_hook.signing import verdicts

    found = verdicts.on(envelope, at=datetime.now(UTC), machine_only=False)
    found = tuple(one for one in found if is_kept(one.keyid) and one.state != "wrong")
    good = {one.keyid: one.names for one in found if one.names and one.state != "unknown"}
    claims = dict.fromkeys(one.keyid for one in found if one.keyid not in good)
    return good, tuple(claims)
