# SPDX-License-Identifier: Apache-2.0
"""A contract is put into the seal of every kind of model, is signed with it, and stays there."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook import InputContract, InputRules, api, contract
from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import canonical
from tests.support.models import CONTAINERS, write_model
from tests.support.signers import let_trust, make_key

FLOWER = InputContract(InputRules("flower", (None, 4), "float", minimum=-0.5, maximum=1))
OTHER = InputContract(InputRules("flower", (None, 4), "float", maximum=9))


def inputs_of(path: Path | str) -> Any:
    report = kih.inspect(path)
    return None if report.seal is None else report.seal.inputs


def predicate_of(path: Path) -> dict[str, Any]:
    with open_model(path) as model:
        assert model.seal is not None
        predicate = canonical.decode(model.seal.envelope.payload)["predicate"]
        assert isinstance(predicate, dict)
        return predicate


@pytest.fixture
def model(keras: Any) -> Any:
    return keras.Sequential([keras.Input((4,), name="flower"), keras.layers.Dense(2)])


@pytest.fixture(params=CONTAINERS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made = write_model(tmp_path, request.param)
    kih.seal(made)
    return made


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    made = write_model(tmp_path, "m.keras")
    kih.seal(made)
    return made


def run(*words: str | Path, status: int = 0, **keywords: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "keras_integrity_hook.cli", "contract", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        **keywords,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


# Saves


def test_saves_in_the_block_state_the_contract_in_every_format(
    keras: Any, model: Any, tmp_path: Path
) -> None:
    with contract(FLOWER):
        model.save(tmp_path / "m.keras")
        model.save(tmp_path / "m.h5")
        model.save_weights(tmp_path / "m.weights.h5")
        keras.saving.save_model(model, tmp_path / "directory", zipped=False)
        if keras.backend.backend() == "tensorflow":
            model.export(tmp_path / "exported", verbose=False)
    model.save(tmp_path / "plain.keras")
    made = sorted(path for path in tmp_path.iterdir() if path.name not in ("config", "plain.keras"))
    assert len(made) >= 4
    for path in made:
        kih.verify(path)
        assert InputContract.from_dict(inputs_of(path)) == FLOWER, path
    assert inputs_of(tmp_path / "plain.keras") is None


def test_saves_of_tf_keras_state_the_contract(tmp_path: Path) -> None:
    tf_keras = pytest.importorskip("tf_keras")
    kih.activate()
    model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(4,))])
    with contract(FLOWER):
        model.save(tmp_path / "m.keras")
        model.save(tmp_path / "m.h5")
        model.save(tmp_path / "saved", save_format="tf")
    for name in ("m.keras", "m.h5", "saved"):
        assert inputs_of(tmp_path / name) == FLOWER.to_dict()


def test_checkpoints_of_a_training_state_the_contract(
    keras: Any, model: Any, tmp_path: Path
) -> None:
    model.compile(loss="mse")
    saver = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras")
    with contract(FLOWER):
        model.fit(np.zeros((2, 4)), np.zeros((2, 2)), verbose=0, callbacks=[saver])
    assert inputs_of(tmp_path / "best.keras") == FLOWER.to_dict()


def test_the_inner_block_counts_and_none_is_a_statement_too(model: Any, tmp_path: Path) -> None:
    with contract(FLOWER):
        with contract(OTHER):
            model.save(tmp_path / "other.keras")
        with contract(None):
            model.save(tmp_path / "none.keras")
        model.save(tmp_path / "outer.keras")
    found = [inputs_of(tmp_path / f"{name}.keras") for name in ("other", "none", "outer")]
    assert found == [OTHER.to_dict(), None, FLOWER.to_dict()]


def test_a_block_counts_for_its_own_thread_alone(model: Any, tmp_path: Path) -> None:
    with contract(FLOWER):
        thread = threading.Thread(target=model.save, args=(tmp_path / "m.keras",))
        thread.start()
        thread.join()
    assert inputs_of(tmp_path / "m.keras") is None


def test_a_model_that_came_with_a_contract_keeps_it_when_it_is_saved(
    keras: Any, model: Any, tmp_path: Path
) -> None:
    with contract(FLOWER):
        model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    loaded.save(tmp_path / "again.h5")
    assert inputs_of(tmp_path / "again.h5") == FLOWER.to_dict()
    with contract(None):
        loaded.save(tmp_path / "none.keras")
    assert inputs_of(tmp_path / "none.keras") is None
    with contract(OTHER):
        loaded.save(tmp_path / "other.keras")
    assert inputs_of(tmp_path / "other.keras") == OTHER.to_dict()


@pytest.mark.parametrize("host", ["keras", "tf_keras"])
def test_a_model_that_came_with_a_contract_keeps_it_when_it_is_exported(
    keras: Any, tmp_path: Path, host: str
) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras exports with TensorFlow here")
    library = pytest.importorskip(host)
    kih.activate()
    flower = library.layers.Input((4,), name="flower")
    model = library.Model(flower, library.layers.Dense(2)(flower))
    with contract(FLOWER):
        model.save(tmp_path / "m.keras")
    loaded = library.models.load_model(tmp_path / "m.keras")
    loaded.export(str(tmp_path / "exported"))
    tensorflow.saved_model.save(loaded, str(tmp_path / "saved"))
    reloaded = tensorflow.saved_model.load(str(tmp_path / "saved"))
    tensorflow.saved_model.save(reloaded, str(tmp_path / "again"))
    model.export(str(tmp_path / "plain"))
    with contract(None):
        loaded.export(str(tmp_path / "none"))
    with contract(OTHER):
        loaded.export(str(tmp_path / "other"))
    found = {name: inputs_of(tmp_path / name) for name in ("exported", "saved", "again", "other")}
    flowers = dict.fromkeys(("exported", "saved", "again"), FLOWER.to_dict())
    assert found == {**flowers, "other": OTHER.to_dict()}
    assert (inputs_of(tmp_path / "plain"), inputs_of(tmp_path / "none")) == (None, None)


def test_what_is_no_contract_and_what_is_too_long_is_refused_before_anything_is_saved() -> None:
    with pytest.raises(kih.ConfigurationError, match="not InputContract"), contract("x"):  # type: ignore[arg-type]
        raise AssertionError
    long = [f"{number:0100}" for number in range(LIMITS.inputs // 100)]
    with (
        pytest.raises(kih.LimitExceededError, match="input contract takes"),
        contract(InputContract(InputRules("x", kind="string", allowed=tuple(long)))),
    ):
        raise AssertionError


def test_a_seal_without_a_contract_is_spelt_as_before(path: Path) -> None:
    assert "inputs" not in predicate_of(path)


# Seals that are there


def test_setting_a_contract_changes_nothing_else_of_the_seal(path: Path) -> None:
    with kih.provenance(name="iris", version="1.2", datasets={"d": f"sha256:{'0' * 64}"}, run="7"):
        kih.reseal(path, reason="named")
    before, content = predicate_of(path), kih.inspect(path, digest=True).digest
    report = api.set_contract(path, FLOWER)
    assert report.seal is not None
    after = predicate_of(path)
    assert after.pop("inputs") == FLOWER.to_dict()
    assert after["provenance"].pop("resealed") == "the input contract was set"
    assert after["provenance"].pop("previous_root") == report.seal.root
    for fact in ("resealed", "previous_root"):
        before["provenance"].pop(fact)
    assert after == before
    assert kih.inspect(path, digest=True).digest == content
    kih.verify(path)
    assert api.set_contract(path, None).seal is not None
    assert "inputs" not in predicate_of(path)


def test_the_contract_is_set_in_models_of_several_files_and_in_sidecars(
    keras: Any, model: Any, tmp_path: Path
) -> None:
    keras.saving.save_model(model, tmp_path / "directory", zipped=False)
    beside = write_model(tmp_path, "beside.keras")
    before = beside.read_bytes()
    kih.seal(beside, store="sidecar")
    for path in (tmp_path / "directory", beside):
        api.set_contract(path, FLOWER)
        kih.verify(path)
        assert inputs_of(path) == FLOWER.to_dict()
    assert beside.read_bytes() == before


def test_a_contract_is_signed_with_the_seal_and_a_change_of_it_is_no_longer_signed(
    path: Path, tmp_path: Path, home: Path
) -> None:
    let_trust("alice", make_key(tmp_path / "key"))
    api.set_contract(path, FLOWER)
    kih.sign(path, key=str(tmp_path / "key"))
    assert kih.verify(path).assurance == "signed"
    assert inputs_of(path) == FLOWER.to_dict()
    api.set_contract(path, OTHER)
    assert kih.verify(path).assurance == "integrity only"


def test_a_contract_that_is_set_is_signed_anew_where_a_key_is_configured(
    path: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_trust("alice", make_key(tmp_path / "key"))
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", str(tmp_path / "key"))
    api.set_contract(path, FLOWER)
    assert kih.verify(path).signers == ("alice",)


def test_no_contract_is_put_over_content_that_does_not_match(path: Path) -> None:
    data = bytearray(path.read_bytes())
    with open_model(path) as model:
        at = data.rindex(model.content.read(200, 32))
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(kih.ChecksumMismatchError):
        api.set_contract(path, FLOWER)
    assert path.read_bytes() == data


def test_no_contract_is_put_into_a_model_without_a_seal(tmp_path: Path) -> None:
    path = write_model(tmp_path, "m.keras")
    before = path.read_bytes()
    with pytest.raises(kih.UnsealedModelError, match="no seal to put"):
        api.set_contract(path, FLOWER)
    assert path.read_bytes() == before


def test_reseal_keeps_the_contract_unless_another_is_stated(path: Path) -> None:
    api.set_contract(path, FLOWER)
    kih.reseal(path, reason="once more")
    assert inputs_of(path) == FLOWER.to_dict()
    with contract(OTHER):
        kih.reseal(path, reason="another")
    assert inputs_of(path) == OTHER.to_dict()
    with contract(None):
        kih.reseal(path, reason="none")
    assert inputs_of(path) is None


def test_seal_states_the_contract_and_unseal_takes_it_away(tmp_path: Path) -> None:
    path = write_model(tmp_path, "m.h5")
    before = path.read_bytes()
    with contract(FLOWER):
        kih.seal(path)
    assert inputs_of(path) == FLOWER.to_dict()
    kih.unseal(path)
    assert path.read_bytes() == before


# The command line


def test_contract_commands_from_data_to_seal_and_back(archive: Path, tmp_path: Path) -> None:
    rows = np.linspace(0, 1, 40).reshape(10, 4)
    np.save(tmp_path / "good.npy", rows)
    np.save(tmp_path / "bad.npy", rows * 3)
    made = tmp_path / "contract.json"
    run("infer", tmp_path / "good.npy", "--output", made)
    assert InputContract.from_dict(json.loads(made.read_text())) == InputContract.from_data(rows)
    assert "has no input contract" in run("check", archive, tmp_path / "good.npy", status=1).stderr
    assert "0 to 1" in run("set", made, archive).stdout
    assert "float (None, 4), finite, 0 to 1" in run("show", archive).stdout
    assert "kept" in run("check", archive, tmp_path / "good.npy").stdout
    assert "over its maximum 1" in run("check", archive, tmp_path / "bad.npy", status=1).stderr
    told = json.loads(run("check", archive, tmp_path / "bad.npy", "--json", status=1).stdout)
    assert told["error"]["evidence"]["rule"] == "maximum"
    assert not run("check", archive, tmp_path / "good.npy", "--quiet").stdout
    run("remove", archive)
    assert "no-contract" in run("show", archive).stdout


def test_contract_show_prints_what_set_reads(archive: Path) -> None:
    api.set_contract(archive, FLOWER)
    shown = json.loads(run("show", archive, "--json").stdout)["results"][0]["report"]["seal"][
        "inputs"
    ]
    api.set_contract(archive, None)
    run("set", "-", archive, input=json.dumps(shown))
    assert inputs_of(archive) == FLOWER.to_dict()


def test_data_files_with_names_are_inputs_by_name_and_tables_are_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", b=np.zeros((3, 2)), a=np.array(["x", "y", "z"]))
    two = json.loads(run("infer", tmp_path / "two.npz").stdout)
    assert (two["structure"], [one["name"] for one in two["inputs"]]) == ("dict", ["a", "b"])
    pytest.importorskip("pandas")
    (tmp_path / "table.csv").write_text("age,size\n3,1.5\n4,2.5\n")
    table = json.loads(run("infer", tmp_path / "table.csv").stdout)
    assert table["inputs"][0]["shape"] == [None, 2]
    columns = json.loads(run("infer", tmp_path / "table.csv", "--columns").stdout)
    assert [one["name"] for one in columns["inputs"]] == ["age", "size"]


def test_data_files_are_never_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "unpickled"),)

    np.save(tmp_path / "bomb.npy", np.array([Bomb()], object), allow_pickle=True)
    np.savez(tmp_path / "bomb.npz", x=np.array([Bomb()], object))
    for name in ("bomb.npy", "bomb.npz"):
        assert "cannot be read" in run("infer", tmp_path / name, status=1).stderr
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b" " * 200_000, b'{"version": 2}', b"1" * 5000],
)
def test_a_file_that_is_no_contract_changes_nothing(
    archive: Path, tmp_path: Path, text: bytes
) -> None:
    (tmp_path / "wrong.json").write_bytes(text)
    before = archive.read_bytes()
    assert "Error: " in run("set", tmp_path / "wrong.json", archive, status=2).stderr
    assert archive.read_bytes() == before


def test_missing_files_are_told_and_nothing_is_overwritten(archive: Path, tmp_path: Path) -> None:
    assert "No such file" in run("set", tmp_path / "none.json", archive, status=2).stderr
    assert "No such file" in run("infer", tmp_path / "none.npy", status=1).stderr
    assert "none of those that are read" in run("infer", archive, status=1).stderr
    np.save(tmp_path / "x.npy", np.zeros((2, 2)))
    (tmp_path / "kept.json").write_text("kept")
    wrong = run("infer", tmp_path / "x.npy", "--output", tmp_path / "kept.json", status=1)
    assert "File exists" in wrong.stderr
    assert (tmp_path / "kept.json").read_text() == "kept"


def test_schema_is_printed_as_it_is_published() -> None:
    assert json.load(io.StringIO(run("schema").stdout))["$id"].endswith("input-contract:v1")


def test_inspect_shows_contracts_of_this_and_of_later_versions(archive: Path) -> None:
    from tests.support.restating import restated

    def shown() -> str:
        return subprocess.run(
            [sys.executable, "-m", "keras_integrity_hook.cli", "inspect", str(archive)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    api.set_contract(archive, FLOWER)
    assert "input flower" in shown()
    restated(archive, {**FLOWER.to_dict(), "drift": "0.1"})
    assert "'drift'" in shown()
    restated(archive, {"version": 9})
    assert "version 9" in shown()
    restated(archive, ["\x1b[2J"])
    assert "it is not a JSON object" in shown()
    kih.verify(archive)
