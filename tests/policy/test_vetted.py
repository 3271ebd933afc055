# SPDX-License-Identifier: Apache-2.0
"""``require = "vetted"``: what counts as the word of a trusted vetter, and what an attacker who may
write the directory of a model can make of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.containers import recognition
from keras_integrity_hook.detached import vetted, vsa
from keras_integrity_hook.detached.vsa import Summary
from keras_integrity_hook.sealing.envelope import Envelope
from keras_integrity_hook.signing import signers, trust_edit, trust_store
from keras_integrity_hook.verification import pinning
from tests.support import attacks, model_kinds
from tests.support.attacks import EVIL, GOOD, KINDS, Publisher
from tests.support.signers import let_trust, make_key, trusted

VETTED = 'require = "vetted"\n'


class Vetter:
    """Somebody whose word on models counts, unless ``trusted`` is false."""

    def __init__(self, home: Path, name: str = "lab", *, is_trusted: bool = True) -> None:
        home.mkdir(exist_ok=True)
        self.key = home / f"{name}.key"
        self.public = make_key(self.key)
        if is_trusted:
            entry = trusted(name, self.public)
            trust_edit.add_key(trust_store.user_file(), entry, vetter=True)

    def say(self, path: Path, *, passed: bool = True, digest: str = "") -> Path:
        """Write down that the model at ``path`` passed, or did not."""
        summary = Summary(path.name, digest or content_of(path), passed, "2026-01-02T03:04:05Z")
        return Path(vetted.write(str(path), self.signed(vsa.encode(summary))))

    def signed(self, payload: bytes) -> Envelope:
        return Envelope(payload, (signers.sign(payload, str(self.key)),))


def content_of(path: Path) -> str:
    """The digest of what is at ``path`` now."""
    with pinning.open_as_it_is(str(path), recognition.recognise(str(path))) as model:
        return pinning.content_digest(model.seal)


@pytest.fixture
def policy(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(VETTED)
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(path))
    return path


@pytest.fixture
def lab(tmp_path: Path, policy: Path) -> Vetter:
    return Vetter(tmp_path / "vetter")


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "unsealed"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_trusted_vetter_passed_is_loaded_and_nothing_else(
    keras: Any, models: Path, publisher: Publisher, lab: Vetter, kind: str, sealed: bool
) -> None:
    path = publisher.save(models / kind)
    if not sealed:
        kih.unseal(path)
    attacks.refused(kih.NotVettedError, path, "there is none")
    lab.say(path)
    assert attacks.value_of(path) == GOOD
    attacks.edit(path)
    kind_of_error = kih.ChecksumMismatchError if sealed else kih.NotVettedError
    attacks.refused(kind_of_error, path)


def test_a_seal_or_signature_made_afterwards_leaves_the_word_good(
    keras: Any, models: Path, publisher: Publisher, lab: Vetter
) -> None:
    path = publisher.save(models / "model.keras")
    kih.unseal(path)
    lab.say(path)
    kih.seal(path)
    kih.sign(path, key=str(publisher.key))
    assert attacks.value_of(path) == GOOD


def test_word_on_another_model_does_not_count(
    keras: Any, models: Path, publisher: Publisher, lab: Vetter
) -> None:
    good = publisher.save(models / "model.keras")
    evil = publisher.save(models / "evil.keras", EVIL)
    said = lab.say(good)
    said.replace(vetted.place(str(evil)))
    attacks.refused(kih.NotVettedError, evil, "that of lab is about other content")


def test_word_of_strangers_does_not_count(
    keras: Any, models: Path, tmp_path: Path, publisher: Publisher, lab: Vetter
) -> None:
    path = publisher.save(models / "model.keras")
    stranger = Vetter(tmp_path / "vetter", "stranger", is_trusted=False)
    stranger.say(path)
    attacks.refused(kih.NotVettedError, path, "nobody trusted signed")


def test_who_may_sign_models_may_not_vet_them_and_the_other_way_round(
    keras: Any, models: Path, tmp_path: Path, publisher: Publisher, lab: Vetter, policy: Path
) -> None:
    path = publisher.save(models / "model.keras")
    signer = Vetter(tmp_path / "vetter", "signer", is_trusted=False)
    let_trust("signer", signer.public)
    signer.say(path)
    attacks.refused(kih.NotVettedError, path, "nobody trusted signed")
    policy.write_text('require = "signed"\n')
    kih.sign(path, key=str(lab.key))
    attacks.refused(kih.NotSignedError, path, "none was found")


@pytest.mark.parametrize("gone", ["revoked", "expired", "removed"])
def test_word_of_a_vetter_who_counts_no_more(
    keras: Any, models: Path, tmp_path: Path, publisher: Publisher, policy: Path, gone: str
) -> None:
    old = Vetter(tmp_path / "vetter", "old", is_trusted=False)
    end = datetime.now(UTC) - timedelta(days=1) if gone == "expired" else None
    entry = trusted("old", old.public, not_after=end)
    trust_edit.add_key(trust_store.user_file(), entry, vetter=True)
    path = publisher.save(models / "model.keras")
    old.say(path)
    if gone != "expired":
        assert attacks.value_of(path) == GOOD
    if gone == "revoked":
        trust_edit.revoke_key(trust_store.user_file(), old.public.keyid, "stolen")
    elif gone == "removed":
        trust_edit.remove(trust_store.user_file(), "old")
    attacks.refused(kih.NotVettedError, path, "nobody trusted signed")


def test_one_trusted_failure_outweighs_all_who_say_it_passed(
    keras: Any, models: Path, tmp_path: Path, publisher: Publisher, lab: Vetter
) -> None:
    path = publisher.save(models / "model.keras")
    other = Vetter(tmp_path / "vetter", "other")
    lab.say(path)
    said = other.say(path, passed=False)
    assert len(said.read_bytes().splitlines()) == 2
    attacks.refused(kih.NotVettedError, path, "'other' says that it failed")
    other.say(path)  # its newer word takes the place of the older
    assert len(said.read_bytes().splitlines()) == 2
    assert attacks.value_of(path) == GOOD


@pytest.mark.parametrize("forged", ["result", "digest", "policy", "type"])
def test_word_that_was_changed_or_is_about_something_else(
    keras: Any, models: Path, publisher: Publisher, lab: Vetter, forged: str
) -> None:
    path = publisher.save(models / "model.keras")
    statement = json.loads(vsa.encode(Summary(path.name, content_of(path), True, "now")))
    if forged == "result":  # what another verifier writes, who knows nothing of sandboxes
        statement["predicate"]["verifiedLevels"] = ["SLSA_BUILD_LEVEL_3"]
    elif forged == "digest":
        statement["subject"][0]["digest"] = {"keras-integrity-v1-sha256": 64 * "0"}
    elif forged == "policy":
        statement["predicate"]["policy"]["uri"] = "https://example.com/policy"
    else:
        statement["predicateType"] = "https://slsa.dev/provenance/v1"
    vetted.write(str(path), lab.signed(json.dumps(statement).encode()))
    attacks.refused(kih.NotVettedError, path)


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b"\xff", b'{"payload": "", "payloadType": "x", "signatures": []}', b"{}" * 9],
)
def test_file_of_words_that_is_none_is_refused(
    keras: Any, models: Path, publisher: Publisher, lab: Vetter, line: bytes
) -> None:
    path = publisher.save(models / "model.keras")
    said = lab.say(path)
    said.write_bytes(said.read_bytes() + line)
    attacks.refused(kih.MalformedBundleError, path)


def test_endless_file_of_words_is_refused(
    keras: Any, models: Path, publisher: Publisher, lab: Vetter
) -> None:
    path = publisher.save(models / "model.keras")
    said = lab.say(path)
    said.write_bytes(said.read_bytes() * 65)
    attacks.refused(kih.LimitExceededError, path)
    said.unlink()
    said.symlink_to("/dev/zero")
    attacks.refused(kih.UnreadableFileError, path)


def test_signed_and_vetted_asks_for_both(
    keras: Any, models: Path, publisher: Publisher, lab: Vetter, policy: Path
) -> None:
    policy.write_text('require = "signed+vetted"\n')
    path = publisher.save(models / "model.keras")
    lab.say(path)
    attacks.refused(kih.NotSignedError, path)
    kih.sign(path, key=str(publisher.key))
    assert attacks.value_of(path) == GOOD
    Path(vetted.place(str(path))).unlink()
    attacks.refused(kih.NotVettedError, path)


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "unsealed"])
@pytest.mark.parametrize("kind", ["model.keras", "directory"])
def test_signature_beside_the_model_and_the_word_of_a_vetter(
    keras: Any,
    models: Path,
    publisher: Publisher,
    lab: Vetter,
    policy: Path,
    kind: str,
    sealed: bool,
) -> None:
    from keras_integrity_hook.detached import sign

    policy.write_text('require = "signed+vetted"\n')
    path = publisher.save(models / kind)
    if not sealed:
        kih.unseal(path)
    sign.sign(str(path), str(publisher.key))
    attacks.refused(kih.NotVettedError, path)
    lab.say(path)
    assert attacks.value_of(path) == GOOD


def test_recalled_model_is_refused_whoever_vetted_it(
    keras: Any, models: Path, publisher: Publisher, lab: Vetter
) -> None:
    path = publisher.save(models / "model.keras")
    kih.unseal(path)
    lab.say(path)
    root = content_of(path).partition(":")[2]
    trust_edit.revoke_model(trust_store.user_file(), root, "poisoned")
    attacks.refused(kih.RevokedModelError, path, "poisoned")


@pytest.mark.parametrize("demand", ['unsealed = "reject"', 'model = "fraud"'])
def test_vetting_is_no_seal_where_one_is_asked_for(
    keras: Any, models: Path, publisher: Publisher, lab: Vetter, policy: Path, demand: str
) -> None:
    policy.write_text(VETTED + demand)
    path = publisher.save(models / "model.keras")
    kih.unseal(path)
    lab.say(path)
    attacks.refused(kih.UnsealedModelError, path)


def test_vetted_model_is_loaded_as_it_was_vetted_whatever_is_written_meanwhile(
    keras: Any, models: Path, publisher: Publisher, lab: Vetter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the comparison with the vetter's digest and the load (CWE-367)."""
    path = publisher.save(models / "model.keras")
    kih.unseal(path)
    lab.say(path)
    compared = pinning.content_digest

    def then_write(seal: Any) -> str:
        found = compared(seal)
        attacks.edit(path)
        return found

    monkeypatch.setattr(pinning, "content_digest", then_write)
    attacks.refused(kih.ChecksumMismatchError, path)


