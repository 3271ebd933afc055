# SPDX-License-Identifier: Apache-2.0
"""Models of several files: unzipped directories and sharded weights."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_integrity_hook import (
    ChecksumMismatchError,
    DamagedFileError,
    IntegrityError,
    MalformedSealError,
    NotAModelError,
    UnreadableFileError,
    UnsealedModelError,
    UnsealedModelWarning,
    seal,
    unseal,
    verify,
)
from keras_integrity_hook.containers import file_set, kinds
from keras_integrity_hook.files import exchange
from keras_integrity_hook.files.atomic import PrivateFile
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.saving import commit
from keras_integrity_hook.verification import verified_directory
from tests.support.descriptors import opened, opened_since
from tests.support.model_kinds import needs

SHARD_SIZE = 0.002  # in units of Keras's max_shard_size, GB: a little over one layer


def build(keras: Any, seed: int = 0, width: int = 700) -> Any:
    """Three layers of about 2 MB each: three shards, and several chunks in each."""
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(width, name=f"dense_{i}") for i in range(3)]
    return keras.Sequential([keras.Input((width,)), *layers])


@pytest.fixture
def model(keras: Any) -> Any:
    return build(keras)


@pytest.fixture
def folder(keras: Any, model: Any, tmp_path: Path) -> Path:
    needs(keras, (3, 4), "unzipped directories")
    path = tmp_path / "model dir"
    keras.saving.save_model(model, path, zipped=False)
    return path


@pytest.fixture
def index(keras: Any, model: Any, tmp_path: Path) -> Path:
    needs(keras, (3, 10), "sharded weights")
    path = tmp_path / "shards" / "w.weights.json"
    path.parent.mkdir()
    model.save_weights(path, max_shard_size=SHARD_SIZE)
    return path


def flip(path: Path, at: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int((len(data) - 1) * at)] ^= 4
    path.write_bytes(data)


def same_weights(one: Any, other: Any) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(left, right) for left, right in pairs)


# --- unzipped directories -----------------------------------------------------------------------


def test_unzipped_directory_is_sealed_and_loads(keras: Any, model: Any, folder: Path) -> None:
    report = verify(folder)
    assert (report.state, report.container, report.others) == ("sealed", "keras-directory", ())
    assert same_weights(keras.saving.load_model(folder), model)


@pytest.mark.parametrize("name", ["config.json", "metadata.json", "model.weights.h5"])
def test_flipped_bit_in_a_file_of_a_directory_is_refused_and_named(
    keras: Any, folder: Path, name: str
) -> None:
    flip(folder / name)
    with pytest.raises(ChecksumMismatchError) as caught:
        keras.saving.load_model(folder)
    assert caught.value.path == str(folder)
    (part,) = caught.value.parts
    assert part.startswith(name)


def test_weights_of_another_sealed_directory_are_refused(
    keras: Any, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    keras.saving.save_model(build(keras, seed=1), other, zipped=False)
    shutil.copy(other / "model.weights.h5", folder)
    with pytest.raises(ChecksumMismatchError, match=r"model\.weights\.h5"):
        keras.saving.load_model(folder)


def test_readme_and_plot_added_later_are_tolerated_and_reported(
    keras: Any, model: Any, folder: Path
) -> None:
    (folder / "README.md").write_text("card")
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets" / "summary_plot.png").write_bytes(b"png")
    assert set(verify(folder).others) == {"README.md", "assets/summary_plot.png"}
    assert same_weights(keras.saving.load_model(folder), model)


@pytest.mark.parametrize("name", ["model.weights.npz", "assets/layer/vocabulary.txt"])
def test_unlisted_file_that_a_loader_reads_is_refused(keras: Any, folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"planted")
    with pytest.raises(ChecksumMismatchError, match="not listed in the seal"):
        keras.saving.load_model(folder)


def test_vocabulary_in_assets_is_covered(keras: Any, tmp_path: Path) -> None:
    needs(keras, (3, 4), "unzipped directories")
    pytest.importorskip("tensorflow")
    layer = keras.layers.StringLookup(name="colours")
    layer.adapt(np.array([["red"], ["green"]]))
    inputs = keras.Input((1,), dtype="string")
    model = keras.Model(inputs, layer(inputs))
    keras.saving.save_model(model, tmp_path / "m", zipped=False)
    loaded = keras.saving.load_model(tmp_path / "m")
    assert loaded.get_layer("colours").get_vocabulary() == layer.get_vocabulary()
    (vocabulary,) = (tmp_path / "m" / "assets").rglob("*.txt")
    vocabulary.write_text(vocabulary.read_text().replace("red", "raw"))
    with pytest.raises(ChecksumMismatchError, match="vocabulary"):
        keras.saving.load_model(tmp_path / "m")


def test_overwritten_directory_keeps_foreign_files_and_no_stale_seal(
    keras: Any, folder: Path
) -> None:
    (folder / "README.md").write_text("card")
    (folder / "docs").mkdir()
    (folder / "docs" / "page.txt").write_text("page")
    second = build(keras, seed=7)
    keras.saving.save_model(second, folder, zipped=False)
    assert (folder / "README.md").read_text() == "card"
    assert (folder / "docs" / "page.txt").read_text() == "page"
    assert same_weights(keras.saving.load_model(folder), second)
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_failing_save_leaves_the_old_directory(keras: Any, model: Any, folder: Path) -> None:
    class Unsaveable(keras.layers.Layer):
        def save_own_variables(self, store: Any) -> None:
            raise RuntimeError("disk on fire")

    broken = keras.Sequential([keras.Input((2,)), Unsaveable()])
    with pytest.raises(RuntimeError, match="fire"):
        keras.saving.save_model(broken, folder, zipped=False)
    assert same_weights(keras.saving.load_model(folder), model)
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_seal_of_a_directory_that_lost_its_files_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(ChecksumMismatchError, match=r"config\.json.* is missing"):
        verify(folder)


# --- a hub -------------------------------------------------------------------------------------


class LocalHub:
    """Stands in for the calls of huggingface_hub that would reach the network."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def HfApi(self, **_: Any) -> LocalHub:  # noqa: N802 - the library's name
        return self

    def create_repo(self, name: str, *, exist_ok: bool) -> Any:
        return type("Url", (str,), {"repo_id": name})(name)

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> None:
        shutil.copytree(folder_path, self.root / "blobs" / repo_id, dirs_exist_ok=True)

    def snapshot_download(self, *, repo_id: str, **_: Any) -> str:
        """As the real one: a directory of symbolic links to blobs."""
        snapshot = self.root / "snapshots" / repo_id
        for blob in (self.root / "blobs" / repo_id).rglob("*"):
            link = snapshot / blob.relative_to(self.root / "blobs" / repo_id)
            if blob.is_file() and not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(blob)
        return str(snapshot)


