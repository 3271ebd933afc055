# SPDX-License-Identifier: Apache-2.0
"""A guarded registry of MLflow says what is in a version, and lets no alias lead to what fails.

Real registries of MLflow in SQLite and behind a real server; ``tox -e ecosystem`` has MLflow.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from tests.support.mlflow_server import register, served
from tests.support.models import write_model
from tests.support.signers import let_trust, make_key

pytest.importorskip("mlflow", reason="MLflow is not installed")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry that the tests of this module share, each with models of its own names."""
    return f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db"


@pytest.fixture
def client(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    import mlflow

    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(database)
    mlflow.set_registry_uri(f"keras-integrity+{database}")
    return mlflow.MlflowClient(database, f"keras-integrity+{database}")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A sealed model."""
    (tmp_path / "made").mkdir()
    path = write_model(tmp_path / "made", "model.keras")
    kih.seal(path)
    return path


def tags_of(client: Any, name: str, version: str) -> dict[str, str]:
    """Our tags of a version, without what their names begin with."""
    tags = client.get_model_version(name, version).tags
    ours = {key: text for key, text in tags.items() if key.startswith("keras_integrity.")}
    return {key.partition(".")[2]: text for key, text in ours.items()}


def damage(client: Any, name: str, version: str) -> None:
    """Flip a bit of the artifact itself."""
    uri = client.get_model_version_download_uri(name, version)
    (path,) = Path(uri.removeprefix("file://")).rglob("*.keras")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def refuse_alias(client: Any, name: str, version: str) -> str:
    """Why the alias ``production`` is not set on ``version``; it leads where it led before."""
    from mlflow.exceptions import MlflowException

    before = client.get_registered_model(name).aliases
    with pytest.raises(MlflowException) as refused:
        client.set_registered_model_alias(name, "production", version)
    assert refused.value.error_code == "PERMISSION_DENIED"
    assert client.get_registered_model(name).aliases == before
    return str(refused.value)


def test_a_version_says_root_and_assurance(client: Any, model: Path) -> None:
    version = register(client, "sealed", model)
    report = kih.inspect(model)
    assert report.seal is not None
    assert tags_of(client, "sealed", version) == {
        "state": "sealed",
        "assurance": "integrity only",
        "root": f"sha256:{report.seal.root}",
    }
    client.set_registered_model_alias("sealed", "production", version)
    assert client.get_model_version_by_alias("sealed", "production").version == int(version)


def test_a_version_says_who_has_signed(
    client: Any, model: Path, tmp_path: Path, home: Path
) -> None:
    let_trust("release", make_key(tmp_path / "release.pem"))
    kih.sign(model, key=str(tmp_path / "release.pem"))
    tags = tags_of(client, "signed", register(client, "signed", model))
    assert (tags["assurance"], tags["signers"]) == ("signed", "release")


def test_an_alias_is_not_set_on_a_damaged_version(client: Any, model: Path) -> None:
    good, bad = register(client, "damaged", model), register(client, "damaged", model)
    client.set_registered_model_alias("damaged", "production", good)
    damage(client, "damaged", bad)
    why = refuse_alias(client, "damaged", bad)
    assert "model.keras: the content does not match its seal" in why
    assert f"models:/damaged/{bad}" in why
    tags = tags_of(client, "damaged", bad)
    assert tags["state"] == "refused"
    assert tags["refused"].startswith("model.keras: the content does not match its seal")
    assert "root" not in tags


def test_a_version_that_was_damaged_before_is_registered_and_says_so(
    client: Any, model: Path
) -> None:
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    version = register(client, "registered damaged", model)
    assert tags_of(client, "registered damaged", version)["state"] == "refused"
    refuse_alias(client, "registered damaged", version)


@pytest.mark.parametrize("policy", ["sealed", "signed"])
def test_an_alias_is_not_set_on_what_the_policy_does_not_admit(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    model = write_model(tmp_path, "model.keras")
    if policy == "signed":
        kih.seal(model)
    name = f"not {policy}"
    version = register(client, name, model)
    client.set_registered_model_alias(name, "staging", version)  # no policy, no demand
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", policy)
    assert "required" in refuse_alias(client, name, version)


def test_a_stage_from_which_people_load_is_refused_as_an_alias_is(client: Any, model: Path) -> None:
    from mlflow.exceptions import MlflowException

    version = register(client, "staged", model)
    damage(client, "staged", version)
    with pytest.warns(FutureWarning), pytest.raises(MlflowException, match="is not set"):
        client.transition_model_version_stage("staged", version, "production")
    with pytest.warns(FutureWarning):
        client.transition_model_version_stage("staged", version, "Archived")


def test_tags_say_what_was_found_and_not_what_is_wished(client: Any, model: Path) -> None:
    from mlflow.exceptions import MlflowException

    claimed = {"keras_integrity.signers": "release", "team": "fraud"}
    version = register(client, "claimed", model, tags=claimed)
    assert "signers" not in tags_of(client, "claimed", version)
    assert client.get_model_version("claimed", version).tags["team"] == "fraud"
    with pytest.raises(MlflowException, match="set by the registry"):
        client.set_model_version_tag("claimed", version, "keras_integrity.root", "x")
    with pytest.raises(MlflowException, match="set by the registry"):
        client.delete_model_version_tag("claimed", version, "keras_integrity.root")
    client.set_model_version_tag("claimed", version, "team", "credit")


def test_a_copy_of_a_version_is_looked_at_by_itself(client: Any, model: Path) -> None:
    version = register(client, "origin", model)
    damage(client, "origin", version)
    copied = client.copy_model_version(f"models:/origin/{version}", "copy")
    assert tags_of(client, "copy", copied.version)["state"] == "refused"
    refuse_alias(client, "copy", copied.version)


def test_every_model_of_a_version_counts(client: Any, model: Path) -> None:
    other = write_model(model.parent, "other.weights.h5")
    kih.seal(other)
    tags = tags_of(client, "two", register(client, "two", model.parent))
    assert tags["state"] == "sealed"
    assert tags["root"].count("sha256:") == 2
    assert "other.weights.h5 sha256:" in tags["root"]
    data = bytearray(other.read_bytes())
    data[-1] ^= 1
    other.write_bytes(data)
    assert "other.weights.h5" in refuse_alias(client, "two", register(client, "two", model.parent))


def test_what_is_no_keras_model_passes_unless_a_seal_is_required(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.pkl").write_bytes(b"a pickle")
    version = register(client, "pickled", tmp_path / "model.pkl")
    assert tags_of(client, "pickled", version) == {"state": "no Keras model"}
    client.set_registered_model_alias("pickled", "staging", version)
    policy = tmp_path / "policy.toml"
    policy.write_text('require = "sealed"\n')
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(policy))
    assert "no Keras model is among the artifacts" in refuse_alias(client, "pickled", version)
    rule = '[[rules]]\npath = "**/mlflow/pickled/**"\nrequire = "nothing"\n'
    policy.write_text(f'require = "sealed"\n{rule}')
    client.set_registered_model_alias("pickled", "production", version)


def test_a_rule_for_a_registered_model_holds_for_all_its_versions(
    client: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[[rules]]\npath = "**/mlflow/ruled/**"\nrequire = "signed"\n')
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(policy))
    refuse_alias(client, "ruled", register(client, "ruled", model))
    free = register(client, "free", model)
    client.set_registered_model_alias("free", "production", free)


def test_a_rule_spells_the_name_as_people_do(
    client: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[[rules]]\npath = "**/mlflow/größe+ (eu)/**"\nrequire = "signed"\n')
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(policy))
    version = register(client, "größe+ (eu)", model)
    refuse_alias(client, "größe+ (eu)", version)


def test_a_name_that_is_too_long_for_a_file_is_a_refusal(client: Any, model: Path) -> None:
    name = "ö" * 200
    version = register(client, name, model)
    assert "cannot be read" in refuse_alias(client, name, version)


def test_an_alias_is_not_carried_to_a_name_with_a_stricter_rule(
    client: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException

    policy = tmp_path / "policy.toml"
    policy.write_text('[[rules]]\npath = "**/mlflow/strict/**"\nrequire = "signed"\n')
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(policy))
    version = register(client, "lax", model)
    client.set_registered_model_alias("lax", "production", version)
    with pytest.raises(MlflowException) as refused:
        client.rename_registered_model("lax", "strict")
    assert refused.value.error_code == "PERMISSION_DENIED"
    assert tags_of(client, "lax", version)["state"] == "sealed"
    client.rename_registered_model("lax", "lax too")
    assert client.get_registered_model("lax too").aliases == {"production": int(version)}


def test_a_version_that_is_made_anew_during_the_check_is_refused(
    client: Any, database: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    import mlflow

    with (model.parent / "large").open("wb") as file:
        file.truncate(512 << 20)  # to be copied
    client.create_registered_model("swapped")
    version = client.create_model_version("swapped", str(model.parent)).version
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "model.keras").write_bytes(model.read_bytes()[:-1])
    copies = (
        tmp_path / "copies"
    )  # of this test alone: what is made there is the copy that is checked
    copies.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(copies))

    def swap() -> None:
        while not os.listdir(copies):
            pass
        other = mlflow.MlflowClient(database, database)
        other.delete_registered_model("swapped")
        other.create_registered_model("swapped")
        other.create_model_version("swapped", str(bad))

    thread = threading.Thread(target=swap)
    thread.start()
    with pytest.raises(mlflow.exceptions.MlflowException, match="made anew"):
        client.set_registered_model_alias("swapped", "production", version)
    thread.join()
    assert client.get_registered_model("swapped").aliases == {}


def test_artifacts_that_are_gone_are_a_refusal(client: Any, model: Path) -> None:
    version = register(client, "gone", model)
    uri = client.get_model_version_download_uri("gone", version).removeprefix("file://")
    (Path(uri) / "model.keras").unlink()
    Path(uri).rmdir()
    assert "cannot be read" in refuse_alias(client, "gone", version)


def test_a_link_among_the_artifacts_is_not_followed(client: Any, model: Path) -> None:
    version = register(client, "linked", model)
    uri = client.get_model_version_download_uri("linked", version).removeprefix("file://")
    (Path(uri) / "more").symlink_to(model.parent)
    assert "more: a link to a directory is not looked into" in refuse_alias(
        client, "linked", version
    )


def test_the_mode_of_the_process_is_honoured(
    client: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = register(client, "modes", model)
    damage(client, "modes", version)
    monkeypatch.setenv("KERAS_INTEGRITY", "warn")
    with pytest.warns(kih.IntegrityWarning, match="models:/modes/1: model.keras: the content"):
        client.set_registered_model_alias("modes", "warned", version)
    monkeypatch.setenv("KERAS_INTEGRITY", "off")
    client.set_registered_model_alias("modes", "off", version)
    assert tags_of(client, "modes", register(client, "modes", model)) == {}


def test_a_refused_alias_is_in_the_audit_log(
    client: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = register(client, "audited", model)
    damage(client, "audited", version)
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(tmp_path / "audit.jsonl"))
    refuse_alias(client, "audited", version)
    (event,) = map(json.loads, (tmp_path / "audit.jsonl").read_text().splitlines())
    assert (event["event"], event["outcome"]) == ("refusal", "refused")
    assert event["path"] == f"models:/audited/{version}/model.keras"


def test_prompts_are_left_alone(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    client.register_prompt(name="greeting", template="Good day, {{name}}")
    client.set_prompt_alias("greeting", "production", 1)
    assert client.get_prompt_version_by_alias("greeting", "production").version == 1


def test_the_registry_without_our_prefix_stays_as_it_is(
    client: Any, database: str, model: Path
) -> None:
    import mlflow

    plain = mlflow.MlflowClient(database, database)
    version = register(plain, "plain", model)
    assert tags_of(plain, "plain", version) == {}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose registry is guarded and which hands out the artifacts."""
    with served(tmp_path_factory.mktemp("server")) as there:
        yield there


def test_a_server_holds_for_clients_that_know_nothing_of_it(
    address: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    client = mlflow.MlflowClient(address, address)
    good = register(client, "served", model)
    assert tags_of(client, "served", good)["state"] == "sealed"
    client.set_registered_model_alias("served", "production", good)
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    bad = register(client, "served", model)
    assert tags_of(client, "served", bad)["state"] == "refused"
    assert "the content does not match its seal" in refuse_alias(client, "served", bad)


def test_a_client_guards_a_registry_whose_server_does_not_know_us(
    address: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one whose server does, which keeps the tags itself."""
    import mlflow

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "sealed")
    mlflow.set_tracking_uri(address)
    client = mlflow.MlflowClient(address, f"keras-integrity+{address}")
    version = register(client, "from here", model)
    assert tags_of(client, "from here", version)["state"] == "sealed"
    client.set_registered_model_alias("from here", "production", version)
