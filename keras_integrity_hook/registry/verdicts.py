# SPDX-License-Identifier: Apache-2.0
"""What follows from an answer of a registry, whoever gave it: nothing of it is believed that its
actors did not sign."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from keras_integrity_hook.registry.answers import Answer
from keras_integrity_hook.registry.notes import Checkpoint


class Registration(NamedTuple):
    """A version that has the content that was asked about.

    Attributes:
        root, algorithm, files, container, statement: as it was registered.
        stages: those that the version is in now.
        high_water: of its model, the highest version ever promoted to each stage.
        signers: names of those who registered it.
        time: when, UTC, as seals spell a time.
    """

    model: str
    version: str
    root: str
    algorithm: str
    files: str
    container: str
    statement: str
    stages: tuple[str, ...]
    high_water: Mapping[str, str]
    signers: tuple[str, ...]
    time: str


class RecallFound(NamedTuple):
    """A recall in force of what was asked about.

    Attributes:
        kind, target, reason: as it was recalled.
        by: names of those who did.
        time: when, UTC, as seals spell a time.
    """

    kind: str
    target: str
    reason: str
    by: tuple[str, ...]
    time: str


class Verdict(NamedTuple):
    """What a registry knows of some content.

    Attributes:
        registrations: those with one of the digests, in the order of the log.
        recalls: of one of the digests or keys.
        checkpoint: what the log was, to be remembered; ``note`` is how it was signed.
        as_of: since when this is what the registry says.
        good_until: when it ends to be believed, or None: whoever gave it saw the present.
    """

    registrations: tuple[Registration, ...]
    recalls: tuple[RecallFound, ...]
    checkpoint: Checkpoint
    note: bytes
    as_of: datetime
    good_until: datetime | None = None


class Question(NamedTuple):
    """What was asked, by somebody who remembers.

    Attributes:
        registry_id: the SHA-256 of the payload of the first event, hex.
        digests, keys: what was asked about.
        seen: the checkpoint that was seen before.
        consistency: the proof that the log continues ``seen``, where the answer has none.
        needs_freshness: False for whoever reads the database himself.
    """

    registry_id: str
    digests: tuple[str, ...]
    keys: tuple[str, ...] = ()
    seen: Checkpoint | None = None
    consistency: tuple[bytes, ...] | None = None
    needs_freshness: bool = True


def verify(answer: Answer, question: Question, now: datetime) -> Verdict:
    """What ``answer`` says, as far as it is proven.

    Args:
        now: aware.

    Raises:
        RegistryForkError: the log does not continue the one that was seen before.
        MalformedEventError: something does not fit: a signature, a proof, the registry's id, what
            was asked.
        EventRefusedError: an event may not follow those before it.
        RegistryUnavailableError: the freshness has ended.
    """
    raise NotImplementedError
