# SPDX-License-Identifier: Apache-2.0
"""What is in MLflow's registry is brought into one of ours, as far as its artifacts bear it out.

A real registry of MLflow in SQLite, and a real one of ours; ``tox -e ecosystem`` has MLflow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.errors import ConfigurationError, EventRefusedError, SigningError
from keras_integrity_hook.mlflow_registry import importing
from keras_integrity_hook.mlflow_registry.importing import Brought
from keras_integrity_hook.registry import verdicts
from keras_integrity_hook.registry.events import Body, Recalled, Withdrawn
from keras_integrity_hook.registry.verdicts import Question, Verdict
from tests.support.mlflow_server import register
from tests.support.models import archive_bytes
from tests.support.registries import Cast
from tests.support.stores import Kept

pytest.importorskip("mlflow", reason="MLflow is not installed")
pytest.importorskip("sqlalchemy", reason="a registry needs it")


class Fleet:
    """A registry in which Alice and Bob sign together, and Carol with them."""

    def __init__(self, url: str, cast: Cast) -> None:
        self.kept = Kept(url, cast)
        self.kept.found()

    def tell(self, body: Body) -> object:
        return self.kept.add(body, "alice", "bob", "carol")

    def ask(self, digests: Sequence[str]) -> Verdict:
        question = Question(self.kept.cast.registry, tuple(digests), needs_freshness=False)
        return verdicts.verify(self.kept.store.answer(digests), question, datetime.now(UTC))

    def stages_of(self, one: Brought) -> tuple[str, ...]:
        (known,) = self.ask((one.root.partition(":")[2],)).registrations
        return known.stages


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    (tmp_path / "cast").mkdir()
    return Fleet(f"sqlite:///{tmp_path}/fleet.db", Cast(tmp_path / "cast"))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow's without anything in it, which takes it seconds to make."""
    import mlflow

    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    with contextlib.chdir(path.parent):  # below which its artifacts will lie
        mlflow.MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}").search_registered_models()
    return path


@pytest.fixture
def uri(empty: Path, tmp_path: Path) -> str:
    (tmp_path / "mlflow.db").write_bytes(empty.read_bytes())
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def client(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    import mlflow

    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri, uri)


def model(tmp_path: Path, name: str, *, sealed: bool = True) -> Path:
    """A model whose content is like no other's."""
    path = tmp_path / f"{name}.keras"
    path.write_bytes(archive_bytes(metadata=f'{{"name": "{name}"}}'.encode()))
    if sealed:
        kih.seal(path)
    return path


def bring(uri: str, fleet: Fleet, *only: str) -> list[Brought]:
    return list(importing.bring(uri, only, fleet))


def test_versions_are_registered_and_their_aliases_and_stages_are_promotions(
    client: Any, uri: str, fleet: Fleet, tmp_path: Path
) -> None:
    first = register(client, "churn", model(tmp_path, "first"))
    second = register(client, "churn", model(tmp_path, "second"))
    client.set_registered_model_alias("churn", "production", second)
    client.transition_model_version_stage("churn", first, "Staging")
    one, two = bring(uri, fleet)
    assert (one.version.number, one.state, one.promoted) == ("1", "registered", ("staging",))
    assert (two.version.number, two.state, two.promoted) == ("2", "registered", ("production",))
    assert (fleet.stages_of(one), fleet.stages_of(two)) == (("staging",), ("production",))
    report = kih.inspect(tmp_path / "second.keras")
    assert report.seal is not None
    assert two.root == f"sha256:{report.seal.root}"


def test_an_import_that_is_run_again_adds_nothing(
    client: Any, uri: str, fleet: Fleet, tmp_path: Path
) -> None:
    version = register(client, "churn", model(tmp_path, "first"))
    client.set_registered_model_alias("churn", "production", version)
    bring(uri, fleet)
    size = fleet.kept.store.size()
    (again,) = bring(uri, fleet)
    assert (again.state, again.promoted, again.error) == ("known", (), None)
    assert fleet.kept.store.size() == size


def test_a_version_that_was_withdrawn_here_comes_back_only_when_that_is_asked_for(
    client: Any, uri: str, fleet: Fleet, tmp_path: Path
) -> None:
    version = register(client, "churn", model(tmp_path, "first"))
    client.set_registered_model_alias("churn", "production", version)
    (one,) = bring(uri, fleet)
    fleet.tell(Withdrawn("churn", "1", one.root.partition(":")[2], "production", "bad"))
    (again,) = bring(uri, fleet)
    assert (again.state, again.promoted, fleet.stages_of(one)) == ("known", (), ())
    (again,) = importing.bring(uri, (), fleet, restage=True)
    assert (again.promoted, fleet.stages_of(one)) == (("production",), ("production",))


def test_what_was_recalled_here_is_promoted_nowhere(
    client: Any, uri: str, fleet: Fleet, tmp_path: Path
) -> None:
    version = register(client, "churn", model(tmp_path, "first"))
    (one,) = bring(uri, fleet)
    client.set_registered_model_alias("churn", "production", version)
    fleet.tell(Recalled("root", one.root.partition(":")[2], "backdoor"))
    (again,) = importing.bring(uri, (), fleet, restage=True)
    assert again.promoted == ()
    assert isinstance(again.error, EventRefusedError)


