# SPDX-License-Identifier: Apache-2.0
"""KerasHub: presets are sealed and verified as a whole; LoRA weights. Skipped without KerasHub."""

from __future__ import annotations

import json
import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_integrity_hook import (
    ChecksumMismatchError,
    IntegrityError,
    UnsealedModelError,
    UnsealedModelWarning,
    seal,
    unseal,
    verify,
)

WORDS = ("the", "quick", "brown", "fox")
SEAL = "keras_integrity_preset.seal"


@pytest.fixture(scope="module")
def hub(keras: Any) -> Any:
    return pytest.importorskip("keras_hub")


@pytest.fixture(autouse=True)
def warnings_of_seals_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnsealedModelWarning)
        yield


def backbone(hub: Any, seed: int = 0) -> Any:
    import keras

    keras.utils.set_random_seed(seed)
    return hub.models.BertBackbone(
        vocabulary_size=9,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=8,
    )


def tokenizer(hub: Any, words: tuple[str, ...] = WORDS) -> Any:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return hub.models.BertTokenizer(vocabulary=[*special, *words])


def classifier(hub: Any, seed: int = 0) -> Any:
    prepare = hub.models.BertTextClassifierPreprocessor(tokenizer(hub), sequence_length=8)
    return hub.models.BertTextClassifier(backbone(hub, seed), 2, preprocessor=prepare)


@pytest.fixture
def preset(hub: Any, tmp_path: Path) -> Path:
    classifier(hub).save_to_preset(str(tmp_path / "preset"))
    return tmp_path / "preset"


def load(hub: Any, preset: Path) -> Any:
    return hub.models.TextClassifier.from_preset(str(preset))


def same_weights(one: Any, other: Any) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(left, right) for left, right in pairs)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def content(top: Path) -> dict[str, bytes]:
    return {str(p.relative_to(top)): p.read_bytes() for p in top.rglob("*") if p.is_file()}


# --- whole presets ------------------------------------------------------------------------------


def test_preset_is_sealed_as_a_whole_and_loads(hub: Any, preset: Path) -> None:
    report = verify(preset)
    assert (report.state, report.container, report.others) == ("sealed", "keras-hub-preset", ())
    assert report.seal is not None
    listed = {member.name for member in report.seal.files}
    assert listed == content(preset).keys() - {SEAL}
    assert {"task.json", "assets/tokenizer/vocabulary.txt", "task.weights.h5"} <= listed
    assert os.listdir(preset.parent) == [preset.name]
    loaded = load(hub, preset)
    assert same_weights(loaded, classifier(hub))
    tokens = tokenizer(hub)(["the fox"])
    assert np.array_equal(loaded.preprocessor.tokenizer(["the fox"]), tokens)


def test_every_part_of_a_preset_can_be_loaded_by_itself(hub: Any, preset: Path) -> None:
    assert same_weights(hub.models.Backbone.from_preset(str(preset)), backbone(hub))
    loaded = hub.tokenizers.Tokenizer.from_preset(preset=str(preset))
    assert loaded.get_vocabulary() == tokenizer(hub).get_vocabulary()
    made = hub.models.TextClassifierPreprocessor.from_preset(str(preset))
    assert made.sequence_length == 8
    # Its weights are a model file like any other too.
    other = backbone(hub, seed=1)
    other.load_weights(preset / "model.weights.h5")
    assert same_weights(other, backbone(hub))


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "metadata.json",
        "task.json",
        "preprocessor.json",
        "tokenizer.json",
        "assets/tokenizer/vocabulary.txt",
        "model.weights.h5",
        "task.weights.h5",
    ],
)
def test_flipped_bit_anywhere_in_a_preset_is_refused_and_named(
    hub: Any, preset: Path, name: str
) -> None:
    flip(preset / name)
    for part in (hub.models.TextClassifier, hub.models.Backbone, hub.tokenizers.Tokenizer):
        with pytest.raises(ChecksumMismatchError) as caught:
            part.from_preset(str(preset))
        assert caught.value.path == str(preset)
        assert caught.value.parts[0].startswith(name)


@pytest.mark.parametrize("name", ["model.weights.h5", "config.json", "tokenizer.json"])
def test_sealed_file_of_another_preset_is_refused(
    hub: Any, preset: Path, tmp_path: Path, name: str
) -> None:
    other = tmp_path / "other"
    made = classifier(hub, seed=1)
    made.preprocessor.tokenizer.lowercase = not made.preprocessor.tokenizer.lowercase
    made.save_to_preset(str(other))
    edited = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(edited, indent=3))
    shutil.copy(other / name, preset / name)
    with pytest.raises(ChecksumMismatchError, match=name):
        load(hub, preset)


