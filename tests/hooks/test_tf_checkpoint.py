# SPDX-License-Identifier: Apache-2.0
"""TensorFlow checkpoints: saved, restored, looked into, rotated, attacked."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_integrity_hook import (
    ChecksumMismatchError,
    HistoryWarning,
    StrippedModelError,
    UnsealedModelError,
    UnsealedModelWarning,
    unseal,
    verify,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.verification import verified_directory

ENDS = (".index", ".data-00000-of-00001")
KEY = "v/.ATTRIBUTES/VARIABLE_VALUE"
LARGE = LIMITS.small_member // 4 + 1000  # float32 values that are not kept in memory


@pytest.fixture(scope="module")
def tf(keras: Any) -> Any:
    return pytest.importorskip("tensorflow")


@pytest.fixture
def saved(tf: Any, tmp_path: Path) -> Path:
    """The prefix of a checkpoint of the variable ``v``, all ones."""
    return save(tf, tmp_path / "ckpt", 1.0)


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the verified copies go."""
    path = tmp_path / "private"
    path.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(path))
    return path


def save(tf: Any, prefix: Path, value: float, count: int = 64) -> Path:
    return Path(tf.train.Checkpoint(v=tf.Variable(tf.fill([count], value))).write(str(prefix)))


def restored(tf: Any, prefix: Path | str, count: int = 64) -> Any:
    variable = tf.Variable(tf.zeros([count]))
    tf.train.Checkpoint(v=variable).read(str(prefix)).assert_consumed()
    return variable.numpy()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def between_check_and_use(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    original = verified_directory.VerifiedDirectory.__init__

    def patched(self: Any, model: Any, *rest: Any) -> None:
        original(self, model, *rest)
        act()

    monkeypatch.setattr(verified_directory.VerifiedDirectory, "__init__", patched)


def test_checkpoint_is_sealed_and_restored(tf: Any, saved: Path, private: Path) -> None:
    report = verify(saved)
    assert (report.state, report.container) == ("sealed", "tf-checkpoint")
    assert restored(tf, saved).tolist() == [1.0] * 64
    assert list(private.iterdir()) == []


def test_numbered_save_returns_and_records_the_users_path(tf: Any, tmp_path: Path) -> None:
    folder = tmp_path / "new folder"
    checkpoint = tf.train.Checkpoint(v=tf.Variable([2.0]))
    path = checkpoint.save(str(folder / "ckpt"))
    assert path == str(folder / "ckpt-1")
    assert tf.train.latest_checkpoint(str(folder)) == path
    assert ".keras-integrity" not in (folder / "checkpoint").read_text()
    assert sorted(p.name for p in folder.iterdir()) == [
        "checkpoint",
        "ckpt-1.data-00000-of-00001",
        "ckpt-1.index",
        "ckpt-1.seal",
    ]
    fresh = tf.train.Checkpoint(v=tf.Variable([0.0]))
    fresh.restore(path).assert_consumed()
    assert fresh.v.numpy().tolist() == [2.0]
    assert fresh.save_counter.numpy() == 1


def test_relative_prefix(tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(tf, Path("ckpt"), 3.0)
    assert verify("ckpt").state == "sealed"
    assert restored(tf, "ckpt")[0] == 3.0


@pytest.mark.parametrize("end", ENDS)
def test_flipped_bit_is_refused_and_the_variables_stay(tf: Any, saved: Path, end: str) -> None:
    flip(Path(f"{saved}{end}"))
    variable = tf.Variable(tf.zeros([64]))
    checkpoint = tf.train.Checkpoint(v=variable)
    for read in (checkpoint.read, checkpoint.restore):
        with pytest.raises(ChecksumMismatchError, match=f"ckpt{end}"):
            read(str(saved))
    assert not variable.numpy().any()


@pytest.mark.parametrize(
    "look",
    [
        lambda tf, path: tf.train.load_checkpoint(path).get_tensor(KEY),
        lambda tf, path: tf.train.load_variable(path, KEY),
        lambda tf, path: tf.train.list_variables(path),
        lambda tf, path: tf.compat.v1.train.NewCheckpointReader(path).get_tensor(KEY),
        lambda tf, path: tf.train.CheckpointView(path),
        lambda tf, path: tf.compat.v1.train.Checkpoint(v=tf.Variable([0.0] * 64)).restore(path),
    ],
)
def test_every_way_to_look_into_a_checkpoint_is_checked(
    tf: Any, saved: Path, look: Callable[[Any, str], Any]
) -> None:
    look(tf, str(saved))
    flip(Path(f"{saved}{ENDS[1]}"))
    with pytest.raises(ChecksumMismatchError):
        look(tf, str(saved))


def test_swapped_data_of_another_checkpoint_is_refused(
    tf: Any, saved: Path, tmp_path: Path
) -> None:
    other = save(tf, tmp_path / "other", 9.0)
    shutil.copy(f"{other}{ENDS[1]}", f"{saved}{ENDS[1]}")
    with pytest.raises(ChecksumMismatchError, match=r"\.data-"):
        restored(tf, saved)


def test_seal_of_another_checkpoint_is_refused(tf: Any, saved: Path, tmp_path: Path) -> None:
    other = save(tf, tmp_path / "other", 9.0)
    shutil.copy(f"{other}.seal", f"{saved}.seal")
    with pytest.raises(ChecksumMismatchError, match=r"damaged: ckpt\."):
        restored(tf, saved)
    with pytest.raises(ChecksumMismatchError):
        verify(saved)


@pytest.mark.parametrize("end", ENDS)
def test_missing_file_is_refused(tf: Any, saved: Path, end: str) -> None:
    Path(f"{saved}{end}").unlink()
    with pytest.raises(ChecksumMismatchError, match="is missing"):
        restored(tf, saved)


def test_missing_checkpoint_is_tensorflows_own_error(tf: Any, tmp_path: Path) -> None:
    with pytest.raises(tf.errors.NotFoundError, match="matching files"):
        restored(tf, tmp_path / "nothing")
    with pytest.raises(tf.errors.NotFoundError, match="double-check that the path"):
        tf.train.Checkpoint().restore(str(tmp_path / "nothing"))


@pytest.mark.parametrize("count", [64, LARGE])
@pytest.mark.parametrize("end", ENDS)
def test_file_replaced_after_the_check_is_not_what_is_restored(
    tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, count: int
) -> None:
    saved = save(tf, tmp_path / "ckpt", 1.0, count)
    evil = save(tf, tmp_path / "evil", 9.0, count)
    between_check_and_use(monkeypatch, lambda: Path(f"{evil}{end}").replace(f"{saved}{end}"))
    np.testing.assert_array_equal(restored(tf, saved, count), np.ones(count))
    assert not Path(f"{evil}{end}").exists()


@pytest.mark.parametrize("count", [64, LARGE])
@pytest.mark.parametrize("in_place", [False, True])
def test_variable_created_later_gets_the_bytes_that_were_checked(
    tf: Any, tmp_path: Path, private: Path, count: int, in_place: bool
) -> None:
    saved = save(tf, tmp_path / "ckpt", 1.0, count)
    evil = save(tf, tmp_path / "evil", 9.0, count)
    checkpoint = tf.train.Checkpoint()
    status = checkpoint.restore(str(saved))
    for end in ENDS:
        if in_place:
            Path(f"{saved}{end}").write_bytes(Path(f"{evil}{end}").read_bytes())
        else:
            Path(f"{evil}{end}").replace(f"{saved}{end}")
    checkpoint.v = tf.Variable(tf.zeros([count]))
    np.testing.assert_array_equal(checkpoint.v.numpy(), np.ones(count))
    del status, checkpoint
    gc.collect()
    assert list(private.iterdir()) == []


def test_reader_keeps_the_bytes_that_were_checked(tf: Any, tmp_path: Path, private: Path) -> None:
    saved = save(tf, tmp_path / "ckpt", 1.0, LARGE)
    reader = tf.train.load_checkpoint(str(saved))
    Path(f"{saved}{ENDS[1]}").write_bytes(bytes(LARGE * 4))
    assert reader.get_tensor(KEY).min() == 1.0
    del reader
    gc.collect()
    assert list(private.iterdir()) == []


def test_unsealed_checkpoint_warns_once_or_is_refused(
    tf: Any, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseal(saved)
    checkpoint = tf.train.Checkpoint(v=tf.Variable(tf.zeros([64])))
    with pytest.warns(UnsealedModelWarning) as caught:
        checkpoint.restore(str(saved)).expect_partial()
    restored(tf, saved)
    assert [w.category for w in caught] == [UnsealedModelWarning]
    assert caught[0].filename == __file__
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(UnsealedModelError):
        restored(tf, saved)
    with pytest.raises(UnsealedModelError):
        tf.train.list_variables(str(saved))


def test_version_1_file_is_unsealed_not_a_way_around(
    tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.get_variable("v", (3,))
        session.run(tf.compat.v1.global_variables_initializer())
        saver = tf.compat.v1.train.Saver(write_version=tf.compat.v1.train.SaverDef.V1)
        path = saver.save(session, str(tmp_path / "old"))
    with pytest.warns(UnsealedModelWarning):
        assert tf.train.list_variables(path) == [("v", [3])]
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    for prefix in (path, f"{path[:-1]}?"):
        with pytest.raises(UnsealedModelError):
            tf.train.list_variables(prefix)


def test_version_1_file_in_the_place_of_a_sealed_checkpoint_is_told(
    tf: Any, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in saved.parent.glob(f"{saved.name}.*"):
        file.unlink()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.get_variable("v", (3,))
        session.run(tf.compat.v1.global_variables_initializer())
        saver = tf.compat.v1.train.Saver(write_version=tf.compat.v1.train.SaverDef.V1)
        saver.save(session, str(saved))
    with pytest.warns(HistoryWarning, match="it has no seal"):
        tf.train.list_variables(str(saved))
    monkeypatch.setenv("KERAS_INTEGRITY_HISTORY", "enforce")
    with pytest.raises(StrippedModelError):
        tf.train.list_variables(str(saved))


def test_rotation_leaves_no_litter(tf: Any, tmp_path: Path) -> None:
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(v=tf.Variable([1.0])), str(tmp_path / "run"), max_to_keep=2
    )
    for _ in range(4):
        manager.save()
    names = sorted(p.name for p in (tmp_path / "run").iterdir())
    assert names == ["checkpoint"] + [
        f"ckpt-{number}{end}" for number in (3, 4) for end in (ENDS[1], ".index", ".seal")
    ]
    assert manager.restore_or_initialize() == str(tmp_path / "run" / "ckpt-4")


def test_overwriting_takes_the_old_seal_with_it(tf: Any, saved: Path) -> None:
    save(tf, saved, 5.0, 32)
    assert restored(tf, saved, 32)[0] == 5.0
    assert sorted(p.name for p in saved.parent.iterdir()) == [
        saved.name + end for end in (ENDS[1], ".index", ".seal")
    ]


def test_failing_save_leaves_the_old_checkpoint(tf: Any, saved: Path) -> None:
    class Failing(tf.train.experimental.PythonState):
        def serialize(self) -> str:
            raise RuntimeError("no")

        def deserialize(self, string_value: str) -> None: ...

    with pytest.raises(RuntimeError):
        tf.train.Checkpoint(state=Failing()).write(str(saved))
    assert restored(tf, saved)[0] == 1.0
    assert len(list(saved.parent.iterdir())) == 3


def test_asynchronous_checkpoint_is_sealed_and_awaited(tf: Any, tmp_path: Path) -> None:
    options = tf.train.CheckpointOptions(experimental_enable_async_checkpoint=True)
    variable = tf.Variable(tf.ones([LARGE]))
    checkpoint = tf.train.Checkpoint(v=variable)
    for value in (1.0, 2.0):
        variable.assign(tf.fill([LARGE], value))
        checkpoint.write(str(tmp_path / "ckpt"), options)
    variable.assign(tf.zeros([LARGE]))
    checkpoint.restore(str(tmp_path / "ckpt"), options).expect_partial()
    assert variable.numpy().min() == 2.0
    checkpoint.sync()
    assert verify(tmp_path / "ckpt").state == "sealed"


def test_graph_and_session(tf: Any, tmp_path: Path) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("v", (64,), initializer=tf.ones_initializer())
        checkpoint = tf.compat.v1.train.Checkpoint(v=variable)
        session.run(tf.compat.v1.global_variables_initializer())
        path = checkpoint.write(str(tmp_path / "ckpt"))
        assert path == str(tmp_path / "ckpt")
        assert verify(path).state == "sealed"
        session.run(variable.assign(tf.zeros([64])))
        status = checkpoint.restore(path)
        for end in ENDS:
            Path(f"{path}{end}").unlink()  # the session runs later and reads what was checked
        status.run_restore_ops()
        assert session.run(variable).tolist() == [1.0] * 64


def test_write_inside_a_function_is_passed_through_and_logged(
    tf: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = tf.train.Checkpoint(v=tf.Variable([1.0]))

    @tf.function  # type: ignore[untyped-decorator, unused-ignore]
    def write() -> None:
        checkpoint.write(str(tmp_path / "ckpt"))

    write()
    assert verify(tmp_path / "ckpt").state == "unsealed"
    assert "not sealed: a graph holds the path" in caplog.text


def test_variables_of_a_saved_model_are_checked_with_it(tf: Any, tmp_path: Path) -> None:
    module = tf.Module()
    module.v = tf.Variable(tf.ones([64]))
    path = tmp_path / "model"
    tf.saved_model.save(module, str(path))
    assert not list(path.rglob("variables.seal"))
    prefix = path / "variables" / "variables"
    variable = tf.Variable(tf.zeros([64]))
    tf.train.Checkpoint(v=variable).restore(str(path)).expect_partial()
    assert variable.numpy().all()
    assert KEY in dict(tf.train.list_variables(str(prefix)))
    flip(path / "saved_model.pb")
    reads: tuple[Callable[[], Any], ...] = (
        lambda: tf.train.Checkpoint(v=variable).restore(str(path)),
        lambda: tf.train.Checkpoint(v=variable).read(str(prefix)),
        lambda: tf.train.list_variables(str(prefix)),
    )
    for read in reads:
        with pytest.raises(ChecksumMismatchError, match=r"saved_model\.pb"):
            read()


def test_model_of_keras_3_in_a_checkpoint(keras: Any, tf: Any, tmp_path: Path) -> None:
    def build() -> Any:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        model.compile("adam", "mse")
        return model

    model, other = build(), build()
    model.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0)
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "ckpt"))
    tf.train.Checkpoint(model=other).restore(path).expect_partial()
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


def test_renamed_checkpoint_is_still_sealed_and_swapped_names_are_refused(
    tf: Any, tmp_path: Path
) -> None:
    for name, value in (("one", 1.0), ("two", 2.0)):
        tf.train.Checkpoint(v=tf.Variable([value] * 9)).write(str(tmp_path / name))
    for path in list(tmp_path.glob("one.*")):
        path.rename(tmp_path / path.name.replace("one", "best"))
    variable = tf.Variable([0.0] * 9)
    tf.train.Checkpoint(v=variable).restore(str(tmp_path / "best"))
    assert variable.numpy().tolist() == [1.0] * 9
    shutil.copy(tmp_path / "two.seal", tmp_path / "best.seal")
    with pytest.raises(ChecksumMismatchError):
        tf.train.Checkpoint(v=variable).restore(str(tmp_path / "best"))
