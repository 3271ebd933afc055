# SPDX-License-Identifier: Apache-2.0
"""Ways around a policy, by somebody who can write models, their directories and the environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.interop import sign
from tests.kinds import export, save
from tests.signers import let_trust, make_key

SECONDS = float(os.environ.get("RACE_SECONDS", "6"))
"""How long each race lasts."""

# Without the hook, as a stranger with write access to the directory of a link would.
_TURN_LINK = """
import os, sys
link, *targets = sys.argv[1:]
print("ready", flush=True)
while True:
    for target in targets:
        os.symlink(target, link + ".new")
        os.replace(link + ".new", link)
"""


@pytest.fixture
def model(keras: Any) -> Any:
    return keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])


@pytest.fixture
def tf(keras: Any) -> Any:
    return pytest.importorskip("tensorflow")


@pytest.fixture
def policy(home: Path) -> Path:
    home.mkdir(parents=True)
    (home / "policy.toml").write_text("")
    return home / "policy.toml"


@contextmanager
def turned(link: Path, targets: list[Path]) -> Iterator[None]:
    """Let another process turn ``link`` to each of ``targets`` as fast as it can."""
    link.symlink_to(targets[0])
    command = [sys.executable, "-S", "-c", _TURN_LINK, str(link), *map(str, targets)]
    attacker = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert attacker.stdout is not None
        assert attacker.stdout.readline() == b"ready\n"
        yield
        assert attacker.poll() is None, "the attacker died, so nothing was attacked"
    finally:
        attacker.kill()
        attacker.communicate()


def loads_of(load: Callable[[], Any]) -> Iterator[Any]:
    """What ``load`` returns, again and again for a while, where it does not raise."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            yield load()
        except Exception:
            continue


def saved_module(tf: Any, path: Path, value: float) -> Path:
    """A sealed SavedModel whose function adds ``value``."""

    class Adding(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])  # type: ignore[untyped-decorator, unused-ignore]
        def add(self, number: Any) -> Any:
            return number + value

    tf.saved_model.save(Adding(), str(path))
    return path