@pytest.mark.parametrize("name", ["audio_converter.json", "assets/tokenizer/merges.txt"])
def test_planted_file_is_refused(hub: Any, preset: Path, name: str) -> None:
    (preset / name).write_text("{}")
    with pytest.raises(ChecksumMismatchError, match="not listed in the seal"):
        load(hub, preset)


def test_missing_file_is_refused(hub: Any, preset: Path) -> None:
    (preset / "task.weights.h5").unlink()  # KerasHub would start with random ones
    with pytest.raises(ChecksumMismatchError, match=r"task\.weights\.h5' is missing"):
        load(hub, preset)


def test_error_of_keras_hub_names_the_preset_as_the_user_does(hub: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "preset")
    backbone(hub).save_to_preset(path)
    with pytest.raises(FileNotFoundError, match=rf"tokenizer\.json.*`{path}`"):
        hub.models.BertTokenizer.from_preset(path)


def test_log_file_beside_a_preset_is_no_part_of_it(hub: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "train.log").write_text("loss")
    backbone(hub).save_to_preset(str(tmp_path / "run"))
    report = verify(tmp_path / "run")
    assert (report.state, report.others) == ("sealed", ("train.log",))


def test_preset_saved_in_the_working_directory_leaves_it_usable(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    backbone(hub).save_to_preset(".")
    tokenizer(hub).save_to_preset(".")
    assert os.getcwd() == str(tmp_path)
    assert Path("tokenizer.json").exists()
    assert verify(".").state == "sealed"
    assert same_weights(hub.models.Backbone.from_preset("."), backbone(hub))


def test_model_card_is_tolerated_and_kept(hub: Any, preset: Path) -> None:
    (preset / "README.md").write_text("card")
    assert verify(preset).others == ("README.md",)
    load(hub, preset).save_to_preset(str(preset))
    assert (preset / "README.md").read_text() == "card"
    assert verify(preset).state == "sealed"


def test_vocabulary_swapped_after_the_check_is_not_read(
    hub: Any, preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_hub.src.utils import preset_utils

    original = preset_utils.check_file_exists

    def swap_first(*arguments: Any) -> Any:
        vocabulary = preset / "assets" / "tokenizer" / "vocabulary.txt"
        vocabulary.write_text(vocabulary.read_text().replace("fox", "dog"))
        return original(*arguments)

    monkeypatch.setattr(preset_utils, "check_file_exists", swap_first)
    loaded = hub.tokenizers.Tokenizer.from_preset(str(preset))
    assert "dog" in (preset / "assets" / "tokenizer" / "vocabulary.txt").read_text()
    assert loaded.get_vocabulary() == tokenizer(hub).get_vocabulary()


def test_shipped_preset_is_not_mistaken_for_a_directory_of_its_name(
    hub: Any, preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_hub.src.utils import preset_utils

    backbone(hub, seed=5).save_to_preset(str(tmp_path / "shipped"))
    shipped = {"shipped": {"kaggle_handle": str(preset)}}
    monkeypatch.setattr(preset_utils, "BUILTIN_PRESETS", shipped)
    monkeypatch.chdir(tmp_path)
    assert same_weights(hub.models.Backbone.from_preset("shipped"), backbone(hub))


def test_sharded_preset_is_sealed_and_a_damaged_shard_is_named(hub: Any, tmp_path: Path) -> None:
    path = tmp_path / "sharded"
    made = backbone(hub)
    made.save_to_preset(str(path), max_shard_size=2e-6)
    shards = sorted(path.glob("model_*.weights.h5"))
    assert len(shards) > 1
    assert verify(path).state == "sealed"
    assert verify(path / "model.weights.json").state == "sealed"
    assert same_weights(hub.models.Backbone.from_preset(str(path)), made)
    flip(shards[1])
    with pytest.raises(ChecksumMismatchError, match=shards[1].name):
        hub.models.Backbone.from_preset(str(path))


# --- presets without a seal ---------------------------------------------------------------------


def test_unsealed_preset_warns_or_is_refused(
    hub: Any, preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseal(preset)
    with pytest.warns(UnsealedModelWarning, match="preset"):
        load(hub, preset)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(UnsealedModelError):
        load(hub, preset)


def test_unsealed_preset_can_be_sealed(hub: Any, preset: Path) -> None:
    unseal(preset)
    assert seal(preset).container == "keras-hub-preset"
    assert same_weights(load(hub, preset), classifier(hub))


# --- presets saved part by part -----------------------------------------------------------------


def test_parts_saved_one_after_the_other_are_sealed_together(hub: Any, tmp_path: Path) -> None:
    path = tmp_path / "new" / "preset"
    backbone(hub).save_to_preset(str(path))
    tokenizer(hub).save_to_preset(preset_dir=str(path))
    report = verify(path)
    assert report.seal is not None
    names = {member.name for member in report.seal.files}
    assert {"config.json", "tokenizer.json", "assets/tokenizer/vocabulary.txt"} <= names
    assert same_weights(hub.models.Backbone.from_preset(str(path)), backbone(hub))


def test_part_saved_beside_damaged_weights_gives_them_no_fresh_seal(hub: Any, preset: Path) -> None:
    flip(preset / "model.weights.h5")
    before = content(preset)
    with pytest.raises(ChecksumMismatchError, match=r"model\.weights\.h5"):
        tokenizer(hub, ("other",)).save_to_preset(str(preset))
    assert content(preset) == before


def test_part_saved_beside_unsealed_weights_gives_them_no_seal(
    hub: Any, preset: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unseal(preset)
    with caplog.at_level(logging.WARNING, "keras_integrity_hook"):
        tokenizer(hub, ("other",)).save_to_preset(str(preset))
    assert "older files without a seal" in caplog.text
    assert verify(preset).state == "unsealed"
    assert "other" in (preset / "assets" / "tokenizer" / "vocabulary.txt").read_text()


def test_whole_save_over_a_damaged_preset_repairs_it(hub: Any, preset: Path) -> None:
    flip(preset / "model.weights.h5")
    (preset / SEAL).write_bytes(b"rubbish")
    classifier(hub, seed=3).save_to_preset(str(preset))
    assert same_weights(load(hub, preset), classifier(hub, seed=3))


def test_save_that_fails_leaves_the_preset_as_it_was(
    hub: Any, preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(preset)
    made = classifier(hub, seed=3)
    monkeypatch.setattr(type(made.preprocessor.tokenizer), "save_assets", None)
    with pytest.raises(TypeError):
        made.save_to_preset(str(preset))
    assert content(preset) == before
    assert os.listdir(preset.parent) == [preset.name]


def test_directory_that_cannot_be_replaced_is_sealed_in_place(
    hub: Any, preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == str(preset))
    number = preset.stat().st_ino
    classifier(hub, seed=3).save_to_preset(str(preset))
    assert preset.stat().st_ino == number
    assert same_weights(load(hub, preset), classifier(hub, seed=3))
    flip(preset / "task.json")
    with pytest.raises(ChecksumMismatchError):
        tokenizer(hub).save_to_preset(str(preset))


# --- LoRA ---------------------------------------------------------------------------------------


def adapted(hub: Any, value: float = 0.5) -> Any:
    made = backbone(hub)
    made.enable_lora(2)
    for variable in made.trainable_variables:
        if "lora_kernel" in variable.path:  # the others are no part of the file
            variable.assign(np.full(variable.shape, value))
    return made


def test_lora_weights_are_sealed_and_load(hub: Any, tmp_path: Path) -> None:
    made = adapted(hub)
    assert made.trainable_variables
    made.save_lora_weights(str(tmp_path / "w.lora.h5"))
    assert verify(tmp_path / "w.lora.h5").state == "sealed"
    loaded = backbone(hub)
    loaded.load_lora_weights(tmp_path / "w.lora.h5")
    assert same_weights(loaded, made)


def test_damaged_lora_weights_are_refused_and_change_nothing(hub: Any, tmp_path: Path) -> None:
    path = tmp_path / "w.lora.h5"
    adapted(hub).save_lora_weights(str(path))
    flip(path)
    loaded, expected = adapted(hub, 0.25), adapted(hub, 0.25)
    with pytest.raises(ChecksumMismatchError, match="lora") as caught:
        loaded.load_lora_weights(str(path))
    assert caught.value.path == str(path)
    assert same_weights(loaded, expected)


def test_failed_lora_save_keeps_the_old_file(hub: Any, tmp_path: Path) -> None:
    path = tmp_path / "w.lora.h5"
    made = adapted(hub)
    made.save_lora_weights(str(path))
    before = path.read_bytes()
    made._lora_enabled_layers.append(10_000)
    with pytest.raises(IndexError):
        made.save_lora_weights(str(path))
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="filename"):
        made.save_lora_weights(str(tmp_path / "w.h5"))


# --- presets on hubs ------------------------------------------------------------------------------


@pytest.fixture
def on_hub(hub: Any, preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Hugging Face's client, which alone is replaced, has the preset; what was asked of it."""
    client = pytest.importorskip("huggingface_hub")
    asked: list[str] = []

    def download(*, repo_id: str, filename: str) -> str:
        assert repo_id == "somebody/bert"
        asked.append(filename)
        if not (preset / filename).exists():
            raise client.utils.LocalEntryNotFoundError(filename)
        cached = tmp_path / "cache" / filename
        cached.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(preset / filename, cached)
        return str(cached)

    monkeypatch.setattr(client, "hf_hub_download", download)
    return asked


ON_HUB = "hf://somebody/bert"


def test_preset_on_a_hub_is_checked_whole(hub: Any, on_hub: list[str]) -> None:
    loaded = hub.models.TextClassifier.from_preset(ON_HUB)
    assert same_weights(loaded, classifier(hub))
    assert on_hub[0] == SEAL
    assert {"config.json", "tokenizer.json", "assets/tokenizer/vocabulary.txt"} <= set(on_hub)
    assert len(on_hub) == len(set(on_hub))
    assert same_weights(hub.models.Backbone.from_preset(ON_HUB), backbone(hub))


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "assets/tokenizer/vocabulary.txt", "task.weights.h5"]
)
def test_damaged_preset_on_a_hub_is_refused_by_its_url(
    hub: Any, preset: Path, on_hub: list[str], name: str
) -> None:
    flip(preset / name)
    for part in (hub.models.TextClassifier, hub.tokenizers.Tokenizer):
        with pytest.raises(ChecksumMismatchError) as caught:
            part.from_preset(ON_HUB)
        assert caught.value.path == ON_HUB
        assert caught.value.parts[0].startswith(name)


def test_preset_that_lacks_a_file_on_the_hub_is_refused(
    hub: Any, preset: Path, on_hub: list[str]
) -> None:
    (preset / "tokenizer.json").unlink()
    with pytest.raises(ChecksumMismatchError, match=r"tokenizer\.json' is missing"):
        hub.models.TextClassifier.from_preset(ON_HUB)


def test_refused_by_its_seal_a_preset_is_not_downloaded(
    hub: Any, preset: Path, on_hub: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    with pytest.raises(IntegrityError, match=ON_HUB):
        hub.models.TextClassifier.from_preset(ON_HUB)
    assert on_hub == [SEAL, "model.sig"]
    unseal(preset)
    on_hub.clear()
    with pytest.raises(UnsealedModelError, match=ON_HUB):
        hub.models.TextClassifier.from_preset(ON_HUB)
    assert on_hub == [SEAL]


def test_preset_without_a_seal_on_a_hub_loads_with_a_warning(
    hub: Any, preset: Path, on_hub: list[str]
) -> None:
    unseal(preset)
    with pytest.warns(UnsealedModelWarning, match=ON_HUB) as warned:
        loaded = hub.models.TextClassifier.from_preset(ON_HUB)
    assert len([one for one in warned if one.category is UnsealedModelWarning]) == 1
    assert same_weights(loaded, classifier(hub))


def test_preset_on_modelscope_is_checked_whole(
    hub: Any, preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ModelScope's client alone is replaced: it downloads all of a model, into its own cache."""
    import sys
    import types

    url, cache = "modelscope://somebody/bert", tmp_path / "cache"

    def snapshot_download(handle: str) -> str:
        assert handle == "somebody/bert"
        return str(shutil.copytree(preset, cache, dirs_exist_ok=True))

    client = types.ModuleType("modelscope.hub.snapshot_download")
    client.snapshot_download = snapshot_download  # type: ignore[attr-defined]
    for name in ("modelscope", "modelscope.hub"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, client.__name__, client)
    assert same_weights(hub.models.TextClassifier.from_preset(url), classifier(hub))
    for name in ("tokenizer.json", "task.weights.h5"):
        whole = (preset / name).read_bytes()
        flip(preset / name)
        with pytest.raises(ChecksumMismatchError) as caught:
            hub.models.TextClassifier.from_preset(url)
        assert caught.value.path == url
        (preset / name).write_bytes(whole)
    unseal(preset)
    (cache / SEAL).unlink()
    with pytest.warns(UnsealedModelWarning, match=url):
        hub.models.TextClassifier.from_preset(url)


def test_preset_behind_a_url_that_tensorflow_knows_is_checked_whole(
    hub: Any, preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tf = pytest.importorskip("tensorflow")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name, data in content(preset).items():
        with tf.io.gfile.GFile(f"ram://presets/{name}", "wb") as file:
            file.write(data)
    loaded = hub.models.TextClassifier.from_preset("ram://presets")
    assert same_weights(loaded, classifier(hub))
