# SPDX-License-Identifier: Apache-2.0
"""What a policy demands of a model before its content is looked at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from tests.support import machine as another_machine
from tests.support.model_kinds import SETS, load, save


@pytest.fixture
def model(keras: Any) -> Any:
    return keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "policy.toml"
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(path))
    path.write_text("")
    return path


def test_rule_decides_for_its_path_alone(
    keras: Any, model: Any, tmp_path: Path, policy: Path
) -> None:
    policy.write_text('[[rules]]\npath = "production/**"\nrequire = "sealed"\n')
    for name in ("production", "research"):
        (tmp_path / name).mkdir()
        model.save(tmp_path / name / "m.keras")
        kih.unseal(tmp_path / name / "m.keras")
    with pytest.warns(kih.UnsealedModelWarning):
        keras.models.load_model(tmp_path / "research/m.keras")
    with pytest.raises(kih.UnsealedModelError, match="one is required"):
        keras.models.load_model(tmp_path / "production/m.keras")
    with pytest.raises(kih.UnsealedModelError):
        kih.verify(tmp_path / "production/m.keras")


@pytest.mark.parametrize("demand", ["model = 'm'", "minimum_version = '1'", "maximum_age = '1d'"])
def test_stripped_seal_does_not_evade_what_is_read_from_it(
    keras: Any, model: Any, tmp_path: Path, policy: Path, demand: str
) -> None:
    policy.write_text(demand)
    model.save(tmp_path / "m.keras")
    kih.unseal(tmp_path / "m.keras")
    with pytest.raises(kih.UnsealedModelError):
        keras.models.load_model(tmp_path / "m.keras")


@pytest.mark.parametrize("kind", ["model.keras", "model.weights.h5", *SETS])
def test_seal_without_signature_is_refused_where_one_is_required(
    keras: Any, model: Any, tmp_path: Path, policy: Path, kind: str
) -> None:
    save(model, tmp_path / kind)
    load(model, tmp_path / kind)
    policy.write_text('require = "signed"')
    with pytest.raises(kih.NotSignedError, match="none was found"):
        load(model, tmp_path / kind)


def test_weak_algorithm_is_refused(keras: Any, model: Any, tmp_path: Path, policy: Path) -> None:
    path = tmp_path / "m.keras"
    model.save(path)
    keras.models.load_model(path)
    policy.write_text('allowed_algorithms = ["sha512", "blake2b"]')
    with pytest.raises(kih.WeakAlgorithmError, match="sha256"):
        keras.models.load_model(path)
    kih.unseal(path)
    kih.seal(path, algorithm="sha512")
    keras.models.load_model(path)


def test_old_seal_is_refused(
    keras: Any, model: Any, tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    model.save(tmp_path / "m.keras")
    keras.models.load_model(tmp_path / "m.keras")
    policy.write_text('maximum_age = "30d"')
    with pytest.raises(kih.ExpiredModelError, match="longer ago"):
        keras.models.load_model(tmp_path / "m.keras")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "4000000000")
    model.save(tmp_path / "m.keras")
    with pytest.raises(kih.ExpiredModelError, match="future"):
        keras.models.load_model(tmp_path / "m.keras")


def test_checkpoint_behind_a_url_is_judged_by_the_rule_for_it(
    model: Any, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_HISTORY", "off")  # it was sealed when it was written
    policy.write_text('[[rules]]\npath = "ram://vault/**"\nrequire = "sealed"\n')
    tf = pytest.importorskip("tensorflow")
    for place in ("vault", "elsewhere"):
        tf.io.gfile.makedirs(f"ram://{place}")
    with pytest.raises(tf.errors.NotFoundError):
        tf.train.Checkpoint(model=model).read("ram://vault/ckpt")
    for place in ("vault", "elsewhere"):
        tf.train.Checkpoint(model=model).write(f"ram://{place}/ckpt")
        tf.io.gfile.remove(f"ram://{place}/ckpt.seal")
    with pytest.raises(kih.UnsealedModelError, match="ram://vault/ckpt"):
        tf.train.Checkpoint(model=model).read("ram://vault/ckpt")
    with pytest.warns(kih.UnsealedModelWarning):
        tf.train.Checkpoint(model=model).read("ram://elsewhere/ckpt")


def test_mode_warn_reports_what_the_policy_would_refuse(
    keras: Any, model: Any, tmp_path: Path, policy: Path
) -> None:
    model.save(tmp_path / "m.keras")
    policy.write_text('mode = "warn"\nrequire = "signed"')
    with pytest.warns(kih.IntegrityWarning, match="signature"):
        keras.models.load_model(tmp_path / "m.keras")


def test_mistake_in_the_policy_refuses_loads_and_keeps_saves(
    keras: Any, model: Any, tmp_path: Path, policy: Path
) -> None:
    policy.write_text("requires = 1")
    with pytest.warns(kih.IntegrityWarning, match="without regard to settings"):
        model.save(tmp_path / "m.keras")
    with pytest.raises(kih.ConfigurationError, match="did you mean 'require'"):
        keras.models.load_model(tmp_path / "m.keras")
    policy.write_text('require = "sealed"')
    keras.models.load_model(tmp_path / "m.keras")


def test_mistake_while_saving_does_not_switch_off_what_the_machine_locks(tmp_path: Path) -> None:
    locked = 'lock = ["algorithm"]\nalgorithm = "sha512"\n'
    etc = another_machine.make_etc(tmp_path, {"policy.toml": locked})
    path = tmp_path / "m.keras"
    script = f"""