@pytest.fixture
def hub(keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    needs(keras, (3, 6), "hub client in saving_lib")
    pytest.importorskip("tensorflow")  # Keras looks hf:// up through its file system
    from keras.src.saving import saving_lib

    found = LocalHub(tmp_path / "hub")
    monkeypatch.setattr(saving_lib, "huggingface_hub", found)
    return found


def test_hub_upload_carries_the_seal_and_download_checks_it(
    keras: Any, model: Any, hub: LocalHub
) -> None:
    keras.saving.save_model(model, "hf://me/model")
    uploaded = hub.root / "blobs" / "me" / "model"
    assert {"README.md", "keras_integrity.seal"} <= {path.name for path in uploaded.iterdir()}
    assert same_weights(keras.saving.load_model("hf://me/model"), model)
    flip(uploaded / "config.json")
    with pytest.raises(ChecksumMismatchError, match=r"config\.json"):
        keras.saving.load_model("hf://me/model")


# --- shards ------------------------------------------------------------------------------------


def test_shards_are_sealed_together_and_load(keras: Any, model: Any, index: Path) -> None:
    report = verify(index)
    assert report.container == "keras-shards"
    assert report.seal is not None
    assert len(report.seal.files) == 4
    other = build(keras, seed=5)
    other.load_weights(index)
    assert same_weights(other, model)


def test_shard_of_another_sealed_model_is_refused_and_named(
    keras: Any, index: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "other" / index.name
    foreign.parent.mkdir()
    build(keras, seed=3).save_weights(foreign, max_shard_size=SHARD_SIZE)
    shutil.copy(foreign.parent / "w_00001.weights.h5", index.parent)
    victim = build(keras, seed=4)
    before = victim.get_weights()
    with pytest.raises(ChecksumMismatchError) as caught:
        victim.load_weights(index)
    assert caught.value.parts == ("w_00001.weights.h5: layers/dense_1/vars/0",)
    assert all(map(np.array_equal, victim.get_weights(), before))


def test_missing_shard_is_refused_and_named(model: Any, index: Path) -> None:
    (index.parent / "w_00002.weights.h5").unlink()
    with pytest.raises(ChecksumMismatchError, match=r"'w_00002\.weights\.h5' is missing"):
        model.load_weights(index)


def test_seal_of_other_shards_is_refused(model: Any, index: Path) -> None:
    model.save_weights(index.with_name("other.weights.json"), max_shard_size=0.003)
    shutil.copy(index.with_name("other.weights.json.seal"), f"{index}.seal")
    with pytest.raises(ChecksumMismatchError):
        model.load_weights(index)
    with pytest.raises(ChecksumMismatchError):
        verify(index)


def test_swapped_shards_are_refused(model: Any, index: Path) -> None:
    one, two = index.parent / "w_00000.weights.h5", index.parent / "w_00001.weights.h5"
    one.rename(index.parent / "aside")
    two.rename(one)
    (index.parent / "aside").rename(two)
    with pytest.raises(ChecksumMismatchError):
        model.load_weights(index)


def test_index_pointing_outside_is_never_followed(
    keras: Any, model: Any, index: Path, tmp_path: Path
) -> None:
    content = json.loads(index.read_text())
    elsewhere = "../" + (index.parent / "w_00001.weights.h5").name
    content["weight_map"] = dict.fromkeys(content["weight_map"], elsewhere)
    index.write_text(json.dumps(content))
    with pytest.raises(ChecksumMismatchError):
        model.load_weights(index)
    unseal(index)
    with pytest.raises(DamagedFileError, match="outside its directory"):
        seal(index)


def test_shorter_resave_leaves_no_stale_seal_and_loads(keras: Any, model: Any, index: Path) -> None:
    second = build(keras, seed=9)
    second.save_weights(index, max_shard_size=1.0)
    assert len(verify(index).seal.files) == 2  # type: ignore[union-attr]
    model.load_weights(index)
    assert same_weights(model, second)


def test_index_named_h5_is_sealed_under_the_name_keras_gives_it(
    keras: Any, model: Any, tmp_path: Path
) -> None:
    needs(keras, (3, 10), "sharded weights")
    with pytest.warns(UserWarning, match="renamed"):
        model.save_weights(tmp_path / "w.weights.h5", max_shard_size=SHARD_SIZE)
    assert verify(tmp_path / "w.weights.json").state == "sealed"


def test_missing_index_stays_an_error_of_keras(keras: Any, model: Any, tmp_path: Path) -> None:
    needs(keras, (3, 10), "sharded weights")
    with pytest.raises(FileNotFoundError):
        model.load_weights(tmp_path / "none.weights.json")


# --- both --------------------------------------------------------------------------------------


def test_unsealed_sets_warn_once_or_are_refused(
    keras: Any, model: Any, folder: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseal(folder)
    unseal(index)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        keras.saving.load_model(folder)
        model.load_weights(index)
        model.load_weights(index)
    assert len([w for w in warned if w.category is UnsealedModelWarning]) == 2
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(UnsealedModelError):
        keras.saving.load_model(folder)
    with pytest.raises(UnsealedModelError):
        model.load_weights(index)


# What the reader of the weights then finds is a file without a seal of its own.
@pytest.mark.filterwarnings("ignore::keras_integrity_hook.UnsealedModelWarning")
def test_mode_warn_reports_damage_and_loads(
    keras: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "metadata.json").write_text("{}")
    monkeypatch.setenv("KERAS_INTEGRITY", "warn")
    with pytest.warns(UserWarning, match=r"metadata\.json"):
        keras.saving.load_model(folder)


def test_seal_and_unseal_of_a_set(folder: Path) -> None:
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and "seal" not in p.name}
    assert unseal(folder).state == "unsealed"
    assert seal(folder).state == "sealed"
    verify(folder)
    assert all(path.read_bytes() == data for path, data in before.items())


@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "empty", "of a file"])
def test_damaged_seal_of_a_set_is_refused(
    keras: Any, folder: Path, tmp_path: Path, damage: str
) -> None:
    path = folder / "keras_integrity.seal"
    data = path.read_bytes()
    if damage == "of a file":
        sealed = tmp_path / "m.weights.h5"
        build(keras).save_weights(sealed)
        path.write_bytes(sealed.read_bytes()[: verify(sealed).seal.block_size])  # type: ignore[union-attr]
    else:
        flipped = bytes([data[200] ^ 1])
        changed = {
            "flip": data[:200] + flipped + data[201:],
            "cut": data[:-1],
            "longer": data + b"\0",
            "empty": b"",
        }
        path.write_bytes(changed[damage])
    with pytest.raises(MalformedSealError):
        keras.saving.load_model(folder)


