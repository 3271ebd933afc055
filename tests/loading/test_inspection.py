# SPDX-License-Identifier: Apache-2.0
"""Step 5b of a load: what an inspection finds stops it, in every format, before anything runs."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.inspection import inspecting

pytestmark = [pytest.mark.usefixtures("keras"), pytest.mark.filterwarnings("ignore")]

FORMATS = ("model.keras", "model", "model.h5")
MARK = "mark"
"""The directory that a payload makes; below the working directory, which is the test's own."""

SYSTEM = {"module": "os", "class_name": "function", "config": "mkdir", "registered_name": "mkdir"}
Config = dict[str, Any]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def save(path: Path, *layers: Any) -> Path:
    import keras

    model = keras.Sequential([keras.Input((4,)), *(layers or (keras.layers.Dense(3),))])
    if path.suffix:
        model.save(path)
    else:
        model.save(path, zipped=False)
    return path


def edit(path: Path, change: Callable[[Config], None]) -> Path:
    """Write ``path``, without a seal, with its configuration changed."""
    with open_model(path) as model:
        is_sealed = model.seal is not None
    if is_sealed:
        kih.unseal(path)
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = changed(file.attrs["model_config"], change)
    elif path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        members["config.json"] = changed(members["config.json"], change).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    else:
        config = path / "config.json"
        config.write_text(changed(config.read_text(), change))
    return path


def changed(text: str | bytes, change: Callable[[Config], None]) -> str:
    config = json.loads(text)
    change(config)
    return json.dumps(config).replace(ONCE, TWICE).ljust(5000)  # of one length, whatever it says


ONCE, TWICE = '"twice": 1', '"twice": 1, "twice": 2'


def attack(config: Config) -> None:
    config["config"]["layers"][-1]["config"]["activation"] = SYSTEM


def load(path: Path, **keywords: Any) -> Any:
    import keras

    return keras.models.load_model(path, **keywords)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "unsealed"])
def test_attack_is_refused_before_the_model_is_built(
    tmp_path: Path, name: str, *, sealed: bool
) -> None:
    path = edit(save(tmp_path / name), attack)
    if sealed:
        kih.seal(path)
    with pytest.raises(kih.DangerousModelError, match="os>mkdir") as caught:
        load(path)
    (finding,) = caught.value.findings
    assert finding["rule"] == "foreign-object"
    assert "activation" in str(finding["place"])
    assert caught.value.path == str(path)


def test_refusal_is_recorded_once_with_its_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "audit.jsonl"
    path = edit(save(tmp_path / "model.keras"), attack)
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(log))
    with pytest.raises(kih.DangerousModelError):
        load(path)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [one["event"] for one in events] == ["refusal"]
    assert "foreign-object" in json.dumps(events[0])


@pytest.mark.parametrize("name", FORMATS)
def test_code_runs_by_the_word_of_the_caller_alone(tmp_path: Path, name: str) -> None:
    import keras

    path = save(tmp_path / name, keras.layers.Lambda(lambda x: x))
    with pytest.raises(kih.DangerousModelError, match="safe_mode=False"):
        load(path)
    load(path, safe_mode=False)


def test_code_runs_by_the_word_of_the_program(tmp_path: Path) -> None:
    import keras
    from keras.src.backend.common import global_state

    path = save(tmp_path / "model.keras", keras.layers.Lambda(lambda x: x))
    keras.config.enable_unsafe_deserialization()
    try:
        load(path, safe_mode=None)
    finally:
        global_state.set_global_attribute("safe_mode_saving", None)


def test_strict_takes_no_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    path = save(tmp_path / "model.keras", keras.layers.Lambda(lambda x: x))
    monkeypatch.setenv("KERAS_INTEGRITY_INSPECTION", "strict")
    with pytest.raises(kih.DangerousModelError) as caught:
        load(path, safe_mode=False)
    assert "safe_mode" not in caught.value.remedy()


def test_weights_of_a_model_with_code_are_loaded(tmp_path: Path) -> None:
    """Nothing of its configuration is deserialized."""
    import keras

    layers = [keras.layers.Dense(3), keras.layers.Lambda(lambda x: x)]
    for name in ("model.keras", "model.h5"):
        path = save(tmp_path / name, *layers)
        keras.Sequential([keras.Input((4,)), *layers]).load_weights(path)