def test_a_model_without_a_seal_is_registered_by_its_content(
    client: Any, uri: str, fleet: Fleet, tmp_path: Path
) -> None:
    path = model(tmp_path, "plain", sealed=False)
    register(client, "plain", path)
    (one,) = bring(uri, fleet)
    assert one.state == "registered"
    kih.seal(path)
    report = kih.inspect(path)
    assert report.seal is not None
    assert one.root == f"sha256:{report.seal.root}"


def test_what_does_not_match_its_seal_is_not_registered(
    client: Any, uri: str, fleet: Fleet, tmp_path: Path
) -> None:
    path = model(tmp_path, "damaged")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    register(client, "damaged", path)
    good = register(client, "good", model(tmp_path, "good"))
    bad, fine = bring(uri, fleet)
    assert (bad.state, fine.state) == ("not registered", "registered")
    assert good == "1"
    assert bad.error is not None
    assert "does not match its seal" in bad.error.cause


def test_what_its_seal_calls_otherwise_is_not_registered_and_the_rest_is(
    client: Any, uri: str, fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = model(tmp_path, "named", sealed=False)
    monkeypatch.setenv("KERAS_INTEGRITY_MODEL", "fraud")
    kih.seal(path)
    monkeypatch.delenv("KERAS_INTEGRITY_MODEL")
    register(client, "churn", path)
    register(client, "churn", model(tmp_path, "unnamed"))
    one, two = bring(uri, fleet)
    assert (one.state, two.state) == ("not registered", "registered")
    assert one.error is not None
    assert "the seal says name 'fraud', and not 'churn'" in one.error.cause


def test_without_a_key_that_is_to_be_had_nothing_goes_on(
    client: Any, uri: str, fleet: Fleet, tmp_path: Path
) -> None:
    register(client, "churn", model(tmp_path, "first"))
    Path(fleet.kept.cast.path("alice")).unlink()
    with pytest.raises(SigningError):
        bring(uri, fleet)


def test_what_has_no_keras_model_or_several_is_told_and_passed_over(
    client: Any, uri: str, fleet: Fleet, tmp_path: Path
) -> None:
    note = tmp_path / "note.txt"
    note.write_text("nothing")
    register(client, "nothing", note)
    several = tmp_path / "several"
    several.mkdir()
    model(several, "a")
    model(several, "b")
    register(client, "several", several)
    none, two = bring(uri, fleet)
    assert none.error is not None
    assert two.error is not None
    assert none.error.cause == "no Keras model is among the artifacts"
    assert two.error.cause == "2 Keras models are among the artifacts"
    assert fleet.kept.store.size() == 1


def test_a_stage_that_the_registry_does_not_have_is_told(
    client: Any, uri: str, fleet: Fleet, tmp_path: Path
) -> None:
    version = register(client, "churn", model(tmp_path, "first"))
    client.set_registered_model_alias("churn", "champion", version)
    client.set_registered_model_alias("churn", "staging", version)
    (one,) = bring(uri, fleet)
    assert (one.state, one.promoted) == ("registered", ("staging",))
    assert isinstance(one.error, EventRefusedError)
    assert "champion" in one.error.cause


def test_a_version_that_has_another_content_here_is_not_registered(
    client: Any, uri: str, fleet: Fleet, tmp_path: Path
) -> None:
    version = register(client, "churn", model(tmp_path, "first"))
    bring(uri, fleet)
    uri_of = client.get_model_version_download_uri("churn", version)
    (path,) = Path(uri_of.removeprefix("file://")).rglob("*.keras")
    path.write_bytes(model(tmp_path, "other").read_bytes())
    (one,) = bring(uri, fleet)
    assert one.state == "not registered"
    assert isinstance(one.error, EventRefusedError)
    assert one.error.rule == "version-taken"


@pytest.mark.parametrize("name", ["a<script>", "x' OR 1=1 --", "../../etc", "tab\there"])
def test_a_hostile_name_is_told_and_stores_nothing(
    client: Any, uri: str, fleet: Fleet, tmp_path: Path, name: str
) -> None:
    from mlflow.exceptions import MlflowException

    path = model(tmp_path, "first")
    try:
        client.create_registered_model(name)
        client.create_model_version(name, f"file://{path.parent}", None)
    except MlflowException:
        pytest.skip("MLflow has no such name either")
    (one,) = bring(uri, fleet)
    assert one.state == "not registered"
    assert fleet.kept.store.size() == 1


def test_only_what_is_named_is_brought(client: Any, uri: str, fleet: Fleet, tmp_path: Path) -> None:
    register(client, "churn", model(tmp_path, "first"))
    register(client, "fraud", model(tmp_path, "second"))
    (one,) = bring(uri, fleet, "fraud")
    assert one.version.model == "fraud"
    with pytest.raises(ConfigurationError, match="no registered model 'frau'"):
        bring(uri, fleet, "frau")


def test_prompts_are_left_alone(client: Any, uri: str, fleet: Fleet) -> None:
    client.register_prompt(name="greeting", template="Good day, {{name}}")
    assert bring(uri, fleet) == []


@pytest.mark.parametrize("wrong", ["nothing://x", "http://127.0.0.1:1"])
def test_a_registry_that_mlflow_cannot_read_is_told(
    fleet: Fleet, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        bring(wrong, fleet)