def change_after_check(
    monkeypatch: pytest.MonkeyPatch, path: Path, change: Callable[[Path], None]
) -> None:
    """Apply ``change`` between the check and the use."""
    original = verified_directory.VerifiedDirectory.__init__

    def patched(self: Any, *args: Any) -> None:
        original(self, *args)
        change(path)

    monkeypatch.setattr(verified_directory.VerifiedDirectory, "__init__", patched)


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_replaced_file_does_not_change_what_is_loaded_from_a_directory(
    keras: Any, model: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def replace(path: Path) -> None:
        evil = path.with_name("evil")
        evil.write_bytes(b"evil")
        evil.replace(path)

    change_after_check(monkeypatch, folder / name, replace)
    assert same_weights(keras.saving.load_model(folder), model)
    assert (folder / name).read_bytes() == b"evil"


def test_file_rewritten_in_place_without_a_lease_is_never_parsed(
    keras: Any, model: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = folder / "model.weights.h5"
    # A descriptor open for writing is what makes the kernel refuse a read lease.
    with weights.open("r+b") as writer:

        def rewrite(path: Path) -> None:
            writer.seek(0)
            writer.write(bytes(weights.stat().st_size))
            writer.flush()

        change_after_check(monkeypatch, weights, rewrite)
        assert same_weights(keras.saving.load_model(folder), model)


def test_private_directories_are_removed(
    keras: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    keras.saving.load_model(folder)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_no_descriptor_is_left_open(keras: Any, folder: Path, index: Path) -> None:
    model = keras.saving.load_model(folder)
    before = opened()
    for _ in range(3):
        keras.saving.load_model(folder)
        model.load_weights(index)
        verify(folder)
    assert not opened_since(before)


# --- what a set is -----------------------------------------------------------------------------


def small_set(tmp_path: Path, *names: bytes) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    for part in ("config.json", "metadata.json", "model.weights.h5"):
        (folder / part).write_text("{}")
    for name in names:
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(name)
    return folder


def test_names_that_are_not_utf8_are_covered(tmp_path: Path) -> None:
    name = b"assets/caf\xe9 100%.txt"
    folder = small_set(tmp_path, name, b"assets/back\\slash")
    seal(folder)
    verify(folder)
    with open(os.path.join(os.fsencode(folder), name), "ab") as file:
        file.write(b"!")
    with pytest.raises(ChecksumMismatchError, match=r"caf\\xe9 100%\.txt.* is longer"):
        verify(folder)


@pytest.mark.parametrize(
    "name", ["a", "%", "%41", "caf\udce9", "a\\b", "tab\t", "é/ü", "\U0001f600"]
)
def test_escaped_names_come_back(name: str) -> None:
    assert file_set.unescape(file_set.escape(name)) == name


@pytest.mark.parametrize("name", ["%41", "%5c", "a%00b", "%C3%A9"])
def test_odd_spellings_of_names_are_refused(name: str) -> None:
    with pytest.raises(MalformedSealError):
        file_set.unescape(name)


def test_thousands_of_files_are_checked_with_few_descriptors(tmp_path: Path) -> None:
    folder = small_set(tmp_path, *(b"assets/%04d" % number for number in range(3000)))
    report = seal(folder)
    assert report.seal is not None
    assert len(report.seal.files) == 3003
    verify(folder)
    (folder / "assets" / "1234").write_bytes(b"assets/1235")
    with pytest.raises(ChecksumMismatchError, match="assets/1234"):
        verify(folder)


def test_renamed_and_case_changed_members_are_refused(tmp_path: Path) -> None:
    folder = small_set(tmp_path, b"assets/a", b"assets/b")
    seal(folder)
    (folder / "assets" / "a").rename(folder / "assets" / "A")
    with pytest.raises(ChecksumMismatchError, match="'assets/a' is missing"):
        verify(folder)


def test_case_colliding_extra_member_is_refused(tmp_path: Path) -> None:
    folder = small_set(tmp_path)
    seal(folder)
    (folder / "Config.json").write_text('{"evil": 1}')
    with pytest.raises(ChecksumMismatchError, match=r"Config\.json.* not listed"):
        verify(folder)


def test_symlinked_and_hard_linked_members_are_checked_by_content(tmp_path: Path) -> None:
    folder = small_set(tmp_path, b"assets/a", b"assets/b")
    seal(folder)
    outside = tmp_path / "outside"
    (folder / "assets" / "a").rename(outside)
    (folder / "assets" / "a").symlink_to(outside)
    os.link(folder / "assets" / "b", tmp_path / "hard link")
    verify(folder)
    (tmp_path / "hard link").write_bytes(b"assets/B")
    with pytest.raises(ChecksumMismatchError, match="assets/b"):
        verify(folder)


@pytest.mark.parametrize("kind", ["directory", "fifo", "dangling link", "device"])
def test_member_that_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    folder = small_set(tmp_path, b"assets/a")
    seal(folder)
    member = folder / "assets" / "a"
    member.unlink()
    make: dict[str, Callable[[], Any]] = {
        "directory": member.mkdir,
        "fifo": lambda: os.mkfifo(member),
        "dangling link": lambda: member.symlink_to(tmp_path / "nowhere"),
        "device": lambda: member.symlink_to("/dev/zero"),
    }
    make[kind]()
    with pytest.raises((UnreadableFileError, ChecksumMismatchError)):
        verify(folder)


def test_linked_directory_inside_a_set_is_not_sealed(tmp_path: Path) -> None:
    folder = small_set(tmp_path, b"assets/a")
    (folder / "assets" / "loop").symlink_to(folder)
    with pytest.raises(UnreadableFileError, match="loop"):
        seal(folder)


def test_directory_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="is a directory"):
        verify(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"weight_map": 1}', "[" * 100_000, '{"weight_map": {"a": [1]}}']
)
def test_index_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "w.weights.json").write_text(text)
    with pytest.raises((DamagedFileError, NotAModelError)):
        seal(tmp_path / "w.weights.json")