import keras_integrity_hook; keras_integrity_hook.activate()
import keras, os
model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2)])
os.environ["KERAS_INTEGRITY_UNSEALD"] = "x"
model.save({str(path)!r})
"""
    done = another_machine.run([sys.executable, "-c", script], etc)
    assert "KERAS_INTEGRITY_UNSEALED" in done.stderr
    seal = kih.inspect(path).seal
    assert seal is not None
    assert seal.algorithm == "sha512"


def test_detached_signature_is_not_added_to_those_in_the_seal(
    keras: Any, model: Any, tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.keras"
    for name in ("ann", "bob"):
        run_cli("keygen", "--type", "ecdsa", "--no-passphrase", tmp_path / name)
        run_cli("trust", "add", name, tmp_path / f"{name}.pub", "--file", tmp_path / "trust.toml")
    monkeypatch.setenv("KERAS_INTEGRITY_TRUST", str(tmp_path / "trust.toml"))
    model.save(path)
    run_cli("sign", path, "--key", tmp_path / "ann")
    run_cli("bundle", "sign", path, "--key", tmp_path / "bob")
    policy.write_text('require = "signed"\nsigners = ["bob"]')
    keras.models.load_model(path)
    policy.write_text('require = "signed"\nthreshold = 2')
    with pytest.raises(kih.NotSignedError):
        keras.models.load_model(path)
    path.with_name("m.keras.sig").unlink()
    run_cli("sign", path, "--key", tmp_path / "bob")
    keras.models.load_model(path)


def test_error_of_a_load_is_not_taken_for_the_refusal_that_is_being_handled(
    keras: Any, model: Any, tmp_path: Path
) -> None:
    path = tmp_path / "m.keras"
    model.save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    try:
        keras.models.load_model(path)
    except kih.IntegrityError:
        with pytest.raises(ValueError, match="not found"):
            keras.models.load_model(tmp_path / "older.keras")
    else:
        pytest.fail("the damaged model was loaded")


def test_home_that_may_not_be_looked_into_holds_no_policy(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    (tmp_path / "home/keras-integrity").mkdir(parents=True)
    (tmp_path / "home").chmod(0o700)
    script = (
        "from keras_integrity_hook import settings; import os;"
        "os.setegid(65534); os.seteuid(65534); print(settings.at().mode)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "enforce", done.stderr


def run_cli(*arguments: object) -> None:
    command = [sys.executable, "-m", "keras_integrity_hook.cli", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("store", ["embedded", "sidecar"])
@pytest.mark.parametrize("kind", ["model.keras", "model.weights.h5", "directory"])
def test_algorithm_that_is_not_installed_costs_the_seal_and_not_the_model(
    keras: Any,
    model: Any,
    tmp_path: Path,
    policy: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    store: str,
) -> None:
    monkeypatch.setitem(sys.modules, "blake3", None)  # as if it were not
    policy.write_text(f'algorithm = "blake3"\nstore = "{store}"')
    save(model, tmp_path / kind)
    assert "not sealed" in caplog.text
    assert kih.inspect(tmp_path / kind).state == "unsealed"
    with pytest.warns(kih.UnsealedModelWarning):
        load(model, tmp_path / kind)
