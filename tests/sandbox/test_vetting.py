# SPDX-License-Identifier: Apache-2.0
"""``vet``: what is told of a model that was tried in a sandbox, and what is signed of that."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import keras_integrity_hook as kih
from keras_integrity_hook.cli import main
from keras_integrity_hook.containers.formats import OF_WEIGHTS
from keras_integrity_hook.containers.kinds import KINDS
from keras_integrity_hook.detached import vetted
from keras_integrity_hook.isolation import availability, model_bytes
from keras_integrity_hook.sandbox import vetting
from keras_integrity_hook.signing import trust_edit, trust_store
from tests.support import attacks
from tests.support.attacks import GOOD
from tests.support.models import SETS, SINGLE
from tests.support.sandboxes import needs_sandbox, with_code
from tests.support.signers import make_key, trusted


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def document(*arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json").stdout)
    return found


@pytest.fixture
def lab(tmp_path: Path, home: Path) -> Path:
    """The private key of a vetter whom the user trusts."""
    public = make_key(tmp_path / "lab.key")
    entry = trusted("lab", public)
    trust_edit.add_key(trust_store.user_file(), entry, vetter=True)
    return tmp_path / "lab.key"


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text('require = "vetted"\n')
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(path))
    return path


def saved(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    attacks.build(GOOD).save(path)
    return path


@needs_sandbox
def test_model_that_passes_is_signed_and_then_loaded(
    keras: Any, models: Path, lab: Path, policy: Path
) -> None:
    """The policy that asks for the vetter's word does not keep the vetter from trying the model."""
    path = saved(models / "model.keras")
    attacks.refused(kih.NotVettedError, path)
    done = run("vet", path, "--sign", lab)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("passed ")
    assert "inspected, loaded, asked with zeros, asked with random values" in done.stdout
    assert attacks.value_of(path) == GOOD


@needs_sandbox
def test_what_a_model_tries_is_told_and_the_verdict_on_it_refuses_it_everywhere(
    keras: Any, models: Path, lab: Path, policy: Path
) -> None:
    marker = models / "marker"
    path = with_code(f"open({str(marker)!r}, 'w')", models / "evil.keras")
    marker.unlink(missing_ok=True)  # to save a Lambda may call it
    found = document("vet", path, "--sign", lab)
    assert not found["ok"]
    assert found["vetting"]["outcome"] == "refused"
    told = [(one["call"], one["target"], one["source"]) for one in found["vetting"]["attempts"]]
    assert ("openat", str(marker), "kernel") in told
    assert not marker.exists()
    assert found["signed"]["path"] == vetted.place(str(path))
    with pytest.raises(kih.NotVettedError, match="'lab' says that it failed"):
        keras.models.load_model(path, safe_mode=False)


@needs_sandbox
def test_code_that_does_no_harm_is_for_a_person_to_look_at_and_not_signed(
    keras: Any, models: Path, lab: Path
) -> None:
    path = with_code("", models / "lambda.keras")
    done = run("vet", path, "--sign", lab)
    assert done.exit_code == 1
    assert done.stdout.startswith("review ")
    assert "lambda-code" in done.stdout
    assert "asked with random values" in done.stdout
    assert "nothing was signed" in done.stdout
    assert not Path(vetted.place(str(path))).exists()


@needs_sandbox
def test_model_that_takes_too_long_is_refused(keras: Any, models: Path) -> None:
    path = with_code("import time\nwhile True: time.sleep(9)", models / "slow.keras")
    found = document("vet", path, "--seconds", 3)["vetting"]
    assert found["outcome"] == "refused"
    assert any("more than 3 seconds" in reason for reason in found["reasons"])


@needs_sandbox
def test_large_files_of_a_directory_that_change_meanwhile_are_vetted_as_they_were_copied(
    keras: Any, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is inspected, what is tried and what the digest is of are the same bytes, whatever is
    written to the file after it was opened."""
    fine, evil = models / "fine", models / "evil"
    models.mkdir()
    saving = pytest.importorskip("keras.src.saving.saving_lib")
    for path in (fine, evil):
        saving.save_model(attacks.build(GOOD), path, zipped=False)
    with_code("pass", models / "evil.keras")
    with zipfile.ZipFile(models / "evil.keras") as archive:
        archive.extract("config.json", evil)
    texts = {}
    for path in (fine, evil):
        # Large enough to be read from its descriptor, and of one length.
        texts[path] = (path / "config.json").read_bytes().ljust(300_000)
        (path / "config.json").write_bytes(texts[path])
        (path / "keras_integrity.seal").unlink(missing_ok=True)
    honest = vetting.vet(str(fine))
    assert honest.passed
    copied = model_bytes.copied

    def swapped(model: Any) -> Any:
        files = copied(model)
        Path(model.path, "config.json").write_bytes(texts[other])
        return files

    monkeypatch.setattr(model_bytes, "copied", swapped)
    other = evil
    assert vetting.vet(str(fine)).digest == honest.digest
    other = fine
    assert not vetting.vet(str(evil)).passed


@needs_sandbox
def test_weights_alone_are_inspected_and_have_nothing_to_run(keras: Any, models: Path) -> None:
    models.mkdir()
    attacks.build(GOOD).save_weights(models / "model.weights.h5")
    found = document("vet", models / "model.weights.h5")["vetting"]
    assert found["outcome"] == "passed"
    assert "weights alone run no code" in found["steps"][-1]


def test_nothing_is_vetted_where_no_process_can_be_confined(
    keras: Any, models: Path, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(models / "model.keras")
    monkeypatch.setattr(availability, "reasons", lambda: ["this kernel has no Landlock"])
    found = document("vet", path, "--sign", lab)
    assert found["error"]["code"] == "sandbox-unavailable"
    assert not Path(vetted.place(str(path))).exists()


@pytest.mark.parametrize("wrong", ["damaged", "missing", "no model"])
def test_what_is_no_sound_model_gets_no_verdict(keras: Any, models: Path, wrong: str) -> None:
    path = saved(models / "model.keras")
    if wrong == "damaged":
        attacks.edit(path)
    elif wrong == "missing":
        path.unlink()
    else:
        path.write_bytes(b"something else")
    found = document("vet", path)
    assert not found["ok"]
    assert "vetting" not in found


@pytest.mark.parametrize("container", sorted(OF_WEIGHTS))
def test_every_kind_of_weights_is_looked_into_and_not_loaded(
    container: str, tmp_path: Path
) -> None:
    found = vetting.vet(str((SINGLE | SETS)[container].write(tmp_path)))
    assert found.steps == ("inspected", "not loaded: weights alone run no code")


@pytest.mark.parametrize(
    "container", [kind.container for kind in KINDS.values() if not kind.loader]
)
def test_what_no_package_loads_by_itself_is_for_a_person_to_look_at(
    container: str, tmp_path: Path
) -> None:
    found = vetting.vet(str(SETS[container].write(tmp_path)))
    assert found.outcome is vetting.Outcome.REVIEW
    assert found.steps == ("inspected", "not loaded")
    assert found.reasons == ("no package loads such a model by itself, as a sandbox would",)
