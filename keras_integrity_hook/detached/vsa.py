# SPDX-License-Identifier: Apache-2.0
"""What a vetter says of a model that it tried, as a verification summary (SLSA, version 1).

The statement is in-toto's, its predicate https://slsa.dev/spec/v1.0/verification_summary. Its
subject is the model's content, by the digest that seals have: to seal or to sign a model afterwards
leaves the summary good, to change a byte of its content does not. A summary is one DSSE envelope on
a line; a file holds one for each vetter, which is in-toto's attestation bundle.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_integrity_hook.detached import strict_json
from keras_integrity_hook.errors import LimitExceededError, MalformedBundleError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import canonical, envelope, tree
from keras_integrity_hook.sealing.envelope import PAYLOAD_TYPE, Envelope, Signature

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/verification_summary/v1"
POLICY = "urn:keras-integrity-hook:vetting:v1"
"""What had to hold: nothing found by inspection, loaded and called in a sandbox, and nothing tried
there that it forbids. A summary that is about another policy says nothing about this."""
LEVEL = "KERAS_INTEGRITY_VETTED"
"""What a model that passed has, where SLSA has its levels; names of one's own are allowed there."""
_DIGEST = "keras-integrity-v1-"
_NEEDED = {"verifier", "timeVerified", "resourceUri", "policy", "verificationResult"}


@dataclass(frozen=True, slots=True)
class Summary:
    """One statement of a vetter; who made it is for its signature to say.

    Attributes:
        subject: what the model was called; nothing is decided by it.
        digest: that of the content, ``"<algorithm>:<hex>"``, see ``pinning.content_digest``.
        passed: whether the model passed.
        at: when it was tried, RFC 3339.
        versions: of what tried it, by name; of libraries, too.
    """

    subject: str
    digest: str
    passed: bool
    at: str
    versions: Mapping[str, str] = field(default_factory=dict)


def encode(summary: Summary) -> bytes:
    """The statement as canonical JSON bytes, to be signed."""
    algorithm, _, digits = summary.digest.partition(":")
    return canonical.encode(
        {
            "_type": STATEMENT,
            "subject": [{"name": summary.subject, "digest": {_DIGEST + algorithm: digits}}],
            "predicateType": PREDICATE,
            "predicate": {
                "verifier": {
                    "id": "urn:keras-integrity-hook:vet",
                    "version": dict(summary.versions),
                },
                "timeVerified": summary.at,
                "resourceUri": f"urn:keras-integrity-hook:model:{summary.digest}",
                "policy": {"uri": POLICY},
                "verificationResult": "PASSED" if summary.passed else "FAILED",
                "verifiedLevels": [LEVEL] if summary.passed else ["FAILED"],
                "slsaVersion": "1.0",
            },
        }
    )


def decode(payload: bytes) -> Summary | None:
    """The summary that ``payload`` spells; None for a statement about something else.

    Raises:
        MalformedBundleError: it is no statement, or contradicts itself.
        LimitExceededError: over a cap.
    """
    value = strict_json.loads(payload)
    statement = strict_json.fields(value, needed={"_type", "subject", "predicateType", "predicate"})
    predicate = statement["predicate"]
    if statement["_type"] != STATEMENT or statement["predicateType"] != PREDICATE:
        return None
    if not isinstance(predicate, dict) or not predicate.keys() >= _NEEDED:
        raise MalformedBundleError("the verification summary lacks a field")
    policy, verifier = predicate["policy"], predicate["verifier"]
    if not isinstance(policy, dict) or policy.get("uri") != POLICY:
        return None
    subject, digest = _subject(statement["subject"])
    return Summary(
        subject, digest, _passed(predicate), _text(predicate["timeVerified"]), _versions(verifier)
    )


def encode_line(signed: Envelope) -> bytes:
    """A signed summary as a line of a file."""
    return envelope.encode(signed) + b"\n"


def decode_lines(data: bytes) -> tuple[Envelope, ...]:
    """The envelopes that the file ``data`` holds; nothing of them is checked yet.

    Raises:
        MalformedBundleError: a line is no DSSE envelope.
        LimitExceededError: over a cap.
    """
    lines = [line for line in data.splitlines() if line.strip()]
    if len(lines) > LIMITS.summaries:
        raise LimitExceededError(f"there are over {LIMITS.summaries} verification summaries")
    return tuple(_envelope(line) for line in lines)


def _envelope(line: bytes) -> Envelope:
    value = strict_json.fields(
        strict_json.loads(line), needed={"payload", "payloadType", "signatures"}
    )
    if value["payloadType"] != PAYLOAD_TYPE:
        raise MalformedBundleError("the verification summary has an unknown payload type")
    payload = strict_json.base64_bytes(value["payload"])
    signatures = strict_json.items(value["signatures"])
    if len(signatures) > LIMITS.signatures:
        raise LimitExceededError(f"a verification summary has over {LIMITS.signatures} signatures")
    return Envelope(payload, tuple(_signature(one) for one in signatures))


def _signature(value: Any) -> Signature:
    one = strict_json.fields(value, needed={"sig"}, allowed={"keyid"})
    raw = strict_json.base64_bytes(one["sig"])
    spelled = base64.b64encode(raw).decode("ascii")
    return Signature(strict_json.text(one.get("keyid", "")), spelled)


def _subject(value: Any) -> tuple[str, str]:
    """The name of the one subject, and its digest as :attr:`Summary.digest`."""
    subjects = strict_json.items(value)
    if len(subjects) != 1:
        raise MalformedBundleError("the verification summary is not about one model")
    subject = strict_json.fields(subjects[0], needed={"digest"}, allowed={"name", "uri"})
    digests = subject["digest"]
    ours = {name: value for name, value in _items(digests) if name.startswith(_DIGEST)}
    if len(ours) != 1:
        raise MalformedBundleError("the verification summary has no one digest of the content")
    ((name, digits),) = ours.items()
    algorithm = name.removeprefix(_DIGEST)
    if algorithm not in tree.ALGORITHMS or not _is_hex(digits, 2 * tree.ALGORITHMS[algorithm]):
        raise MalformedBundleError("the verification summary has a digest of an unknown kind")
    return _text(subject.get("name", "")), f"{algorithm}:{digits}"


def _items(value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise MalformedBundleError("the verification summary has no digests")
    return list(value.items())


def _is_hex(value: Any, length: int) -> bool:
    return isinstance(value, str) and len(value) == length and not value.strip("0123456789abcdef")


def _passed(predicate: Mapping[str, Any]) -> bool:
    result, levels = predicate["verificationResult"], predicate.get("verifiedLevels", [])
    if result not in ("PASSED", "FAILED") or not isinstance(levels, list):
        raise MalformedBundleError("the verification summary has no result")
    return result == "PASSED" and LEVEL in levels


def _versions(verifier: Any) -> dict[str, str]:
    versions = verifier.get("version", {}) if isinstance(verifier, dict) else None
    if not isinstance(versions, dict):
        raise MalformedBundleError("the verification summary does not say who made it")
    return {name: _text(version) for name, version in versions.items()}


def _text(value: Any) -> str:
    return strict_json.text(value)