def load_version_1(tf: Any, path: str) -> Any:
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        return tf.compat.v1.saved_model.load(session, ["serve"], path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("host", ["", "localhost", "any.host"])
def test_host_in_a_file_url_does_not_lead_around_the_check(
    tf: Any, model: Any, tmp_path: Path, policy: Path, host: str
) -> None:
    export(model, tmp_path / "m")
    url = f"file://{host}{tmp_path}/m"
    load_version_1(tf, url)
    kih.unseal(tmp_path / "m")
    policy.write_text('require = "sealed"')
    with pytest.raises(kih.UnsealedModelError):
        load_version_1(tf, url)
    with pytest.raises(kih.UnsealedModelError):
        tf.saved_model.load(url)


@pytest.mark.filterwarnings("ignore")
def test_saved_model_that_comes_and_goes_is_never_loaded_unchecked(
    tf: Any, tmp_path: Path, policy: Path
) -> None:
    policy.write_text('require = "sealed"')
    good = saved_module(tf, tmp_path / "good", 1.0)
    evil = saved_module(tf, tmp_path / "evil", 666.0)
    kih.unseal(evil)
    (tmp_path / "none").write_text("no directory")
    link = tmp_path / "link"
    with turned(link, [good, tmp_path / "none", evil]):
        values = [float(m.add(0.0)) for m in loads_of(lambda: tf.saved_model.load(str(link)))]
    assert set(values) == {1.0}


@pytest.mark.filterwarnings("ignore")
def test_checkpoint_that_comes_and_goes_is_never_restored_unchecked(
    tf: Any, tmp_path: Path, policy: Path
) -> None:
    policy.write_text('require = "sealed"')
    for name in ("evil", "none"):
        (tmp_path / name).mkdir()
    tf.train.Checkpoint(v=tf.Variable(666.0)).write(str(tmp_path / "evil/c"))
    kih.unseal(tmp_path / "evil/c")
    (tmp_path / "none/c").write_text("no checkpoint")
    variable = tf.Variable(0.0)
    with turned(tmp_path / "link", [tmp_path / "none", tmp_path / "evil"]):
        path = str(tmp_path / "link/c")
        for _ in loads_of(lambda: tf.train.Checkpoint(v=variable).read(path)):
            break
    assert float(variable) == 0.0


def test_what_no_checkpoint_reader_knows_is_refused_where_a_seal_is_required(
    tf: Any, model: Any, tmp_path: Path, policy: Path
) -> None:
    (tmp_path / "c").write_text("an index may appear beside it while it is looked at")
    (tmp_path / "orbax").mkdir()
    policy.write_text('require = "sealed"')
    with pytest.raises(kih.UnsealedModelError):
        tf.train.Checkpoint().read(str(tmp_path / "c"))
    with pytest.raises(kih.UnsealedModelError):
        tf.train.load_checkpoint(str(tmp_path / "c"))
    with pytest.raises(kih.UnsealedModelError):
        model.load_weights(tmp_path / "orbax")
    policy.write_text("")
    with pytest.raises(ValueError, match="not supported"):
        model.load_weights(tmp_path / "orbax")


@pytest.mark.parametrize("scheme", ["hf:", "xx:"])
def test_directory_called_as_a_scheme_is_no_way_around_the_check(
    keras: Any, model: Any, tmp_path: Path, policy: Path, monkeypatch: Any, scheme: str
) -> None:
    (tmp_path / scheme).mkdir()
    monkeypatch.chdir(tmp_path)
    model.save(tmp_path / scheme / "m.keras")
    model.save(tmp_path / scheme / "m.h5")
    for name in ("m.keras", "m.h5"):
        kih.unseal(tmp_path / scheme / name)
    policy.write_text('require = "sealed"')
    with pytest.raises(kih.UnsealedModelError):
        keras.saving.KerasFileEditor(f"{scheme}//m.keras")
    with pytest.raises(kih.UnsealedModelError):
        model.load_weights(f"{scheme}//m.h5")


def test_link_out_of_a_directory_does_not_lead_around_its_rule(
    keras: Any, model: Any, tmp_path: Path, policy: Path
) -> None:
    for name in ("prod", "elsewhere"):
        (tmp_path / name).mkdir()
    model.save(tmp_path / "elsewhere/m.keras")
    (tmp_path / "prod/m.keras").symlink_to("../elsewhere/m.keras")
    (tmp_path / "current").symlink_to("prod")
    policy.write_text(f'[[rules]]\npath = "{tmp_path}/prod/**"\nrequire = "signed"\n')
    keras.models.load_model(tmp_path / "elsewhere/m.keras")
    for directory in ("prod", "current"):
        with pytest.raises(kih.NotSignedError):
            keras.models.load_model(tmp_path / directory / "m.keras")
    kih.unseal(tmp_path / "elsewhere/m.keras")
    with pytest.raises(kih.UnsealedModelError):
        keras.models.load_model(tmp_path / "prod/m.keras")
    policy.write_text(
        f'require = "sealed"\n[[rules]]\npath = "{tmp_path}/prod/**"\nallow_override = false\n'
    )
    digest = kih.inspect(tmp_path / "elsewhere/m.keras", digest=True).digest
    assert digest is not None
    with (
        kih.override(root=digest, reason="a way around the rule"),
        pytest.raises(kih.OverrideRefusedError),
    ):
        keras.models.load_model(tmp_path / "prod/m.keras")


@pytest.mark.parametrize("kind", ["model.keras", "directory"])
def test_rules_of_two_names_are_both_satisfied(
    keras: Any, model: Any, tmp_path: Path, policy: Path, kind: str
) -> None:
    for name in ("ann", "bob"):
        let_trust(name, make_key(tmp_path / name, "ecdsa"))
    (tmp_path / "prod").mkdir()
    path, link = tmp_path / kind, tmp_path / "prod" / kind
    save(model, path)
    link.symlink_to(path)
    kih.sign(path, key=str(tmp_path / "ann"))
    sign.sign(str(path), str(tmp_path / "bob"))
    if kind == "model.keras":
        (tmp_path / "prod/model.keras.sig").write_bytes(
            path.with_name("model.keras.sig").read_bytes()
        )

    def rules(of_prod: str, of_rest: str) -> str:
        ours = f'[[rules]]\npath = "{tmp_path}/prod/**"\nrequire = "signed"\nsigners = {of_prod}\n'
        return ours + f'[[rules]]\npath = "**/{kind}"\nrequire = "signed"\nsigners = {of_rest}\n'

    for one, other in ("ann", "bob"), ("bob", "ann"), ("bob", "bob"):
        policy.write_text(rules(f'["{one}"]', f'["{other}"]\nthreshold = 1'))
        keras.models.load_model(link)
    policy.write_text(rules('["ann"]', '["nobody"]'))
    with pytest.raises(kih.NotSignedError):
        keras.models.load_model(link)
    # Without its seal the model still has what the detached signature is over.
    policy.write_text(rules('["bob"]\nthreshold = 1', '["bob"]'))
    kih.unseal(path)
    with pytest.raises(kih.IntegrityError):
        keras.models.load_model(link)  # of a file the signature covers the seal as well


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A directory below ``/gcs``, where clouds mount buckets and Keras sees a remote place."""
    top = Path("/gcs")
    if top.exists() or not os.access("/", os.W_OK):
        pytest.skip("needs a /gcs of its own")
    (top / tmp_path.name).mkdir(parents=True)
    try:
        yield top / tmp_path.name
    finally:
        shutil.rmtree(top)


@pytest.mark.parametrize("package", ["keras", "tf_keras"])
@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.h5"])
@pytest.mark.parametrize("prefix", ["", "file://", "file://localhost"])
def test_copy_that_keras_makes_is_held_against_the_rule_for_its_source(
    keras: Any, mounted: Path, policy: Path, prefix: str, name: str, package: str
) -> None:
    keras = pytest.importorskip(package)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
    path = mounted / name
    local = path.with_name(f"local.{name}")
    model.save_weights(local) if "weights" in name else model.save(local)
    local.rename(path)
    kih.unseal(path)
    load = model.load_weights if "weights" in name else keras.models.load_model
    with pytest.warns(kih.UnsealedModelWarning, match=f"{path}"):
        load(f"{prefix}{path}")
    policy.write_text('[[rules]]\npath = "/gcs/**"\nrequire = "sealed"\n')
    with pytest.raises(kih.UnsealedModelError):
        load(f"{prefix}{path}")
    with pytest.raises(kih.UnsealedModelError):
        load(f"{prefix}{path}.none.{name}")