def test_refusal_of_a_set_is_logged_once(
    keras: Any, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flip(folder / "config.json")
    with pytest.raises(IntegrityError):
        keras.saving.load_model(folder)
    assert [r for r in caplog.records if r.name == load.__name__.partition(".")[0]]


def test_save_of_shards_interrupted_at_any_rename_is_finished_by_the_next_load(
    keras: Any, model: Any, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = build(keras, seed=8)
    real = os.rename

    class Killed(BaseException):
        pass

    for last in range(4):
        model.save_weights(index, max_shard_size=SHARD_SIZE)
        left = [last]

        def die(*args: Any, left: list[int] = left, **kwargs: Any) -> None:
            if not left[0]:
                raise Killed
            left[0] -= 1
            real(*args, **kwargs)

        monkeypatch.setattr("os.rename", die)
        left[0] += 2  # the seal among the new files; and what decides
        with pytest.raises(Killed):
            second.save_weights(index, max_shard_size=SHARD_SIZE)
        monkeypatch.setattr("os.rename", real)
        other = build(keras, seed=6)
        other.load_weights(index)
        assert same_weights(other, second)
        assert verify(index).state == "sealed"
        assert not [path for path in index.parent.iterdir() if path.is_dir()]


def committed(index: Path) -> Path:
    """Where a save of shards is for the moment it takes to rename its files."""
    place = kinds.Place(kinds.KERAS_SHARDS, str(index.parent), index.name)
    return index.with_name(commit.committed_name(place))


def test_half_replaced_set_that_may_not_be_finished_is_refused(keras: Any, index: Path) -> None:
    before = index.with_name(index.name + ".seal").read_bytes()
    build(keras, seed=8).save_weights(index, max_shard_size=SHARD_SIZE)
    index.with_name(index.name + ".seal").write_bytes(before)
    committed(index).write_text("no directory")
    with pytest.raises(ChecksumMismatchError):
        build(keras).load_weights(index)


@pytest.mark.parametrize("how", ["a link", "a directory that others can write"])
def test_planted_rest_of_a_save_moves_nothing(
    keras: Any, model: Any, index: Path, tmp_path: Path, how: str
) -> None:
    """A repository or an archive may carry one, and anybody may in a directory like /tmp."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "id_rsa").write_text("secret")
    (victim / index.name).write_text("{}")
    if how == "a link":
        committed(index).symlink_to(victim)
    else:
        victim.rename(committed(index))
        committed(index).chmod(0o755)
    other = build(keras, seed=5)
    other.load_weights(index)
    assert same_weights(other, model)
    assert (committed(index) / "id_rsa").read_text() == "secret"
    assert not (index.parent / "id_rsa").exists()


def test_rest_of_a_save_moves_files_of_the_set_alone(keras: Any, model: Any, index: Path) -> None:
    place = committed(index)
    place.mkdir(mode=0o700)
    (place / "notes.txt").write_text("mine")
    (place / "w_00001.weights.h5.d").mkdir()
    build(keras, seed=5).load_weights(index)
    assert (place / "notes.txt").exists()
    assert not (index.parent / "notes.txt").exists()


def test_save_into_a_directory_keeps_what_is_the_users(
    keras: Any, model: Any, folder: Path
) -> None:
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets" / "logo.png").write_bytes(b"logo")
    (folder / "empty").mkdir()
    (folder / "private").mkdir(mode=0o700)
    (folder / "private" / "key").write_text("k")
    (folder / "config.json.bak").write_text("{}")
    keras.saving.save_model(model, folder, zipped=False)
    assert (folder / "assets" / "logo.png").read_bytes() == b"logo"
    assert (folder / "empty").is_dir()
    assert (folder / "private").stat().st_mode & 0o777 == 0o700
    assert (folder / "config.json.bak").exists()
    assert same_weights(keras.saving.load_model(folder), model)


def test_file_made_in_a_directory_while_it_is_saved_is_kept(
    keras: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap = exchange._exchange

    def late(made: PrivateFile) -> bool:
        Path(made.target.path, "events.log").write_text("late")
        return swap(made)

    monkeypatch.setattr(exchange, "_exchange", late)
    keras.saving.save_model(build(keras, seed=3), folder, zipped=False)
    assert (folder / "events.log").read_text() == "late"


def test_directory_that_cannot_be_exchanged_is_overwritten_in_place(
    keras: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "README.md").write_text("card")
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets" / "words.txt").write_text("of the old model")
    unseal(folder)
    seal(folder)
    monkeypatch.setattr(exchange, "_exchange", lambda made: False)
    second = build(keras, seed=3)
    keras.saving.save_model(second, folder, zipped=False)
    assert same_weights(keras.saving.load_model(folder), second)
    assert verify(folder).others == ("README.md",)
    assert not (folder / "assets" / "words.txt").exists()


def test_layer_that_keeps_the_path_of_its_assets_can_read_them_later(
    keras: Any, tmp_path: Path
) -> None:
    needs(keras, (3, 4), "unzipped directories")

    @keras.saving.register_keras_serializable("tests", "Notes")
    class Notes(keras.layers.Layer):
        path = ""

        def save_assets(self, folder: str) -> None:
            Path(folder, "notes.txt").write_text("notes")

        def load_assets(self, folder: str) -> None:
            self.path = folder

        def call(self, x: Any) -> Any:
            return x

    model = keras.Sequential([keras.Input((2,)), Notes()])
    keras.saving.save_model(model, tmp_path / "m", zipped=False)
    loaded = keras.saving.load_model(tmp_path / "m")
    assert Path(loaded.layers[0].path, "notes.txt").read_text() == "notes"


def test_linked_directory_in_place_of_one_that_is_covered_is_not_sealed(tmp_path: Path) -> None:
    folder = small_set(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "vocabulary.txt").write_text("v")
    (folder / "assets").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnreadableFileError, match="assets"):
        seal(folder)


def test_set_with_a_long_name_is_saved(keras: Any, model: Any, tmp_path: Path) -> None:
    needs(keras, (3, 10), "sharded weights")
    path = tmp_path / ("w" * 210 + ".weights.json")
    model.save_weights(path, max_shard_size=SHARD_SIZE)
    assert verify(path).state == "sealed"
