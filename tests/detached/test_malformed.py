# SPDX-License-Identifier: Apache-2.0
"""Bundles that nobody should have written, some of them signed by somebody trusted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from keras_integrity_hook import detached
from keras_integrity_hook.detached import bundle, bundle_signer
from keras_integrity_hook.detached.bundle import Bundle, Method
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    IntegrityError,
    LimitExceededError,
    MalformedBundleError,
    NotSignedError,
    UnreadableFileError,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import envelope
from tests.detached.bundles import NOW, Key
from tests.detached.helpers import attested, opened, signed


def rewritten(path: Path, key: Key, change: Callable[[dict[str, Any]], None]) -> None:
    """Sign ``path``, with a statement that ``change`` has spoilt before it was signed."""
    where = signed(path, key)
    value = json.loads(bundle.decode(where.read_bytes()).payload)
    change(value)
    payload = json.dumps(value).encode()
    raw = key.secret.sign(envelope.pae(payload), ec.ECDSA(_sha256()))
    where.write_bytes(
        bundle.encode(Bundle(payload, raw, Method.KEY, bundle_signer.hint_of(key.public)))
    )


def _sha256() -> Any:
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA256()


def _resources(*names: str, method: str = "files") -> Callable[[dict[str, Any]], None]:
    import hashlib

    def change(value: dict[str, Any]) -> None:
        predicate = value["predicate"]
        predicate["serialization"]["method"] = method
        spelled = "sha256"
        if method == "shards":
            predicate["serialization"]["shard_size"] = 10
            spelled = "sha256-sharded-10"
        digest = predicate["resources"][0]["digest"]
        predicate["resources"] = [
            {"name": name, "algorithm": spelled, "digest": digest} for name in names
        ]
        root = hashlib.sha256(bytes.fromhex(digest) * len(names)).hexdigest()
        value["subject"][0]["digest"]["sha256"] = root

    return change


def _set(*steps: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(value: Any) -> None:
        for step in steps[:-1]:
            value = value[step]
        value[steps[-1]] = to

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("_type", to="https://in-toto.io/Statement/v0.1"),
        _set("predicateType", to="https://slsa.dev/provenance/v1"),
        _set("predicateType", to="https://model_signing/Digests/v0.1"),
        _set("subject", to=[]),
        _set("subject", 0, "digest", "sha256", to="00" * 32),
        _set("predicate", to=None),
        _set("predicate", "resources", to=[]),
        _set("predicate", "resources", 0, "digest", to="zz"),
        _set("predicate", "resources", 0, "digest", to="00"),
        _set("predicate", "resources", 0, "algorithm", to="md5"),
        _set("predicate", "serialization", "hash_type", to="md5"),
        _set("predicate", "serialization", "method", to="tensors"),
        _set("predicate", "serialization", "allow_symlinks", to="no"),
        _resources("../../etc/passwd"),
        _resources("/etc/passwd"),
        _resources("a//b"),
        _resources("a\0b"),
        _resources(".", "."),
        _resources(".", "model.keras"),
        _resources(".", method="shards"),
        _resources(".:0:-1", method="shards"),
        _resources(".:5:10", method="shards"),
        _resources(".:0:5", ".:6:10", method="shards"),
        _resources(".:0:5", ".:4:10", method="shards"),
        _resources(".:0:0", method="shards"),
    ],
)
def test_signed_statement_that_makes_no_sense_is_refused(
    change: Callable[[dict[str, Any]], None], copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("model.keras")
    rewritten(path, key, change)

    with pytest.raises((MalformedBundleError, ChecksumMismatchError)):
        attested(path)


def test_unknown_field_of_the_predicate_is_ignored_as_its_definition_says(
    copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("model.keras")
    rewritten(path, key, _set("predicate", "card", to={"licence": "Apache-2.0"}))

    assert attested(path).signers[0].name == "alice"


@pytest.mark.parametrize(
    "change",
    [
        _set("mediaType", to="application/vnd.dev.sigstore.bundle+json;version=0.2"),
        _set("more", to=1),
        _set("verificationMaterial", to={}),
        _set("verificationMaterial", "tlogEntries", to=[{}]),
        _set("verificationMaterial", "x509CertificateChain", to={"certificates": []}),
        _set("verificationMaterial", "publicKey", "hint", to=7),
        _set("verificationMaterial", to={"x509CertificateChain": {"certificates": []}}),
        _set(
            "verificationMaterial",
            to={"x509CertificateChain": {"certificates": [{"rawBytes": "AAAA"}]}},
        ),
        _set("dsseEnvelope", "payloadType", to="text/plain"),
        _set("dsseEnvelope", "payload", to="?"),
        _set("dsseEnvelope", "signatures", to=[]),
        _set("dsseEnvelope", "signatures", to=[{"sig": "AAAA"}] * 2),
        _set("dsseEnvelope", "signatures", to="AAAA"),
    ],
)
def test_malformed_bundle_is_refused(
    change: Callable[[dict[str, Any]], None], copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("model.keras")
    where = signed(path, key)
    value = json.loads(where.read_bytes())
    change(value)
    where.write_text(json.dumps(value))

    with pytest.raises(MalformedBundleError):
        attested(path)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", MalformedBundleError),
        (b"\x88\x9f binary, as of another tool", MalformedBundleError),
        (b"[]", MalformedBundleError),
        (b"[" * 1_000_000, LimitExceededError),
        (b"[[[[[[[[[1]]]]]]]]]", LimitExceededError),
        (b"[" + b"0," * LIMITS.json_nodes + b"0]", LimitExceededError),
        (b'{"a": 1, "a": 2}', MalformedBundleError),
        (b'{"a": 1.5}', MalformedBundleError),
        (b'{"a": NaN}', MalformedBundleError),
        (b'{"a": "\\ud800"}', MalformedBundleError),
        (b"9" * 10_000, MalformedBundleError),
    ],
)
def test_hostile_json_is_refused(
    data: bytes, error: type[IntegrityError], copy_of: Callable[..., Path]
) -> None:
    path = copy_of("model.keras")
    path.with_name("model.keras.sig").write_bytes(data)

    with pytest.raises(error):
        attested(path)


def test_duplicate_field_cannot_show_each_reader_another_payload(
    copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("model.keras")
    where = signed(path, key)
    text = where.read_text()
    where.write_text(text.replace('"payloadType"', '"payload": "e30=", "payloadType"', 1))
    assert json.loads(where.read_text())["dsseEnvelope"]["payload"] == "e30="

    with pytest.raises(MalformedBundleError, match="strict JSON"):
        attested(path)


def test_huge_bundle_is_not_read(copy_of: Callable[..., Path]) -> None:
    path = copy_of("model.keras")
    with path.with_name("model.keras.sig").open("wb") as file:
        file.truncate(LIMITS.bundle + 1)

    with pytest.raises(LimitExceededError):
        attested(path)


def test_fifo_in_place_of_a_bundle_does_not_hang(copy_of: Callable[..., Path]) -> None:
    path = copy_of("model.keras")
    os.mkfifo(path.with_name("model.keras.sig"))

    with pytest.raises(UnreadableFileError, match="FIFO"):
        attested(path)


def test_model_without_a_bundle_is_nobodys(copy_of: Callable[..., Path]) -> None:
    with opened(copy_of("model.keras")) as model:
        assert detached.attestation_for(model, at=NOW, machine_only=False) is None


def test_key_of_the_users_does_not_count_where_the_machine_decides(
    copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("model.keras")
    signed(path, key)
    with opened(path) as model, pytest.raises(NotSignedError):
        detached.attestation_for(model, at=NOW, machine_only=True)
