# SPDX-License-Identifier: Apache-2.0
"""A refusal for want of a signature says which key signed and what is wrong with it since when."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import keras_integrity_hook as kih
from keras_integrity_hook import cli
from keras_integrity_hook.signing import trust_edit, trust_store
from keras_integrity_hook.signing.trust_file import TrustedKey
from tests.support.attacks import Publisher, put_seal, seal_of

PAST = datetime(2026, 1, 31, tzinfo=UTC)
FUTURE = datetime(2199, 1, 31, tzinfo=UTC)


@pytest.fixture
def trusted(publisher: Publisher) -> Path:
    """The trust file that has the publisher's key."""
    return Path(trust_store.user_file())


@pytest.fixture
def signed(keras: Any, publisher: Publisher, tmp_path: Path, signed_policy: Path) -> Path:
    return publisher.publish(tmp_path / "models" / "m.keras")


def refused(path: Path) -> kih.NotSignedError:
    with pytest.raises(kih.NotSignedError) as caught:
        kih.verify(path)
    return caught.value


def only(path: Path) -> dict[str, Any]:
    (verdict,) = refused(path).evidence()["signatures"]
    json.dumps(verdict)
    return dict(verdict)


def change_key(trusted: Path, **changes: Any) -> str:
    """Trust the key on other terms; its id."""
    path = str(trusted)
    key = trust_edit.remove(path, "release")
    assert isinstance(key, TrustedKey)
    trust_edit.add_key(path, key._replace(**changes))
    return key.keyid


def test_an_expired_key_is_named_with_the_day(signed: Path, trusted: Path) -> None:
    keyid = change_key(trusted, not_after=PAST)
    error = refused(signed)
    assert f"that of 'release' (key {keyid[:12]}) does not count: " in error.cause
    assert "expired on 2026-01-31" in error.cause
    assert only(signed) == {
        "keyid": keyid,
        "names": ["release"],
        "state": "expired",
        "since": "2026-01-31T00:00:00Z",
        "reason": "",
    }


def test_a_key_that_is_not_valid_yet_is_named_with_the_day(signed: Path, trusted: Path) -> None:
    change_key(trusted, not_before=FUTURE)
    assert "becomes valid on 2199-01-31" in refused(signed).cause
    assert only(signed)["state"] == "not yet valid"


@pytest.mark.parametrize("is_still_listed", [True, False])
def test_a_revoked_key_is_named_with_the_reason(
    signed: Path, trusted: Path, is_still_listed: bool
) -> None:
    keyid = change_key(trusted)
    trust_edit.revoke_key(str(trusted), keyid, "laptop stolen")
    if not is_still_listed:
        trust_edit.remove(str(trusted), "release")
    error = refused(signed)
    assert "the key was revoked on 20" in error.cause
    assert "(laptop stolen)" in error.cause
    assert ("'release'" in error.cause) is is_still_listed
    verdict = only(signed)
    assert (verdict["state"], verdict["reason"]) == ("revoked", "laptop stolen")
    assert verdict["since"].startswith("20")


def test_an_unknown_key_is_told_by_its_id(signed: Path, trusted: Path) -> None:
    removed = trust_edit.remove(str(trusted), "release")
    assert isinstance(removed, TrustedKey)
    keyid = removed.keyid
    assert f"that of key {keyid[:12]} is by nobody who is trusted here" in refused(signed).cause
    assert only(signed)["state"] == "unknown"


def test_a_signature_that_is_not_over_this_seal_is_not_laid_to_its_key(
    signed: Path, trusted: Path
) -> None:
    """Else whoever copies the id of a revoked key would have it blamed."""
    keyid = change_key(trusted)
    trust_edit.revoke_key(str(trusted), keyid, "laptop stolen")
    seal = seal_of(signed)
    forged = seal.envelope.signatures[0]._replace(sig=base64.b64encode(b"x" * 70).decode())
    put_seal(signed, seal.envelope._replace(signatures=(forged,)), seal.table)
    assert "does not fit the seal: it is damaged or forged" in refused(signed).cause
    assert only(signed)["state"] == "wrong"


def test_without_a_signature_none_is_spoken_of(
    publisher: Publisher, keras: Any, tmp_path: Path, signed_policy: Path
) -> None:
    error = refused(publisher.save(tmp_path / "m.keras"))
    assert error.cause.endswith("and none was found")
    assert error.evidence()["signatures"] == []


def test_a_good_signature_of_another_is_told_from_none(signed: Path, signed_policy: Path) -> None:
    signed_policy.write_text('require = "signed"\nsigners = ["board"]\n')
    cause = refused(signed).cause
    assert "by board is required" in cause
    assert "that of 'release'" in cause
    assert "is good, and not one that was asked for" in cause


def test_too_few_signatures_do_not_repeat_those_that_count(
    signed: Path, signed_policy: Path
) -> None:
    signed_policy.write_text('require = "signed"\nthreshold = 2\n')
    error = refused(signed)
    assert error.cause.endswith("and only that of release was found")
    assert error.evidence()["signatures"][0]["state"] == "good"


def test_the_command_says_it_in_words_and_in_json(signed: Path, trusted: Path) -> None:
    keyid = change_key(trusted)
    trust_edit.revoke_key(str(trusted), keyid, "laptop stolen")
    done = CliRunner().invoke(cli.main, ["verify", str(signed)])
    assert done.exit_code == 1
    assert "laptop stolen" in done.output
    done = CliRunner().invoke(cli.main, ["verify", "--json", str(signed)])
    (result,) = json.loads(done.output)["results"]
    (verdict,) = result["error"]["evidence"]["signatures"]
    assert verdict["names"] == ["release"]
    assert verdict["state"] == "revoked"
