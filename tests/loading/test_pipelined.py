# SPDX-License-Identifier: Apache-2.0
"""``verify = "pipelined"``: bytes are verified while they are read, and the verdict falls before
the model is returned."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook import ChecksumMismatchError, IntegrityError
from keras_integrity_hook.containers import parts
from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.verification.ahead import AheadContent
from tests.support import mounts
from tests.support.model_kinds import FILES, load, save

UNITS = 800
"""Of a layer whose kernel fills chunks of its own."""
SETS = ("directory", "shards.weights.json")
WEIGHTS = ("model.weights.h5", "shards.weights.json")


@pytest.fixture(autouse=True)
def pipelined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_VERIFY", "pipelined")
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each verdict that was asked for was one over numbers that were still to come."""
    asked: list[bool] = []
    finish = AheadContent.finish

    def noted(self: AheadContent) -> None:
        asked.append(True)
        finish(self)

    monkeypatch.setattr(AheadContent, "finish", noted)
    return asked


def build(keras: Any, *, trained: bool = False) -> Any:
    model = keras.Sequential(
        [keras.Input((UNITS,)), *(keras.layers.Dense(UNITS, name=f"d{n}") for n in range(2))]
    )
    if trained:
        model.compile("adam", "mse")
        zeros = np.zeros((1, UNITS), "float32")
        model.fit(zeros, zeros + 1, verbose=0)
    return model


def state_of(model: Any) -> list[Any]:
    """All that a file of weights may bring: the weights, and the state of the optimizer."""
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer else ())]
    return [variable.numpy().copy() for variable in variables]


