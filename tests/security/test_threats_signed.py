# SPDX-License-Identifier: Apache-2.0
"""More attacks that SECURITY.md lists: good models where they do not belong, and crafted files.

As in ``test_threats.py`` the genuine model loads under the policy that refuses the attack.
"""

from __future__ import annotations

import struct
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.detached import sign as detached
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import canonical, envelope, statement
from keras_integrity_hook.sealing.envelope import Envelope, Signature
from keras_integrity_hook.signing import trust_edit, trust_store
from tests.support import attacks
from tests.support.attacks import (
    EVIL,
    GOOD,
    KINDS,
    SIGNED,
    Publisher,
    load,
    refused,
    value_of,
)
from tests.support.signers import let_trust, make_key

pytestmark = [pytest.mark.usefixtures("keras"), pytest.mark.filterwarnings("ignore")]


# Path confusion


NAMED = '[[rules]]\npath = "models/fraud/**"\nrequire = "signed"\nmodel = "fraud"\n'


@pytest.mark.parametrize("kind", KINDS)
def test_signed_model_placed_at_another_models_path_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, kind: str
) -> None:
    signed_policy.write_text(NAMED)
    path = publisher.publish(models / "fraud" / kind)
    load(path)
    other = publisher.publish(models / "churn" / kind, name="churn")
    load(other)
    attacks.swap(models / "fraud", models / "churn")
    refused(kih.WrongModelError, path, "'churn'")


def test_model_renamed_under_its_signature_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path
) -> None:
    signed_policy.write_text(NAMED)
    path = publisher.publish(models / "fraud" / "model.keras")
    load(path)
    publisher.publish(path, name="churn")
    seal = attacks.seal_of(path)
    said = replace(seal.statement, model={**seal.statement.model, "name": "fraud"})
    forged = Envelope(statement.encode(said), seal.envelope.signatures)
    attacks.put_seal(path, forged, seal.table)
    refused(kih.NotSignedError, path)


@pytest.mark.parametrize("linked", ["model", "directory", "link to a link", "into an exempt place"])
def test_symbolic_link_does_not_lead_a_model_out_of_its_rule(
    publisher: Publisher, signed_policy: Path, models: Path, tmp_path: Path, linked: str
) -> None:
    """Whoever can write the directory puts a link to another model where the signed one was."""
    signed_policy.write_text(f'[[rules]]\npath = "scratch/**"\nrequire = "nothing"\n{NAMED}')
    path = publisher.publish(models / "fraud" / "v1" / "model.keras")
    assert value_of(path) == GOOD
    elsewhere = "scratch" if linked == "into an exempt place" else "elsewhere"
    evil = publisher.save(tmp_path / elsewhere / "model.keras", EVIL)
    assert value_of(evil) == EVIL
    if linked == "directory":
        path.parent.rename(tmp_path / "aside")
        path.parent.symlink_to(evil.parent)
    else:
        path.unlink()
        target = evil
        if linked == "link to a link":
            target = tmp_path / "between"
            target.symlink_to(evil)
        path.symlink_to(target)
    refused(kih.NotSignedError, path)
    alias = tmp_path / "alias"
    alias.symlink_to(models)
    refused(kih.NotSignedError, alias / "fraud" / "v1" / "model.keras")


# Rollback and freeze


@pytest.mark.parametrize("old", ["1.9", "2.0rc1", "2.0.dev3"])
def test_rollback_to_an_older_signed_version_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, old: str
) -> None:
    signed_policy.write_text(f'{SIGNED}minimum_version = "2.0"\n')
    path = publisher.publish(models / "model.keras", version="10.0")
    load(path)
    publisher.publish(path, version=old)
    refused(kih.RollbackError, path, old)


def test_version_raised_under_its_signature_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path
) -> None:
    signed_policy.write_text(f'{SIGNED}minimum_version = "2.0"\n')
    path = publisher.publish(models / "model.keras")
    load(path)
    publisher.publish(path, version="1.0")
    seal = attacks.seal_of(path)
    said = replace(seal.statement, model={**seal.statement.model, "version": "2.0"})
    attacks.put_seal(path, Envelope(statement.encode(said), seal.envelope.signatures), seal.table)
    refused(kih.NotSignedError, path)


def test_frozen_model_past_its_expiry_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_policy.write_text(f'{SIGNED}valid_for = "30d"\n')
    path = publisher.publish(models / "model.keras")
    load(path)
    past = datetime.now(UTC) - timedelta(days=31)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(past.timestamp())))
    publisher.publish(path)
    refused(kih.ExpiredModelError, path, "expired at")
    seal = attacks.seal_of(path)
    said = statement.encode(replace(seal.statement, expires=None))
    attacks.put_seal(path, Envelope(said, seal.envelope.signatures), seal.table)
    refused(kih.NotSignedError, path)