def test_verify_asks_for_the_word_too(
    keras: Any, models: Path, publisher: Publisher, lab: Vetter
) -> None:
    path = publisher.save(models / "model.keras")
    with pytest.raises(kih.NotVettedError):
        kih.verify(path)
    lab.say(path)
    assert kih.verify(path).state == "sealed"


def test_summary_is_what_the_specification_asks_for(tmp_path: Path) -> None:
    """https://slsa.dev/spec/v1.0/verification_summary: fields that must be there."""
    made = vsa.encode(Summary("m.keras", "sha256:" + 64 * "a", True, "2026-01-02T03:04:05Z"))
    statement = json.loads(made)
    predicate = statement["predicate"]
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/verification_summary/v1"
    for given in (
        predicate["verifier"]["id"],
        predicate["policy"]["uri"],
        predicate["resourceUri"],
    ):
        assert given
    assert predicate["verificationResult"] == "PASSED"
    assert not any(level.startswith("SLSA_") for level in predicate["verifiedLevels"])
    assert vsa.decode(made) == Summary(
        "m.keras", "sha256:" + 64 * "a", True, "2026-01-02T03:04:05Z"
    )


def test_sets_keep_their_names_in_the_digest(
    keras: Any, models: Path, publisher: Publisher, lab: Vetter
) -> None:
    path = publisher.save(models / "directory")
    kih.unseal(path)
    lab.say(path)
    assert model_kinds.attacked_file(path).exists()
    (path / "config.json").rename(path / "aside")
    (path / "metadata.json").rename(path / "config.json")
    (path / "aside").rename(path / "metadata.json")
    with pytest.raises(kih.IntegrityError):
        attacks.load(path)
