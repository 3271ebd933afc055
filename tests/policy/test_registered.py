# SPDX-License-Identifier: Apache-2.0
"""``require = "registered"``: what a registry's word lets be loaded, and what it stops, through
Keras itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from tests.support import attacks
from tests.support.attacks import GOOD, KINDS, Publisher
from tests.support.fleets import Fleet, registration_of

pytest.importorskip("sqlalchemy", reason="a registry needs sqlalchemy")


@pytest.fixture
def fleet(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = Fleet(tmp_path / "fleet")
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(made.policy))
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_registered_is_loaded_and_nothing_else(
    keras: Any, models: Path, publisher: Publisher, fleet: Fleet, kind: str
) -> None:
    path = publisher.save(models / kind)
    attacks.refused(kih.UnregisteredModelError, path, "does not know")
    body = fleet.register(path)
    assert attacks.value_of(path) == GOOD
    fleet.recall(body.root)
    attacks.refused(kih.RecalledModelError, path, "recalled by carol: poisoned")


@pytest.mark.parametrize("kind", ["model.keras", "saved-model"])
def test_registered_content_needs_no_seal(
    keras: Any, models: Path, publisher: Publisher, fleet: Fleet, kind: str
) -> None:
    path = publisher.save(models / kind)
    fleet.register(path)
    kih.unseal(path)
    assert attacks.value_of(path) == GOOD
    attacks.edit(path)
    attacks.refused(kih.UnregisteredModelError, path)


def test_model_is_loaded_only_at_a_stage_that_the_policy_names(
    keras: Any, models: Path, publisher: Publisher, fleet: Fleet
) -> None:
    fleet.demand(stages=["production"])
    path = publisher.save(models / "model.keras")
    body = fleet.register(path)
    fleet.promote(body, "staging")
    error = attacks.refused(kih.UnregisteredModelError, path, "at staging; .* asks for production")
    assert error.evidence() == {"stages": ["staging"]}
    fleet.promote(body)
    assert attacks.value_of(path) == GOOD


def test_model_that_was_withdrawn_is_not_loaded(
    keras: Any, models: Path, publisher: Publisher, fleet: Fleet
) -> None:
    fleet.demand(stages=["production"])
    path = publisher.save(models / "model.keras")
    body = fleet.register(path)
    fleet.promote(body)
    assert attacks.value_of(path) == GOOD
    fleet.withdraw(body)
    attacks.refused(kih.UnregisteredModelError, path, "at no stage")


def test_older_version_than_the_highest_ever_promoted_is_a_rollback(
    keras: Any, models: Path, publisher: Publisher, fleet: Fleet
) -> None:
    fleet.demand(stages=["production"])
    old = publisher.save(models / "old.keras", version="1.9")
    new = publisher.save(models / "new.keras", 2.0, version="1.10")
    former = fleet.register(old)
    fleet.promote(former)
    assert attacks.value_of(old) == GOOD
    fleet.promote(fleet.register(new), exclusive=True)
    assert attacks.value_of(new) == 2.0
    attacks.swap(old, new)
    attacks.refused(kih.RollbackError, new, "fraud 1.9; production has had 1.10 since")
    attacks.swap(old, new)
    fleet.promote(former, rollback=True)
    assert attacks.value_of(old) == GOOD


def test_name_and_minimum_version_are_those_of_the_registry(
    keras: Any, models: Path, publisher: Publisher, fleet: Fleet
) -> None:
    path = publisher.save(models / "model.keras", name="fraud", version="1.4")
    kih.unseal(path)
    kih.seal(path)  # which says neither
    fleet.register(path, "fraud", "1.4")
    fleet.demand(model="fraud", minimum_version="1.4")
    assert attacks.value_of(path) == GOOD
    fleet.demand(model="churn")
    attacks.refused(kih.WrongModelError, path, "registered as fraud 1.4; here belongs 'churn'")
    fleet.demand(model="fraud", minimum_version="1.5")
    attacks.refused(kih.RollbackError, path, "asks for 1.5 or later")


@pytest.mark.parametrize("algorithm", ["sha512", "blake2b", "unsealed"])
def test_recalled_content_comes_back_in_no_other_seal(
    keras: Any,
    models: Path,
    publisher: Publisher,
    fleet: Fleet,
    algorithm: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = publisher.save(models / "model.keras")
    body = fleet.register(path)
    fleet.recall(body.root)
    kih.unseal(path)
    if algorithm != "unsealed":
        monkeypatch.setenv("KERAS_INTEGRITY_ALGORITHM", algorithm)
        kih.seal(path)
    fleet.demand(require="nothing")
    attacks.refused(kih.RecalledModelError, path, "poisoned")


@pytest.mark.parametrize("kind", ["model.keras", "saved-model"])
def test_recalled_content_comes_back_under_no_algorithm_that_few_have(
    keras: Any,
    models: Path,
    publisher: Publisher,
    fleet: Fleet,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever registered it had no BLAKE3, so the registry does not know that digest."""
    pytest.importorskip("blake3")
    path = publisher.save(models / kind)
    body = registration_of(path)
    usual = {name: root for name, root in body.digests.items() if name != "blake3"}
    fleet.add(body._replace(digests=usual), "carol")
    fleet.recall(body.root)
    kih.unseal(path)
    monkeypatch.setenv("KERAS_INTEGRITY_ALGORITHM", "blake3")
    kih.seal(path)
    fleet.demand(require="sealed")
    attacks.refused(kih.RecalledModelError, path, "poisoned")


