# SPDX-License-Identifier: Apache-2.0
"""Envelope and statement: any bytes are refused, or mean one thing that survives re-encoding."""

from __future__ import annotations

from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.sealing import canonical, envelope, statement
from keras_integrity_hook.sealing.statement import Region, Statement
from tests.fuzz.harness import fuzz


def check(data: bytes) -> None:
    # The fuzzer does not guess base64 around JSON, so the statement is also tried without it.
    for payload in (data, payload_of(data)):
        if payload is not None:
            check_statement(payload)
    assert canonical.encode(canonical.decode(data)) == data


def payload_of(data: bytes) -> bytes | None:
    try:
        found = envelope.decode(data)
    except IntegrityError:
        return None
    assert envelope.encode(found) == data
    return found.payload


def check_statement(payload: bytes) -> None:
    try:
        found = statement.decode(payload)
    except IntegrityError:
        return
    assert statement.decode(statement.encode(found)) == found


if __name__ == "__main__":
    said = statement.encode(
        Statement(
            subject="modèle.keras",
            root="00" * 32,
            container="keras-zip",
            algorithm="sha256",
            size=3 << 20,
            chunk_size=1 << 20,
            created="2026-01-01T00:00:00Z",
            provenance={"keras": "3.15.1"},
            regions=(Region("config.json", 30, 100, 7), Region("weights", 200, 2 << 20)),
        )
    )
    wrapped = envelope.encode(envelope.Envelope(said, (envelope.Signature("key", "c2ln"),)))
    fuzz(check, [said, wrapped, b'{"a":' * 40 + b"1" + b"}" * 40, b"[" * 100_000])
