# SPDX-License-Identifier: Apache-2.0
"""What a loaded model is asked is held against its input contract, wherever data comes in."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook
from keras_integrity_hook import (
    InputContract,
    InputContractError,
    InputRules,
    IntegrityWarning,
    contract,
)
from keras_integrity_hook.contracts import attached

ROWS = 40
BATCH = 10
CONTRACT = InputContract(InputRules("x", (None, 4), "float", minimum=0, maximum=1))
GOOD = np.full((ROWS, 4), 0.5, np.float32)
TARGETS = np.zeros((ROWS, 1), np.float32)
BAD = GOOD.copy()
BAD[27, 2] = 7.25
SECRET = "7.25"
FORMATS = ("model.keras", "model.h5", "model")
WEIGHTS = ("model.weights.h5", "shards.weights.json")

pytestmark = pytest.mark.filterwarnings(
    "ignore:Your input ran out of data",
    "ignore:This process .* is multi-threaded",
    r"ignore:[\s\S]*The structure of .inputs.",  # of Keras 3.6, which shows nests otherwise
    "ignore:You are saving your model as an HDF5",
)


def build(keras: Any) -> Any:
    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(1)])
    model.compile("sgd", keras.losses.MeanSquaredError())
    return model


def save(model: Any, path: Path, stated: InputContract | None = CONTRACT) -> Path:
    with contract(stated):
        if path.suffix:
            model.save(path)
        else:
            model.save(path, zipped=False)
    return path


@pytest.fixture
def load(keras: Any, tmp_path: Path) -> Callable[[], Any]:
    """Loads a model with a contract, each time anew."""
    path = save(build(keras), tmp_path / "model.keras")
    return lambda: keras.saving.load_model(path)


@pytest.fixture
def model(load: Callable[[], Any]) -> Any:
    return load()


def refused(error: pytest.ExceptionInfo[InputContractError]) -> dict[str, Any]:
    """Which rule of which input; nothing else stands behind the error."""
    assert error.value.__cause__ is None
    assert error.value.__context__ is None
    assert error.value.input == "x"
    return {"rule": error.value.rule, "index": error.value.index, "batch": error.value.batch}


@pytest.mark.parametrize("name", FORMATS)
def test_contract_in_the_seal_holds_for_what_is_loaded(
    keras: Any, tmp_path: Path, name: str
) -> None:
    if name == "model" and "zipped" not in inspect.signature(keras.Model.save).parameters:
        pytest.skip("this version of Keras saves no directories")
    loaded = keras.saving.load_model(save(build(keras), tmp_path / name))
    assert loaded.predict(GOOD, verbose=0).shape == (ROWS, 1)
    with pytest.raises(InputContractError) as error:
        loaded.predict(BAD, verbose=0)
    assert refused(error) == {"rule": "maximum", "index": (27, 2), "batch": None}
    assert error.value.path == str(tmp_path / name)


@pytest.mark.parametrize("name", WEIGHTS)
def test_contract_in_the_seal_of_weights_holds_for_the_model_they_are_loaded_into(
    keras: Any, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    sharded = {"max_shard_size": 1} if name.endswith("json") else {}
    try:
        with contract(CONTRACT):
            build(keras).save_weights(path, **sharded)
    except (TypeError, ValueError):
        pytest.skip("this version of Keras has no shards")
    other = build(keras)
    other.predict(BAD, verbose=0)
    other.load_weights(path)
    with pytest.raises(InputContractError):
        other.predict(BAD, verbose=0)


def test_contract_of_a_saved_model_holds_for_the_layer_that_calls_it(
    keras: Any, tmp_path: Path
) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("SavedModels are TensorFlow's")
    with contract(CONTRACT):
        build(keras).export(tmp_path / "exported")
    layer = keras.layers.TFSMLayer(tmp_path / "exported")
    assert layer(GOOD).shape == (ROWS, 1)
    with pytest.raises(InputContractError) as error:
        layer(BAD)
    assert refused(error)["rule"] == "maximum"


def test_model_without_a_contract_is_asked_anything(keras: Any, tmp_path: Path, model: Any) -> None:
    with pytest.raises(InputContractError):
        model.predict(BAD, verbose=0)
    plain = keras.saving.load_model(save(build(keras), tmp_path / "plain.keras", None))
    assert plain.predict(BAD, verbose=0).shape == (ROWS, 1)
    assert plain(BAD).shape == (ROWS, 1)


def test_contract_holds_for_a_model_in_a_sandbox(keras: Any, tmp_path: Path) -> None:
    from keras_integrity_hook import SandboxUnavailableError, sandbox

    path = save(build(keras), tmp_path / "model.keras")
    try:
        loaded = sandbox.load_model(path)
    except SandboxUnavailableError as error:
        pytest.skip(str(error.cause))
    with loaded:
        for ask in (loaded.predict, loaded.predict_on_batch):
            assert ask(GOOD).shape == (ROWS, 1)
            with pytest.raises(InputContractError) as refusal:
                ask(BAD)
            assert refused(refusal)["index"] == (27, 2)


METHODS: dict[str, Callable[[Any, Any], Any]] = {
    "predict": lambda model, x: model.predict(x, verbose=0),
    "predict by name": lambda model, x: model.predict(x=x, verbose=0),
    "predict_on_batch": lambda model, x: model.predict_on_batch(x),
    "evaluate": lambda model, x: model.evaluate(x, TARGETS, verbose=0),
    "test_on_batch": lambda model, x: model.test_on_batch(x, TARGETS),
    "call": lambda model, x: model(x),
    "call by name": lambda model, x: model(inputs=x),
}


@pytest.mark.parametrize("way", METHODS)
def test_every_way_to_ask_is_guarded(model: Any, way: str) -> None:
    METHODS[way](model, GOOD)
    with pytest.raises(InputContractError) as error:
        METHODS[way](model, BAD)
    assert refused(error)["index"] == (27, 2)
    METHODS[way](model, GOOD)


def batches(data: Any) -> Iterator[tuple[Any, Any]]:
    for start in range(0, ROWS, BATCH):
        yield data[start : start + BATCH], TARGETS[start : start + BATCH]


def generator(keras: Any, data: Any) -> Any:
    return batches(data)


def indexed(keras: Any, data: Any, **how: Any) -> Any:
    class Numbers(keras.utils.PyDataset):
        def __len__(self) -> int:
            return ROWS // BATCH

        def __getitem__(self, index: int) -> Any:
            return list(batches(data))[index]

    return Numbers(**how)


def indexed_by_processes(keras: Any, data: Any) -> Any:
    if keras.backend.backend() == "jax":
        pytest.skip("JAX warns of forks")
    return indexed(keras, data, workers=2, use_multiprocessing=True)


def indexed_by_threads(keras: Any, data: Any) -> Any:
    return indexed(keras, data, workers=2)


def tf_data(keras: Any, data: Any) -> Any:
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((data, TARGETS)).batch(BATCH)


def torch_loader(keras: Any, data: Any) -> Any:
    torch = pytest.importorskip("torch")
    pairs = torch.utils.data.TensorDataset(torch.tensor(data), torch.tensor(TARGETS))
    return torch.utils.data.DataLoader(pairs, batch_size=BATCH)


SOURCES = (generator, indexed, indexed_by_threads, indexed_by_processes, tf_data, torch_loader)


@pytest.mark.parametrize("method", ["predict", "evaluate"])
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.__name__))
def test_batches_are_looked_at_as_they_come(
    keras: Any, model: Any, source: Callable[..., Any], method: str
) -> None:
    ask = getattr(model, method)
    before = model.predict(GOOD, verbose=0)
    ask(source(keras, GOOD), verbose=0)
    with pytest.raises(InputContractError) as error:
        ask(source(keras, BAD), verbose=0)
    assert refused(error) == {"rule": "maximum", "index": (7, 2), "batch": 2}
    # The model is none the worse: Keras on JAX would have lost its weights.
    assert np.array_equal(model.predict(GOOD, verbose=0), before)


def test_batch_that_nobody_asks_for_is_not_read(model: Any) -> None:
    read = []

    def numbers() -> Iterator[Any]:
        for number in range(1000):
            read.append(number)
            yield (BAD[20:30] if number == 3 else GOOD[:10],)

    with pytest.raises(InputContractError) as error:
        model.predict(numbers(), steps=900, verbose=0)
    assert error.value.batch == 3
    assert len(read) < 50


def test_users_own_source_is_left_as_it_is(keras: Any, model: Any) -> None:
    source = indexed(keras, GOOD)
    kind, attributes = type(source), set(vars(source))
    model.predict(source, verbose=0)
    assert type(source) is kind
    assert set(vars(source)) == attributes


def test_training_is_not_asking(model: Any) -> None:
    model.fit(BAD, TARGETS, validation_data=(BAD, TARGETS), verbose=0)
    model.train_on_batch(BAD, TARGETS)
    model(BAD, training=True)
    with pytest.raises(InputContractError):
        model(BAD, training=False)


def test_model_is_a_part_of_another_as_ever(keras: Any, model: Any) -> None:
    inputs = keras.Input((4,))
    larger = keras.Model(inputs, model(inputs))
    assert larger.predict(GOOD, verbose=0).shape == (ROWS, 1)


def test_one_row_is_looked_at_once(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    check = InputContract.check

    def counting(self: InputContract, inputs: Any) -> None:
        looked.append(inputs)
        check(self, inputs)

    monkeypatch.setattr(InputContract, "check", counting)
    model.predict(GOOD, verbose=0)
    model.predict_on_batch(GOOD[:1])
    assert len(looked) == 2


def test_class_of_the_users_that_overrides_predict_is_guarded_outside(
    keras: Any, tmp_path: Path
) -> None:
    @keras.saving.register_keras_serializable("tests")
    class Scaling(keras.Sequential):
        def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
            return super().predict(x * 100, *args, **kwargs)

    model = Scaling([keras.Input((4,), name="x"), keras.layers.Dense(1)])
    loaded = keras.saving.load_model(save(model, tmp_path / "scaling.keras"))
    assert loaded.predict(GOOD, verbose=0).shape == (ROWS, 1)
    with pytest.raises(InputContractError):
        loaded.predict(BAD, verbose=0)


def test_model_made_anew_from_one_with_a_contract_has_none(keras: Any, model: Any) -> None:
    clone = keras.models.clone_model(model)
    assert attached.of(clone) is None
    clone.predict(BAD, verbose=0)


def test_what_is_only_told_runs(load: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_INPUTS", "warn")
    model = load()
    with pytest.warns(IntegrityWarning, match="over its maximum 1"):
        assert model.predict(BAD, verbose=0).shape == (ROWS, 1)


def test_mode_warn_refuses_no_input(
    load: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY", "warn")
    model = load()
    with pytest.warns(IntegrityWarning, match="over its maximum 1"):
        model.predict_on_batch(BAD)


def test_inputs_off_looks_at_nothing(
    load: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_INPUTS", "off")
    model = load()
    assert attached.of(model) is None
    model.predict(BAD, verbose=0)


def test_inputs_are_looked_at_where_the_policy_says(
    load: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_INPUTS_AT", "predict")
    model = load()
    model.evaluate(BAD, TARGETS, verbose=0)
    model(BAD)
    with pytest.raises(InputContractError):
        model.predict(BAD, verbose=0)


def test_setting_holds_that_was_in_force_at_the_load(
    load: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load()
    monkeypatch.setenv("KERAS_INTEGRITY_INPUTS", "off")
    with pytest.raises(InputContractError):
        model.predict(BAD, verbose=0)


@pytest.mark.parametrize("value", ["enforce", "warn"])
def test_audit_tells_of_rules_and_counts_and_never_of_data(
    load: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    log = tmp_path / "audit.jsonl"
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(log))
    monkeypatch.setenv("KERAS_INTEGRITY_INPUTS", value)
    model = load()
    if value == "enforce":
        with pytest.raises(InputContractError):
            model.predict(BAD, verbose=0)
    else:
        with pytest.warns(IntegrityWarning):
            model.predict(BAD, verbose=0)
    event = json.loads(log.read_text().splitlines()[-1])
    assert event["event"] == "inputs"
    assert event["outcome"] == {"enforce": "refused", "warn": "warned"}[value]
    assert event["path"] == str(tmp_path / "model.keras")
    why = "input 'x' breaks the rule maximum (1 time)"
    assert event["facts"] == {"input": "x", "rule": "maximum", "count": 1, "why": why}
    assert SECRET not in log.read_text()


def test_audit_repeats_no_name_that_the_caller_made_up(
    load: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "audit.jsonl"
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(log))
    model = load()
    with pytest.raises(InputContractError):
        model.predict({"patient 4711": GOOD, "patient 4712": GOOD}, verbose=0)
    assert json.loads(log.read_text().splitlines()[-1])["facts"]["rule"] == "inputs"
    assert "4711" not in log.read_text()


def test_source_that_nobody_else_can_read_is_refused(keras: Any, model: Any) -> None:
    tf = pytest.importorskip("tensorflow")
    strategy = tf.distribute.get_strategy()
    source = strategy.experimental_distribute_dataset(tf_data(keras, GOOD))
    if type(source).__name__ == "DistributedDataset":
        with pytest.raises(InputContractError, match="cannot be looked at"):
            model.predict(source, verbose=0)
    adapters = pytest.importorskip("keras.src.trainers.data_adapters.array_data_adapter")
    with pytest.raises(InputContractError, match="cannot be looked at"):
        model.predict(adapters.ArrayDataAdapter(GOOD), verbose=0)


def test_deactivated_hook_looks_at_nothing(model: Any) -> None:
    keras_integrity_hook.deactivate()
    try:
        model.predict(BAD, verbose=0)
    finally:
        keras_integrity_hook.activate()
    with pytest.raises(InputContractError):
        model.predict(BAD, verbose=0)


def test_several_inputs_by_name_and_in_order(keras: Any, tmp_path: Path) -> None:
    one, two = keras.Input((2,), name="one"), keras.Input((3,), name="two")
    layers = keras.layers
    model = keras.Model([one, two], layers.Dense(1)(layers.Concatenate()([one, two])))
    rules = [InputRules("one", (None, 2), minimum=0), InputRules("two", (None, 3), maximum=0)]
    loaded = keras.saving.load_model(save(model, tmp_path / "m.keras", InputContract(rules)))
    good, bad = np.ones((5, 2), np.float32), np.ones((5, 3), np.float32)
    loaded.predict([good, -bad], verbose=0)
    for wrong in ([good, bad], {"one": good, "two": bad}):
        with pytest.raises(InputContractError) as error:
            loaded.predict(wrong, verbose=0)
        assert error.value.input == "two"