def test_custom_objects_are_reported_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    @keras.saving.register_keras_serializable("inspected")
    class Scale(keras.layers.Layer):
        pass

    path = save(tmp_path / "model.keras", Scale())
    load(path)
    monkeypatch.setenv("KERAS_INTEGRITY_INSPECTION", "strict")
    with pytest.raises(kih.DangerousModelError, match="inspected>Scale"):
        load(path)
    monkeypatch.setenv("KERAS_INTEGRITY_ALLOWED_OBJECTS", "other>*,inspected>*")
    load(path)
    monkeypatch.setenv("KERAS_INTEGRITY_INSPECTION", "refuse")
    monkeypatch.setenv("KERAS_INTEGRITY_ALLOWED_OBJECTS", "")
    monkeypatch.delenv("KERAS_INTEGRITY_ALLOWED_OBJECTS")
    monkeypatch.setenv("KERAS_INTEGRITY_INSPECTION_RULES", "custom-object=refuse")
    with pytest.raises(kih.DangerousModelError):
        load(path)


def test_no_name_allows_what_only_an_attack_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = edit(save(tmp_path / "model.keras"), attack)
    monkeypatch.setenv("KERAS_INTEGRITY_ALLOWED_OBJECTS", "*")
    with pytest.raises(kih.DangerousModelError):
        load(path)


def test_rule_for_a_path_decides(tmp_path: Path, home: Path) -> None:
    import keras

    @keras.saving.register_keras_serializable("ruled")
    class Scale(keras.layers.Layer):
        pass

    folder = tmp_path / "strict"
    folder.mkdir()
    path = save(folder / "model.keras", Scale())
    load(path)
    home.mkdir(parents=True)
    policy = f'[[rules]]\npath = "{folder}/**"\ninspection = "strict"\n'
    (home / "policy.toml").write_text(policy)
    with pytest.raises(kih.DangerousModelError, match="ruled>Scale"):
        load(path)


def test_mode_warn_reports_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = edit(save(tmp_path / "model.keras"), lambda config: config.update(twice=1))
    with pytest.raises(kih.DangerousModelError):
        load(path)
    monkeypatch.setenv("KERAS_INTEGRITY", "warn")
    with pytest.warns(UserWarning, match="duplicate-key"):
        assert load(path).count_params() == 15


def test_inspection_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = edit(save(tmp_path / "model.keras"), attack)
    monkeypatch.setenv("KERAS_INTEGRITY_INSPECTION", "off")
    with pytest.raises((TypeError, ValueError)) as caught:  # by the Keras of today
        load(path)
    assert not isinstance(caught.value, kih.IntegrityError)


def test_person_can_let_one_content_through(tmp_path: Path) -> None:
    path = edit(save(tmp_path / "model.keras"), lambda config: config.update(twice=1))
    kih.seal(path)
    with pytest.raises(kih.DangerousModelError):
        load(path)
    seal = kih.inspect(path).seal
    assert seal is not None
    digest = f"{seal.algorithm}:{seal.root}"
    with pytest.warns(kih.OverrideWarning), kih.override(root=digest, reason="read it twice"):
        assert load(path).count_params() == 15


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_inspected_of_an_unsealed_model_is_what_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Somebody puts another model in its place between the inspection and the load."""
    path = edit(save(tmp_path / name), lambda config: None)
    evil = edit(copied(path, tmp_path / "evil" / name), attack)
    inspect = inspecting.inspect

    def inspect_and_exchange(*arguments: Any) -> Any:
        found = inspect(*arguments)
        exchange(path, evil)
        return found

    monkeypatch.setattr(inspecting, "inspect", inspect_and_exchange)
    assert load(path).count_params() == 15
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kih.DangerousModelError):
        load(path)


def copied(path: Path, target: Path) -> Path:
    target.parent.mkdir()
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copy(path, target)
    return target


def exchange(path: Path, evil: Path) -> None:
    """Write over the files of ``path`` in place, as somebody who has them open could."""
    for one in [path] if path.is_file() else [each for each in path.iterdir() if each.is_file()]:
        source = evil if path.is_file() else evil / one.name
        with open(
            one, "r+b", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)
        ) as out:
            out.write(source.read_bytes())


def test_saved_model_with_code_of_tf_keras(tmp_path: Path) -> None:
    tf_keras = pytest.importorskip("tf_keras")
    path = str(tmp_path / "saved")
    layers = tf_keras.layers
    tf_keras.Sequential([layers.Input((4,)), layers.Lambda(lambda x: x + 1)]).save(path)
    with pytest.raises(kih.DangerousModelError, match="lambda-code"):
        tf_keras.models.load_model(path)
    tf_keras.models.load_model(path, safe_mode=False)


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_archives_and_hdf5_with_code_of_tf_keras(tmp_path: Path, name: str) -> None:
    tf_keras = pytest.importorskip("tf_keras")
    path = str(tmp_path / name)
    layers = tf_keras.layers
    tf_keras.Sequential([layers.Input((4,)), layers.Lambda(lambda x: x + 1)]).save(path)
    with pytest.raises(kih.DangerousModelError, match="lambda-code"):
        tf_keras.models.load_model(path)
    tf_keras.models.load_model(path, safe_mode=False)