@pytest.mark.parametrize("days", [-8, 2])
def test_frozen_model_older_than_the_policy_allows_is_refused(
    publisher: Publisher,
    signed_policy: Path,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    days: int,
) -> None:
    signed_policy.write_text(f'{SIGNED}maximum_age = "7d"\n')
    path = publisher.publish(models / "model.keras")
    load(path)
    moment = datetime.now(UTC) + timedelta(days=days)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(moment.timestamp())))
    publisher.publish(path)
    refused(kih.ExpiredModelError, path, "longer ago" if days < 0 else "in the future")


# A stolen key; a recalled model


def test_stolen_key_that_was_revoked_signs_nothing_more(
    publisher: Publisher,
    signed_policy: Path,
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_trust("other", make_key(tmp_path / "other"))
    path = publisher.publish(models / "model.keras")
    kept = publisher.publish(models / "kept.keras")
    kih.sign(kept, key=str(tmp_path / "other"))
    load(path)
    trust_edit.revoke_key(trust_store.user_file(), publisher.public.keyid, "laptop stolen")
    refused(kih.NotSignedError, path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")  # long before it was stolen, it says
    publisher.publish(path, EVIL)
    refused(kih.NotSignedError, path)
    assert value_of(kept) == GOOD


def recall(path: Path) -> None:
    trust_edit.revoke_model(
        trust_store.user_file(), attacks.seal_of(path).statement.root, "backdoor"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_recalled_model_is_refused_in_whatever_seal(
    publisher: Publisher, signed_policy: Path, models: Path, kind: str
) -> None:
    path = publisher.publish(models / "a" / kind, EVIL)
    better = publisher.publish(models / "b" / kind)
    load(path)
    recall(path)
    refused(kih.RevokedModelError, path, "backdoor")
    load(better)
    kih.unseal(path)
    refused(kih.UnsealedModelError, path)
    for algorithm in ("sha512", "blake2b"):
        kih.seal(path, algorithm=algorithm)
        refused(kih.NotSignedError, path)
        kih.unseal(path)


@pytest.mark.parametrize("recalled", ["sha256", "sha512", "blake2b"])
@pytest.mark.parametrize("kind", ["model.keras", "directory", "shards.weights.json"])
def test_recalled_model_is_refused_although_a_detached_signature_of_it_is_left(
    publisher: Publisher, signed_policy: Path, models: Path, kind: str, recalled: str
) -> None:
    path = publisher.save(models / kind)
    kih.unseal(path)
    detached.sign(str(path), str(publisher.key))
    load(path)
    kih.seal(path, algorithm=recalled)
    kih.sign(path, key=str(publisher.key))
    load(path)
    root = attacks.seal_of(path).statement.root
    kih.unseal(path)
    load(path)
    trust_edit.revoke_model(trust_store.user_file(), root, "backdoor")
    refused(kih.RevokedModelError, path, "backdoor")
    trust_edit.revoke_model(trust_store.user_file(), "0" * len(root), "another one")
    refused(kih.RevokedModelError, path, "backdoor")


# A malicious model by a valid author


def test_one_trusted_signer_is_not_enough_where_two_must_sign(
    publisher: Publisher, signed_policy: Path, models: Path, tmp_path: Path
) -> None:
    let_trust("risk", make_key(tmp_path / "risk"))
    signed_policy.write_text(f'{SIGNED}signers = ["release", "risk"]\nthreshold = 2\n')
    path = publisher.publish(models / "model.keras")
    kih.sign(path, key=str(tmp_path / "risk"))
    load(path)
    publisher.publish(path, EVIL)
    refused(kih.NotSignedError, path, "only that of release")
    seal = attacks.seal_of(path)
    twice = Envelope(seal.envelope.payload, seal.envelope.signatures * 2)
    attacks.put_seal(path, twice, seal.table)
    refused(kih.NotSignedError, path, "only that of release")


def test_signer_who_is_trusted_for_other_models_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, tmp_path: Path
) -> None:
    let_trust("intern", make_key(tmp_path / "intern"))
    signed_policy.write_text(
        f'[[rules]]\npath = "models/production/**"\n{SIGNED}signers = ["release"]\n'
        f'[[rules]]\npath = "models/**"\n{SIGNED}'
    )
    path = publisher.publish(models / "production" / "model.keras")
    load(path)
    evil = publisher.save(models / "research" / "model.keras", EVIL)
    kih.sign(evil, key=str(tmp_path / "intern"))
    load(evil)
    attacks.copy(evil, path)
    refused(kih.NotSignedError, path, "by release is required")


# A crafted seal


def crafted(what: str, seal: Any) -> tuple[bytes, bytes]:
    """An envelope with the good signatures in it and something else too, and a chunk table."""
    payload, signatures = seal.envelope
    if what == "a hundred thousand signatures":
        padding = Signature("0" * 64, "AAAA")
        return envelope.encode(Envelope(payload, signatures + (padding,) * 40_000)), seal.table
    if what == "more signatures than any seal has":
        padding = Signature("0" * 64, "AAAA")
        return envelope.encode(Envelope(payload, (padding,) * 64 + signatures)), seal.table
    if what == "deep JSON":
        deep: Any = []
        for _ in range(100):
            deep = [deep]
        return canonical.encode({"payload": deep}), seal.table
    if what == "petabytes":
        said = payload.replace(b'"size":%d' % seal.statement.size, b'"size":%d' % (1 << 52))
        return envelope.encode(Envelope(said, signatures)), seal.table
    regions = tuple(statement.Region(f"r{n}", 0, 1, 0) for n in range(LIMITS.regions + 1))
    said = statement.encode(replace(seal.statement, regions=regions))
    return envelope.encode(Envelope(said, signatures)), seal.table


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("a hundred thousand signatures", kih.LimitExceededError),
        ("more signatures than any seal has", kih.LimitExceededError),
        ("deep JSON", kih.LimitExceededError),
        ("petabytes", kih.LimitExceededError),
        ("regions without end", kih.NotSignedError),
    ],
)
def test_crafted_seal_with_a_good_signature_in_it_is_refused(
    publisher: Publisher,
    signed_policy: Path,
    models: Path,
    what: str,
    kind: type[kih.IntegrityError],
) -> None:
    path = publisher.publish(models / "model.keras")
    load(path)
    wrapped, table = crafted(what, attacks.seal_of(path))
    kih.unseal(path)
    attacks.put_raw(path, wrapped, table)
    refused(kind, path)  # at once: it could be hours, which the time-out of tests would end


