# SPDX-License-Identifier: Apache-2.0
"""SavedModels: export, tf.saved_model, TFSMLayer, and TensorFlow 1's ways."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_integrity_hook import (
    ChecksumMismatchError,
    IntegrityError,
    UnsealedModelError,
    UnsealedModelWarning,
    unseal,
    verify,
)
from keras_integrity_hook.verification import handed_out, verified_directory
from tests.support.model_kinds import export

FILES = (
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
)
INPUT = np.ones((2, 8), dtype="float32")


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow")


def build(keras: Any, seed: int = 0, width: int = 300) -> Any:
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(width), keras.layers.Dense(4)])


@pytest.fixture
def model(keras: Any) -> Any:
    return build(keras)


@pytest.fixture
def exported(keras: Any, tf: Any, model: Any, tmp_path: Path) -> Path:
    path = tmp_path / "exported model"
    export(model, path)
    return path


@pytest.fixture
def with_table(keras: Any, tf: Any, tmp_path: Path) -> Path:
    """A SavedModel with an asset: a vocabulary."""
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("red\ngreen\n")

    class Words(tf.Module):
        def __init__(self) -> None:
            source = tf.lookup.TextFileInitializer(
                str(vocabulary),
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            )
            self.table = tf.lookup.StaticHashTable(source, -1)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # type: ignore[untyped-decorator, unused-ignore]
        def find(self, words: Any) -> Any:
            return self.table.lookup(words)

    path = tmp_path / "with table"
    tf.saved_model.save(Words(), str(path))
    vocabulary.unlink()
    return path


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_export_is_sealed_and_loads(tf: Any, model: Any, exported: Path) -> None:
    report = verify(exported)
    assert (report.state, report.container) == ("sealed", "saved-model")
    loaded = tf.saved_model.load(str(exported))
    np.testing.assert_allclose(loaded.serve(INPUT), model(INPUT), rtol=1e-5)


@pytest.mark.parametrize("name", FILES)
def test_flipped_bit_in_a_file_of_a_saved_model_is_refused_and_named(
    tf: Any, exported: Path, name: str
) -> None:
    flip(exported / name)
    with pytest.raises(ChecksumMismatchError) as caught:
        tf.saved_model.load(str(exported))
    assert caught.value.parts == (name,)


def test_swapped_variables_of_another_sealed_model_are_refused(
    keras: Any, tf: Any, exported: Path, tmp_path: Path
) -> None:
    export(build(keras, seed=1), tmp_path / "other")
    shutil.rmtree(exported / "variables")
    shutil.copytree(tmp_path / "other" / "variables", exported / "variables")
    with pytest.raises(ChecksumMismatchError, match="variables/"):
        tf.saved_model.load(str(exported))


def test_edited_asset_is_refused(tf: Any, with_table: Path) -> None:
    (with_table / "assets" / "words.txt").write_text("green\nred\n")
    with pytest.raises(ChecksumMismatchError, match=r"assets/words\.txt"):
        tf.saved_model.load(str(with_table))


@pytest.mark.parametrize("name", ["saved_model.pbtxt", "saved_model.cpb", "keras_metadata.pb"])
def test_planted_file_that_a_loader_reads_is_refused(tf: Any, exported: Path, name: str) -> None:
    (exported / name).write_bytes(b"planted")
    with pytest.raises(ChecksumMismatchError, match="not listed in the seal"):
        tf.saved_model.load(str(exported))


def test_warm_up_requests_added_later_are_tolerated_and_reported(tf: Any, exported: Path) -> None:
    (exported / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"requests")
    assert verify(exported).others == ("assets.extra/tf_serving_warmup_requests",)
    tf.saved_model.load(str(exported))


def test_reexport_leaves_no_stale_seal_and_keeps_foreign_files(
    keras: Any, tf: Any, exported: Path
) -> None:
    (exported / "assets.extra" / "warm_up").write_bytes(b"requests")
    first = verify(exported).seal
    second = build(keras, seed=2)
    export(second, exported)
    again = verify(exported)
    assert first is not None
    assert again.seal is not None
    assert again.seal.root != first.root
    assert again.others == ("assets.extra/warm_up",)
    loaded = tf.saved_model.load(str(exported))
    np.testing.assert_allclose(loaded.serve(INPUT), second(INPUT), rtol=1e-5)


def test_failing_export_leaves_the_old_model(keras: Any, tf: Any, exported: Path) -> None:
    before = {path: path.read_bytes() for path in exported.rglob("*") if path.is_file()}
    with pytest.raises(Exception, match=r"."):
        tf.saved_model.save(object(), str(exported))
    assert {p: p.read_bytes() for p in exported.rglob("*") if p.is_file()} == before
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]


def test_layer_from_a_saved_model_is_checked(keras: Any, tf: Any, exported: Path) -> None:
    layer = keras.layers.TFSMLayer(exported, call_endpoint="serve")
    assert layer(INPUT).shape == (2, 4)
    flip(exported / "saved_model.pb")
    with pytest.raises(ChecksumMismatchError):
        keras.layers.TFSMLayer(exported, call_endpoint="serve")


def test_saved_model_pulled_in_by_the_config_of_another_model_is_checked(
    keras: Any, tf: Any, exported: Path, tmp_path: Path
) -> None:
    """CVE-2026-1462: a model that names a second one, which somebody exchanges."""
    outer = keras.Sequential(
        [keras.Input((8,)), keras.layers.TFSMLayer(str(exported), call_endpoint="serve")]
    )
    outer.save(tmp_path / "outer.keras")
    keras.saving.load_model(tmp_path / "outer.keras", safe_mode=False)
    flip(exported / "variables" / "variables.data-00000-of-00001")
    with pytest.raises(ChecksumMismatchError) as caught:
        keras.saving.load_model(tmp_path / "outer.keras", safe_mode=False)
    assert caught.value.path == str(exported)


def test_unsealed_saved_model_warns_or_is_refused(
    tf: Any, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseal(exported)
    with pytest.warns(UnsealedModelWarning):
        tf.saved_model.load(str(exported))
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(UnsealedModelError):
        tf.saved_model.load(str(exported))


def test_loaded_model_can_be_exported_again_with_its_assets(
    tf: Any, with_table: Path, tmp_path: Path
) -> None:
    loaded = tf.saved_model.load(str(with_table))
    for target in (tmp_path / "again", with_table):
        tf.saved_model.save(loaded, str(target))
        found = tf.saved_model.load(str(target)).find(tf.constant(["green", "blue"]))
        assert found.numpy().tolist() == [1, -1]


def test_private_copies_end_with_what_was_loaded(
    tf: Any, with_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    loaded = tf.saved_model.load(str(with_table))
    assert [p.name for p in (tmp_path / "tmp").rglob("*.txt")] == ["words.txt"]
    del loaded
    gc.collect()
    assert list((tmp_path / "tmp").iterdir()) == []


def between_check_and_use(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    original = verified_directory.VerifiedDirectory.__init__

    def patched(self: Any, *args: Any) -> None:
        original(self, *args)
        act()

    monkeypatch.setattr(verified_directory.VerifiedDirectory, "__init__", patched)


@pytest.mark.parametrize("name", FILES)
def test_file_replaced_after_the_check_is_not_what_is_loaded(
    tf: Any, model: Any, exported: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def replace() -> None:
        (exported / "evil").write_bytes(b"evil")
        (exported / "evil").replace(exported / name)

    between_check_and_use(monkeypatch, replace)
    loaded = tf.saved_model.load(str(exported))
    np.testing.assert_allclose(loaded.serve(INPUT), model(INPUT), rtol=1e-5)


def test_large_file_open_for_writing_is_copied_before_the_check(
    keras: Any, tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(keras, width=30_000)  # variables too large to be held in memory
    export(model, tmp_path / "m")
    data = tmp_path / "m" / FILES[3]
    with data.open("r+b") as writer:

        def rewrite() -> None:
            writer.write(bytes(data.stat().st_size))
            writer.flush()

        between_check_and_use(monkeypatch, rewrite)
        loaded = tf.saved_model.load(str(tmp_path / "m"))
    np.testing.assert_allclose(loaded.serve(INPUT), model(INPUT), rtol=1e-4)


def test_writer_waits_until_a_saved_model_is_loaded(
    keras: Any, tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(keras, width=30_000)
    export(model, tmp_path / "m")
    data = tmp_path / "m" / FILES[3]
    script = f"open({str(data)!r}, 'r+b').write(bytes(1 << 20))"
    writers = []

    def start_writer() -> None:
        writers.append(subprocess.Popen([sys.executable, "-S", "-c", script]))
        time.sleep(0.5)  # long enough for it to have written, were it not held up

    between_check_and_use(monkeypatch, start_writer)
    # The kernel tells of the writer; the content is as checked, so the load is good.
    loaded = tf.saved_model.load(str(tmp_path / "m"))
    np.testing.assert_allclose(loaded.serve(INPUT), model(INPUT), rtol=1e-4)
    assert writers[0].wait(timeout=100) == 0
    with pytest.raises(ChecksumMismatchError):
        tf.saved_model.load(str(tmp_path / "m"))


def test_loading_into_a_graph_reads_checked_bytes_later(
    tf: Any, model: Any, exported: Path
) -> None:
    with tf.Graph().as_default():
        loaded = tf.saved_model.load(str(exported))
        output = loaded.signatures["serve"](tf.constant(INPUT))
        shutil.rmtree(exported / "variables")
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            (value,) = session.run(output).values()
    np.testing.assert_allclose(value, model(INPUT), rtol=1e-5)


def test_version_1_loader_is_checked(tf: Any, exported: Path) -> None:
    loader = tf.compat.v1.saved_model.loader
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loader.load(session, ["serve"], str(exported))
    flip(exported / "variables" / "variables.index")
    with (
        tf.Graph().as_default(),
        tf.compat.v1.Session() as session,
        pytest.raises(ChecksumMismatchError),
    ):
        loader.load(session, ["serve"], str(exported))


def test_version_1_builder_seals(tf: Any, tmp_path: Path) -> None:
    builder = tf.compat.v1.saved_model.Builder(str(tmp_path / "v1"))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.get_variable("v", (3,))
        session.run(tf.compat.v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(session, ["serve"])
        builder.save()
    assert verify(tmp_path / "v1").state == "sealed"
    tf.saved_model.load(str(tmp_path / "v1"))


def test_bytes_path_is_no_way_around(tf: Any, exported: Path) -> None:
    flip(exported / "saved_model.pb")
    with pytest.raises(IntegrityError):
        tf.saved_model.load(os.fsencode(exported))


def test_log_of_tensorflow_names_the_users_path(
    tf: Any, with_table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger = tf.get_logger()
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level("INFO", logger="tensorflow"):
            tf.saved_model.save(tf.saved_model.load(str(with_table)), str(tmp_path / "again"))
    finally:
        logger.removeHandler(caplog.handler)
    texts = [record.getMessage() for record in caplog.records if "Assets" in record.getMessage()]
    assert texts
    assert all(f"{tmp_path / 'again'}/assets" in text for text in texts)


def test_file_url_is_no_way_around(tf: Any, exported: Path) -> None:
    flip(exported / "saved_model.pb")
    with pytest.raises(IntegrityError):
        tf.saved_model.load(f"file://{exported}")


def test_asset_is_there_for_a_function_that_outlives_what_was_loaded(
    tf: Any, tmp_path: Path
) -> None:
    (tmp_path / "words.txt").write_text("hello")

    class Reader(tf.Module):
        def __init__(self) -> None:
            self.asset = tf.saved_model.Asset(str(tmp_path / "words.txt"))

        @tf.function(input_signature=[])  # type: ignore[untyped-decorator, unused-ignore]
        def read(self) -> Any:
            return {"text": tf.io.read_file(self.asset)}

    module = Reader()
    signatures = {"serving_default": module.read}
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=signatures)
    function = tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"]
    gc.collect()
    assert function()["text"].numpy() == b"hello"


def test_end_of_a_forked_child_takes_nothing_from_its_parent(tf: Any, with_table: Path) -> None:
    loaded = tf.saved_model.load(str(with_table))
    kept = [
        path for path in tuple(handed_out._others) if os.path.isdir(os.path.join(path, "assets"))
    ]
    assert kept
    child = os.fork()
    if child == 0:
        weakref.finalize._exitfunc()  # type: ignore[attr-defined] # what a normal exit runs
        os._exit(0)
    os.waitpid(child, 0)
    assert all(os.path.isdir(path) for path in kept)
    del loaded