def same(one: list[Any], other: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def hit(path: Path, layer: str) -> None:
    """Flip a bit in the middle of the kernel of ``layer``, as Keras calls it in a file."""
    with open_model(str(path)) as model:
        found = parts.parts_of(model)
        part = next(one for one in found if f"{layer}/vars/0" in one.name and one.size > MIB)
        at, target = part.offset + part.size // 2, path
        if model.files is None:
            at += parts.file_offset(model, 0) or 0
        for file in () if model.files is None else model.files.parts:
            if at < file.content.size:
                target = path.parent / file.name if path.suffix else path / file.name
                break
            at -= file.content.size
    data = bytearray(target.read_bytes())
    data[at] ^= 1
    target.write_bytes(data)


@pytest.mark.parametrize("name", [*FILES, *SETS])
def test_what_was_sealed_loads_and_no_thread_stays(
    keras: Any, tmp_path: Path, name: str, verdicts: list[bool]
) -> None:
    model = build(keras)
    save(model, tmp_path / name)
    threads = threading.active_count()
    loaded = load(build(keras), tmp_path / name)
    assert same(state_of(loaded), state_of(model))
    assert verdicts, "it was verified before it was read: nothing was shown"
    assert threading.active_count() == threads


@pytest.mark.parametrize("layer", ["dense", "dense_1"])
@pytest.mark.parametrize("name", [*FILES, *SETS])
def test_damaged_numbers_are_refused_and_named_before_the_model_is_returned(
    keras: Any, tmp_path: Path, name: str, layer: str
) -> None:
    save(build(keras), tmp_path / name)
    hit(tmp_path / name, layer)
    own = build(keras)
    before = state_of(own)
    with pytest.raises(ChecksumMismatchError, match=layer) as refused:
        load(own, tmp_path / name)
    assert refused.value.path == str(tmp_path / name)
    assert same(state_of(own), before)


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_late_refusal_leaves_weights_and_the_state_of_the_optimizer_as_they_were(
    keras: Any, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    save(build(keras, trained=True), path)
    hit(path, "dense_1")
    own = build(keras, trained=True)
    before = state_of(own)
    with pytest.raises(ChecksumMismatchError):
        own.load_weights(path)
    assert same(state_of(own), before)
    zeros = np.zeros((1, UNITS), "float32")
    own.fit(zeros, zeros, verbose=0)
    assert not same(state_of(own), before), "what was put back is not what the model computes by"


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_late_refusal_leaves_what_layers_work_out_of_their_weights(
    keras: Any, tmp_path: Path, name: str
) -> None:
    """A layer of Keras's and one of the program's, which compute by a copy of a variable."""

    class Cached(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.factor = self.add_weight(shape=(), name="factor")
            self.used = 0.0

        def load_own_variables(self, store: Any) -> None:
            super().load_own_variables(store)
            self.used = float(self.factor.numpy())

        def call(self, inputs: Any) -> Any:
            return inputs * self.used

    def made(value: float) -> Any:
        scaled = keras.layers.Normalization(name="n", mean=None)
        large = (keras.layers.Dense(UNITS, name=f"d{n}") for n in range(2))
        model = keras.Sequential([keras.Input((UNITS,)), scaled, Cached(name="c"), *large])
        values = (np.full(UNITS, value), np.full(UNITS, value), np.array(1))
        scaled.load_own_variables(dict(zip("012", values, strict=True)))
        model.get_layer("c").load_own_variables({"0": np.array(value)})
        return model

    path = tmp_path / name
    save(made(4.0), path)
    hit(path, "dense_1")
    own = made(1.0)
    inputs = np.full((1, UNITS), 3.0, "float32")
    before = own.predict(inputs, verbose=0)
    with pytest.raises(ChecksumMismatchError):
        own.load_weights(path)
    assert own.get_layer("c").used == 1.0
    assert np.array_equal(own.get_layer("n")(inputs), inputs - 1.0)
    assert np.array_equal(own.predict(inputs, verbose=0), before)


def test_weights_of_an_archive_are_refused_late_as_well(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    save(build(keras), path)
    hit(path, "dense_1")
    own = build(keras)
    before = state_of(own)
    with pytest.raises(ChecksumMismatchError, match="dense_1"):
        own.load_weights(path)
    assert same(state_of(own), before)


def test_numbers_that_nobody_reads_are_verified_too(keras: Any, tmp_path: Path) -> None:
    """What a load skips belongs to the file: its verdict is one over all of it."""
    path = tmp_path / "model.weights.h5"
    save(build(keras), path)
    hit(path, "dense_1")
    own = build(keras)
    before = state_of(own)
    with pytest.raises(ChecksumMismatchError, match="dense_1"):
        own.load_weights(path, objects_to_skip=[own.layers[1]])
    assert same(state_of(own), before)


def test_a_mistake_of_the_caller_is_told_as_ever_unless_the_file_is_damaged(
    keras: Any, tmp_path: Path
) -> None:
    path = tmp_path / "model.weights.h5"
    save(build(keras), path)
    other = keras.Sequential([keras.Input((7,)), keras.layers.Dense(9, name="d0")])
    with pytest.raises(ValueError, match=r"shape|layer"):
        other.load_weights(path)
    hit(path, "dense_1")
    with pytest.raises(ChecksumMismatchError, match="dense_1"):
        other.load_weights(path)


@pytest.mark.parametrize("what", ["configuration", "structure"])
def test_damaged_configuration_or_structure_is_refused_before_anything_is_parsed(
    keras: Any, tmp_path: Path, what: str
) -> None:
    made = []

    @keras.saving.register_keras_serializable("pipelined")
    class Telling(keras.layers.Dense):
        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            made.append(config["name"])
            return cls(**config)

    path = tmp_path / "model.keras"
    save(keras.Sequential([keras.Input((UNITS,)), Telling(UNITS), Telling(UNITS)]), path)
    keras.saving.load_model(path)
    assert made
    made.clear()
    data = path.read_bytes()
    # What HDF5 calls the groups of its variables, of which the last lie behind all numbers.
    at = data.index(b"Telling") if what == "configuration" else data.rindex(b"vars\0")
    path.write_bytes(data[:at] + b"X" + data[at + 1 :])
    with pytest.raises(IntegrityError):
        keras.saving.load_model(path)
    assert not made


@pytest.mark.parametrize("name", FILES)
def test_a_file_in_user_space_is_read_once(keras: Any, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    model = build(keras)
    save(model, path)
    with mounts.counting(path, tmp_path / "mount") as served:
        loaded = load(build(keras), tmp_path / "mount" / name)
        assert same(state_of(loaded), state_of(model))
        # Its head and tail are read before it is known what it is.
        assert served() <= 1.02 * path.stat().st_size


def test_weights_of_an_archive_in_user_space_are_read_once(keras: Any, tmp_path: Path) -> None:
    if tuple(map(int, keras.__version__.split(".")[:2])) < (3, 10):
        pytest.skip("this Keras reads them by way of zipfile, which goes back and forth")
    path = tmp_path / "model.keras"
    model, own = build(keras), build(keras)
    save(model, path)
    with mounts.counting(path, tmp_path / "mount") as served:
        own.load_weights(tmp_path / "mount" / path.name)
        assert same(state_of(own), state_of(model))
        assert served() <= 1.02 * path.stat().st_size


@contextmanager
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    log = tmp_path / "audit.jsonl"
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(log))
    events: list[dict[str, Any]] = []
    yield events
    events += map(json.loads, log.read_text().splitlines())


def test_a_load_is_recorded_as_good_when_its_verdict_has_fallen(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.weights.h5"
    save(build(keras), path)
    with audited(tmp_path, monkeypatch) as events:
        build(keras).load_weights(path)
        hit(path, "dense_1")
        with pytest.raises(ChecksumMismatchError):
            build(keras).load_weights(path)
    assert [one["outcome"] for one in events] == ["ok", "refused"]


def test_a_person_who_overrides_knows_what_is_let_through(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.weights.h5"
    save(build(keras), path)
    hit(path, "dense_1")
    own = build(keras)
    with pytest.raises(ChecksumMismatchError) as refused:
        own.load_weights(path)
    digest = refused.value.content_digest
    assert digest is not None
    with kih.override(root=digest, reason="last good copy"), pytest.warns(kih.OverrideWarning):
        own.load_weights(path)


def test_another_model_takes_the_place_of_one_that_is_refused_late(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "model.keras", tmp_path / "other.keras"
    save(build(keras), path)
    model = build(keras)
    save(model, other)
    hit(path, "dense_1")
    monkeypatch.setenv("KERAS_INTEGRITY_ON_FAILURE", "fallback")
    monkeypatch.setenv("KERAS_INTEGRITY_FALLBACK", str(other))
    with pytest.warns(kih.FallbackWarning):
        loaded = keras.saving.load_model(path)
    assert same(state_of(loaded), state_of(model))


def test_in_mode_warn_damage_is_reported_and_loaded(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.weights.h5"
    save(build(keras), path)
    hit(path, "dense_1")
    monkeypatch.setenv("KERAS_INTEGRITY", "warn")
    with pytest.warns(kih.IntegrityWarning, match="dense_1"):
        build(keras).load_weights(path)


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_every_place_where_a_byte_can_change_is_covered(
    keras: Any, tmp_path: Path, name: str
) -> None:
    """Around every border of a chunk and of what is verified first, and in between."""
    path = tmp_path / name
    save(build(keras), path)
    good = path.read_bytes()
    borders = [n for at in range(0, len(good), MIB) for n in (at - 1, at, at + 1)]
    spread = np.random.default_rng(0).integers(0, len(good), 25).tolist()
    own = build(keras)
    before = state_of(own)
    for at in sorted({n for n in (*borders, *spread) if 0 <= n < len(good)}):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(IntegrityError):
            load(own, path)
        assert same(state_of(own), before)