def test_chunk_table_of_another_model_under_a_good_signature_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path
) -> None:
    path = publisher.publish(models / "model.keras")
    load(path)
    signed = attacks.seal_of(path)
    table = attacks.seal_of(publisher.save(path, EVIL)).table
    kih.unseal(path)
    attacks.put_raw(path, envelope.encode(signed.envelope), table)
    refused(kih.MalformedSealError, path, "chunk table")


# ZIP archives that read differently to different tools


def differing(how: str, data: bytes) -> bytes:
    """An archive that still opens, and not as the same archive to everybody."""
    if how == "prefix":
        return b"PK\x03\x04" + data
    if how == "suffix":
        return data + b"PK\x05\x06" + bytes(18)
    if how == "comment":
        return data[:-2] + struct.pack("<H", 5) + b"hello"
    at = data.index(b"config.json")  # the name in the local header, not in the directory
    assert data[at - 30 : at - 26] == b"PK\x03\x04"
    return data[:at] + b"c0nfig.json" + data[at + 11 :]


@pytest.mark.parametrize("how", ["prefix", "suffix", "comment", "local header"])
def test_zip_differential_of_a_signed_archive_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, how: str
) -> None:
    path = publisher.publish(models / "model.keras")
    load(path)
    path.write_bytes(differing(how, path.read_bytes()))
    refused(kih.DamagedFileError, path)


def test_second_member_of_one_name_in_a_signed_archive_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path
) -> None:
    path = publisher.publish(models / "model.keras")
    load(path)
    seal = attacks.seal_of(path)
    kih.unseal(path)
    evil = {info.filename: data for info, data in attacks.members(path)}["config.json"]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", evil.replace(b"dense", b"evil!"))
    attacks.put_raw(path, envelope.encode(seal.envelope), seal.table)
    refused(kih.DamagedFileError, path, "two members of one name")


# HDF5 links, external storage and virtual datasets


@pytest.mark.parametrize("how", ["external link", "external storage", "virtual dataset"])
def test_link_out_of_a_signed_hdf5_file_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, tmp_path: Path, how: str
) -> None:
    """Signed by somebody who did not see that the weights are in another file, anybody's."""
    path = publisher.publish(models / "model.weights.h5")
    assert value_of(path) == GOOD
    kih.unseal(path)
    attacks.point_elsewhere(path, tmp_path / "elsewhere.h5", how)
    kih.seal(path)
    kih.sign(path, key=str(publisher.key))
    assert kih.verify(path).signers == ("release",)
    refused(kih.ExternalReferenceError, path)
