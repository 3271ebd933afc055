# SPDX-License-Identifier: Apache-2.0
"""Whether a log is the one that was seen before, continued."""

from __future__ import annotations

from collections.abc import Sequence

from keras_integrity_hook.errors import MalformedEventError, RegistryForkError
from keras_integrity_hook.registry import merkle, notes


def refuse_fork(seen: bytes, shown: bytes, proof: Sequence[bytes] | None) -> None:
    """Check that the log of one checkpoint continues that of another.

    Args:
        seen: the checkpoint that somebody remembers, a note; empty where nobody does.
        shown: the one of now, a note that was verified.
        proof: of consistency, from ``seen`` to ``shown``; None where there is none.

    Raises:
        RegistryForkError: it does not. A shorter log is a fork, too: it has forgotten.
        MalformedEventError: the log has grown, and there is no proof.
    """
    if not seen:
        return
    before, now = notes.unverified_checkpoint(seen), notes.unverified_checkpoint(shown)
    if proof is None and before.size < now.size:
        raise MalformedEventError(
            f"there is no proof that the log of {now.size} entries continues that of {before.size}"
        )
    try:
        if before.origin != now.origin:
            raise MalformedEventError(f"this is the log '{now.origin}', that was '{before.origin}'")
        merkle.verify_consistency(before.size, now.size, proof or (), before.root, now.root)
    except MalformedEventError as error:
        cause = f"the registry does not continue what it showed before: {error.cause}"
        raise RegistryForkError(cause, seen=seen.decode(), shown=shown.decode()) from error
