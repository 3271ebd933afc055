# SPDX-License-Identifier: Apache-2.0
"""Ways around a policy, by somebody who can write models, their directories and the environment."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.containers.kinds import KERAS_DIRECTORY, KERAS_HUB_PRESET, KERAS_SHARDS
from keras_integrity_hook.detached import sign, strict_json
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.saving import into_directory, on_close
from keras_integrity_hook.saving import pipeline as guard_save
from keras_integrity_hook.sealing import canonical
from keras_integrity_hook.verification import digests
from tests.support.attacks import attacked_by
from tests.support.model_kinds import export, save
from tests.support.signers import let_trust, make_key

SECONDS, AT_MOST = float(os.environ.get("RACE_SECONDS", "6")), 200
"""How long each race lasts; the second where nothing has been loaded that is to be."""

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
    command = (sys.executable, "-S", "-c", _TURN_LINK, str(link), *map(str, targets))
    with attacked_by(*command):
        yield


def loads_of(load: Callable[[], Any], *, at_least: int = 0) -> Iterator[Any]:
    """What ``load`` returns, again and again for a while, where it does not raise; on a slow
    machine for longer, until it has returned ``at_least`` so often."""
    begun, loaded = time.monotonic(), 0
    while time.monotonic() - begun < (SECONDS if loaded >= at_least else AT_MOST):
        try:
            yield load()
        except Exception:
            continue
        loaded += 1


def saved_module(tf: Any, path: Path, value: float) -> Path:
    """A sealed SavedModel whose function adds ``value``."""

    class Adding(tf.Module):
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
        loads = loads_of(lambda: tf.saved_model.load(str(link)), at_least=1)
        values = [float(loaded.add(0.0)) for loaded in loads]
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


@pytest.fixture
def key(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A key that signs every save, and is trusted."""
    path = str(tmp_path / "key")
    let_trust("me", make_key(tmp_path / "key"))
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", path)
    return path


def _swap_directory_of(where: str, put: Callable[[Path], object]) -> None:
    """What anybody does who may write the directory that is saved to, while a save is on."""
    private = Path(where).parent
    private.rename(private.with_name("moved"))
    private.mkdir(mode=0o700)
    put(private / Path(where).name)


def _directory(path: Path, text: str = "evil") -> None:
    path.mkdir()
    (path / "config.json").write_text(text)


def _shards(path: Path, text: str = "evil") -> None:
    path.write_text(f'{{"weight_map": {{}}, "metadata": "{text}"}}')