@pytest.mark.parametrize("algorithm", ["sha512", "blake2b"])
def test_recall_of_what_was_never_registered_holds_in_another_seal(
    keras: Any,
    models: Path,
    publisher: Publisher,
    fleet: Fleet,
    monkeypatch: pytest.MonkeyPatch,
    algorithm: str,
) -> None:
    """The recall knows it by one digest."""
    path = publisher.save(models / "model.keras")
    fleet.recall(registration_of(path).root)
    kih.unseal(path)
    monkeypatch.setenv("KERAS_INTEGRITY_ALGORITHM", algorithm)
    kih.seal(path)
    fleet.demand(require="sealed")
    attacks.refused(kih.RecalledModelError, path, "poisoned")


def test_recall_of_a_key_is_one_of_all_that_it_signed(
    keras: Any, models: Path, publisher: Publisher, fleet: Fleet
) -> None:
    path = publisher.publish(models / "model.keras")
    fleet.register(path)
    fleet.demand(require="signed+registered")
    assert attacks.value_of(path) == GOOD
    fleet.recall(publisher.public.keyid, "stolen", kind="key")
    attacks.refused(kih.RecalledModelError, path, "the key .* was recalled by carol: stolen")


def test_both_are_needed_where_both_are_demanded(
    keras: Any, models: Path, publisher: Publisher, fleet: Fleet
) -> None:
    fleet.demand(require="signed+registered")
    path = publisher.save(models / "model.keras")
    fleet.register(path)
    attacks.refused(kih.NotSignedError, path)
    kih.sign(path, key=str(publisher.key))
    assert attacks.value_of(path) == GOOD
    fleet.demand(require="signed+vetted+registered")
    attacks.refused(kih.NotVettedError, path)


def test_files_of_a_set_cut_elsewhere_are_another_model(
    keras: Any, models: Path, publisher: Publisher, fleet: Fleet
) -> None:
    """The root is over the bytes of all files one after the other."""
    path = publisher.save(models / "saved-model")
    body = registration_of(path)
    fleet.add(body._replace(files="00" * 32), "carol")
    attacks.refused(kih.UnregisteredModelError, path)


@pytest.mark.parametrize("form", ["sealed", "unsealed"])
def test_content_that_a_registration_calls_by_a_wrong_digest_rides_on_no_promotion(
    keras: Any,
    models: Path,
    publisher: Publisher,
    fleet: Fleet,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
) -> None:
    """Who promotes says so of one root; the digests beside it are the word of one who registers."""
    good = publisher.save(models / "model.keras")
    evil = publisher.save(models / "evil.keras", attacks.EVIL)
    body = registration_of(good)
    wrong = registration_of(evil).digests["sha512"]
    fleet.add(body._replace(digests={**body.digests, "sha512": wrong}), "carol")
    fleet.promote(body)
    kih.unseal(evil)
    monkeypatch.setenv("KERAS_INTEGRITY_ALGORITHM", "sha512")
    if form == "sealed":
        kih.seal(evil)
    fleet.demand(stages=["production"], allowed_algorithms=["sha512", "sha256"])
    assert attacks.value_of(good) == GOOD
    if form == "unsealed":
        fleet.demand(stages=["production"], allowed_algorithms=["sha512"])
    attacks.refused(kih.UnregisteredModelError, evil, "does not know")


@pytest.mark.parametrize("kind", ["model.keras", "saved-model"])
def test_registered_content_may_be_sealed_by_another_algorithm(
    keras: Any,
    models: Path,
    publisher: Publisher,
    fleet: Fleet,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    path = publisher.save(models / kind)
    fleet.register(path)
    kih.unseal(path)
    monkeypatch.setenv("KERAS_INTEGRITY_ALGORITHM", "sha512")
    kih.seal(path)
    assert attacks.value_of(path) == GOOD


def test_override_lets_through_what_is_unknown_and_nothing_that_was_recalled(
    keras: Any, models: Path, publisher: Publisher, fleet: Fleet
) -> None:
    path = publisher.save(models / "model.keras")
    digest = f"sha256:{registration_of(path).root}"
    with kih.override(root=digest, reason="INC-1"), pytest.warns(kih.OverrideWarning):
        assert attacks.value_of(path) == GOOD
    fleet.recall(fleet.register(path).root)
    kih.unseal(path)
    fleet.demand(unsealed="reject")
    with kih.override(root=digest, reason="INC-1"):
        attacks.refused(kih.RecalledModelError, path, "poisoned")


@pytest.mark.parametrize(
    ("missing", "said"), [("registry", "no registry is named"), ("registry_id", "registry_id is")]
)
def test_registry_that_is_not_named_is_a_mistake(
    keras: Any, models: Path, publisher: Publisher, fleet: Fleet, missing: str, said: str
) -> None:
    path = publisher.save(models / "model.keras")
    kept = [line for line in fleet.policy.read_text().splitlines() if f"{missing} =" not in line]
    fleet.policy.write_text("\n".join(kept))
    attacks.refused(kih.ConfigurationError, path, said)


def test_events_of_another_registry_count_for_nothing(
    keras: Any, tmp_path: Path, models: Path, publisher: Publisher, fleet: Fleet
) -> None:
    """With the same people in it, and their good signatures."""
    path = publisher.save(models / "model.keras")
    other = Fleet(tmp_path / "other")
    other.register(path)
    fleet.demand(url=other.url)
    attacks.refused(kih.MalformedEventError, path, "another registry")


def test_in_mode_warn_it_is_only_told(
    keras: Any, models: Path, publisher: Publisher, fleet: Fleet
) -> None:
    fleet.demand(mode="warn")
    path = publisher.save(models / "model.keras")
    with pytest.warns(kih.IntegrityWarning, match="does not know"):
        assert attacks.value_of(path) == GOOD