@pytest.mark.parametrize("store", ["embedded", "sidecar"])
def test_save_signs_no_file_that_somebody_puts_in_its_way(
    keras: Any, model: Any, tmp_path: Path, key: str, monkeypatch: Any, store: str
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_STORE", store)
    other = keras.Sequential([keras.layers.Input((9,)), keras.layers.Dense(9)])
    other.save(tmp_path / "evil.keras")
    evil, target = kih.unseal(tmp_path / "evil.keras").path, tmp_path / "out" / "m.keras"
    target.parent.mkdir()

    def write(where: str) -> None:
        model.save(where)
        _swap_directory_of(where, lambda path: shutil.copyfile(evil, path))

    with contextlib.suppress(OSError, kih.SealWriteError):
        guard_save.save_sealed(str(target), write)
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    try:
        loaded = keras.models.load_model(target)
    except (OSError, ValueError, kih.IntegrityError):
        return  # nothing is there, or nothing that is signed
    assert loaded.input_shape == model.input_shape


@pytest.mark.parametrize(
    ("kind", "save_with", "name", "put"),
    [
        (KERAS_DIRECTORY, guard_save.save_directory_sealed, "m", _directory),
        (KERAS_SHARDS, guard_save.save_files_sealed, "m.weights.json", _shards),
    ],
)
def test_save_signs_no_set_that_somebody_puts_in_its_way(
    keras: Any, tmp_path: Path, key: str, kind: Any, save_with: Any, name: str, put: Any
) -> None:
    target = tmp_path / "out" / name
    target.parent.mkdir()

    def write(where: str) -> None:
        put(Path(where), "genuine")
        _swap_directory_of(where, put)

    with contextlib.suppress(OSError, kih.SealWriteError):
        save_with(str(target), kind, write)
    for seal in target.parent.rglob("*.seal"):
        beside = [file for file in seal.parent.iterdir() if file.suffix == ".json"]
        assert all("genuine" in file.read_text() for file in beside)


def preset_with(tmp_path: Path, weights: str) -> Path:
    """A sealed preset, by the settings in force."""
    path = tmp_path / "preset"

    def write(where: str) -> None:
        Path(where).mkdir()
        (Path(where) / "config.json").write_text("{}")
        (Path(where) / "model.weights.h5").write_text(weights)

    into_directory.save_into_sealed(str(path), KERAS_HUB_PRESET, write)
    return path


def add_tokenizer(where: str) -> None:
    Path(where).mkdir(exist_ok=True)
    (Path(where) / "tokenizer.json").write_text("{}")


def test_save_of_a_part_does_not_sign_the_rest_for_whoever_sealed_it(
    tmp_path: Path, key: str, monkeypatch: Any
) -> None:
    monkeypatch.delenv("KERAS_INTEGRITY_KEY")
    path = preset_with(tmp_path, "evil")
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", key)
    with pytest.raises(kih.NotSignedError, match="signed by nobody"):
        into_directory.save_into_sealed(str(path), KERAS_HUB_PRESET, add_tokenizer)
    assert not (path / "tokenizer.json").exists()
    kih.sign(path, key=key)
    into_directory.save_into_sealed(str(path), KERAS_HUB_PRESET, add_tokenizer)
    assert (path / "tokenizer.json").exists()
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    assert kih.verify(path).signers == ("me",)
    # What somebody else has signed who is trusted is vouched for, too.
    make_key(tmp_path / "new")
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", str(tmp_path / "new"))
    into_directory.save_into_sealed(str(path), KERAS_HUB_PRESET, add_tokenizer)
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", key)
    with pytest.raises(kih.NotSignedError):
        into_directory.save_into_sealed(str(path), KERAS_HUB_PRESET, add_tokenizer)


def test_rest_that_is_exchanged_after_its_check_is_not_what_is_signed(
    tmp_path: Path, key: str, monkeypatch: Any
) -> None:
    path = preset_with(tmp_path, "good")
    whole = digests.check_content

    def then_exchanged(model: Any) -> None:
        whole(model)
        (path / "model.weights.h5").write_text("evil")
        (path / "task.json").write_text("evil")

    monkeypatch.setattr(digests, "check_content", then_exchanged)
    into_directory.save_into_sealed(str(path), KERAS_HUB_PRESET, add_tokenizer)
    monkeypatch.setattr(digests, "check_content", whole)
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    assert kih.verify(path).signers == ("me",)
    assert (path / "model.weights.h5").read_text() == "good"
    assert not (path / "task.json").exists()


def test_save_in_place_signs_nothing_that_it_did_not_write(
    tf: Any, tmp_path: Path, key: str, monkeypatch: Any
) -> None:
    path = tmp_path / "m"
    path.mkdir()
    (path / "keras_metadata.pb").write_bytes(b"evil")
    (path / "README.md").write_text("mine")
    monkeypatch.chdir(path)  # so that the directory cannot be replaced
    saved_module(tf, path, 1.0)
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    assert kih.verify(path).signers == ("me",)
    assert not (path / "keras_metadata.pb").exists()
    assert (path / "README.md").exists()


def test_values_that_are_exchanged_before_they_are_sealed_are_not_signed(
    keras: Any, tmp_path: Path, key: str
) -> None:
    import h5py

    path = tmp_path / "values.lora.h5"
    with h5py.File(tmp_path / "evil.h5", "w") as evil:
        evil["x"] = 666.0
    opened = on_close.hdf5_sealed_on_close(str(path))
    opened["x"] = 1.0
    shutil.copyfile(tmp_path / "evil.h5", tmp_path / "evil.copy")
    os.replace(tmp_path / "evil.copy", path)
    opened.close()
    assert kih.inspect(path).seal is None
    opened = on_close.hdf5_sealed_on_close(str(path))
    opened["x"] = 1.0
    opened.close()
    assert kih.inspect(path).seal is not None


@pytest.mark.parametrize("read", [strict_json.loads, canonical.decode])
@pytest.mark.parametrize("value", [b"[],", b"{},", b"1,"])
def test_crowded_json_takes_no_memory(read: Callable[[bytes], Any], value: bytes) -> None:
    text = b"[" + value * (4 * MIB // len(value)) + b"1]"
    tracemalloc.start()
    try:
        with pytest.raises(kih.LimitExceededError):
            read(text)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(text)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("epoch", ["9" * 30, "\u00b2"])
def test_time_that_is_none_costs_nobody_a_model(
    model: Any, tmp_path: Path, monkeypatch: Any, epoch: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    model.save(tmp_path / "m.keras")
    assert kih.inspect(tmp_path / "m.keras").seal is not None


def test_shards_on_a_mount_that_keras_takes_for_remote_are_sealed_and_checked(
    keras: Any, mounted: Path, policy: Path
) -> None:
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
    path = mounted / "w.weights.json"
    try:
        model.save_weights(path, max_shard_size=1)
    except (TypeError, ValueError):
        pytest.skip("this version of Keras has no shards")
    assert kih.verify(path).state == "sealed"
    (shard, *_) = mounted.glob("w_*.weights.h5")
    model.load_weights(path)
    shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    with pytest.raises(kih.IntegrityError, match=str(path)):
        model.load_weights(path)
    (mounted / "w.weights.json.seal").unlink()
    policy.write_text('[[rules]]\npath = "/gcs/**"\nrequire = "sealed"\n')
    with pytest.raises(kih.UnsealedModelError):
        model.load_weights(path)
