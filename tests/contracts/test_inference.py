# SPDX-License-Identifier: Apache-2.0
"""A contract that is made of data is kept by that data, in whatever form Keras takes it; one that
is made of a model says what its signature says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from keras_integrity_hook import (
    ConfigurationError,
    InputContract,
    InputContractError,
    InputRules,
)

ROWS = np.linspace(-1, 2, 40, dtype="float32").reshape(10, 4)
FLOATS = InputRules("input", (None, 4), "float", minimum=-1, maximum=2)


def batches(of: Any = ROWS, size: int = 3) -> Iterator[Any]:
    """Tuples of inputs and targets, as generators give them."""
    for start in range(0, len(of), size):
        yield of[start : start + size], np.zeros(len(of[start : start + size]))


@given(
    arrays_of.arrays(
        st.sampled_from(["float16", "float32", "float64", "int8", "uint64", "bool", "complex64"]),
        arrays_of.array_shapes(max_dims=3, max_side=5, min_side=0),
    ),
    st.sampled_from([0, 0.1, 3]),
)
def test_data_keeps_the_contract_that_is_made_of_it(data: Any, margin: float) -> None:
    contract = InputContract.from_data(data, margin=margin)
    contract.check(data)
    assert InputContract.from_dict(contract.to_dict()) == contract


@pytest.mark.parametrize("form", ["array", "generator", "list of lists", "pandas", "sequence"])
def test_every_form_of_the_same_data_makes_the_same_contract(form: str) -> None:
    pd: Any = pytest.importorskip("pandas") if form == "pandas" else None

    class Sequence:
        def __len__(self) -> int:
            return 4

        def __getitem__(self, number: int) -> Any:
            return ROWS[number * 3 : number * 3 + 3], None

    forms: dict[str, Any] = {
        "array": lambda: ROWS,
        "generator": batches,
        "list of lists": ROWS.astype(float).tolist,
        "pandas": lambda: pd.DataFrame(ROWS),
        "sequence": Sequence,
    }
    assert InputContract.from_data(forms[form]()) == InputContract(FLOATS)


def test_a_generator_is_read_once_and_no_further_than_its_end() -> None:
    read = []

    def told() -> Iterator[Any]:
        for batch in batches():
            read.append(len(batch[0]))
            yield batch

    InputContract.from_data(told())
    assert read == [3, 3, 3, 1]


def test_datasets_of_tensorflow() -> None:
    tf = pytest.importorskip("tensorflow")
    pairs = tf.data.Dataset.from_tensor_slices((ROWS, np.zeros(10))).batch(3)
    assert InputContract.from_data(pairs) == InputContract(FLOATS)
    named = tf.data.Dataset.from_tensor_slices({"b": ROWS, "a": ["x"] * 10}).batch(3)
    contract = InputContract.from_data(named)
    assert [(one.name, one.kind) for one in contract] == [("a", "string"), ("b", "float")]
    with pytest.raises(ConfigurationError, match="for ever"):
        InputContract.from_data(pairs.repeat())
    ragged = tf.ragged.constant([[1, 2], [3]])
    assert InputContract.from_data(ragged)["input"].shape == (None, None)


def test_loaders_of_torch() -> None:
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(ROWS), torch.zeros(10))
    loader = torch.utils.data.DataLoader(data, batch_size=3)
    assert InputContract.from_data(loader) == InputContract(FLOATS)


def test_datasets_of_keras(keras: Any) -> None:
    class Pairs(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, number: int) -> Any:
            return ROWS[number * 5 : number * 5 + 5], np.zeros(5)

    assert InputContract.from_data(Pairs()) == InputContract(FLOATS)


def test_a_dataset_of_keras_without_a_length_is_refused_and_not_read_for_ever(keras: Any) -> None:
    class Unknown(keras.utils.PyDataset):
        def __getitem__(self, number: int) -> Any:
            return ROWS, np.zeros(10)

    class Endless(Unknown):
        @property
        def num_batches(self) -> int | None:
            return None

    class Counted(Unknown):
        @property
        def num_batches(self) -> int | None:
            return 1

    with pytest.raises(ConfigurationError, match="Unknown does not say how many batches"):
        InputContract.from_data(Unknown())
    with pytest.raises(ConfigurationError, match="Endless never ends"):
        InputContract.from_data(Endless())
    assert InputContract.from_data(Counted()) == InputContract(FLOATS)


def test_margin_is_a_share_of_the_range() -> None:
    def bounds(data: Any, margin: float) -> tuple[float | None, float | None]:
        rules = InputContract.from_data(np.asarray(data), margin=margin)["input"]
        return rules.minimum, rules.maximum

    assert bounds([0.0, 10.0], 0.1) == (-1, 11)
    assert bounds([0, 10], 0.15) == (-2, 12)
    assert bounds([4.0, 4.0], 0.5) == (2, 6)
    assert bounds([0.0, 1.0], 0) == (0, 1)
    assert bounds([0.0, np.inf], 0.1) == (0, None)
    assert bounds([1e-9 / 3, 1e-9], 0.1) == (2.666e-10, 1.0667e-09)
    assert bounds(np.array([1 / 3, 2 / 3], "float32"), 0.1) == (0.3, 0.7001)
    low, high = bounds([-1.7e308, 1.7e308], 10)
    assert low == -1.7e308
    assert high == 1.7e308
    wrong: Any
    for wrong in (-1, math.nan, math.inf, "1", None):
        with pytest.raises(ConfigurationError, match="margin"):
            InputContract.from_data(ROWS, margin=wrong)


def test_sizes_that_differ_are_left_open_and_kinds_widen() -> None:
    mixed = [(np.zeros((2, 3, 5), "int8"),), (np.ones((1, 4, 5)),)]
    rules = InputContract.from_data(iter(mixed))["input"]
    assert (rules.shape, rules.kind, rules.maximum) == ((None, None, 5), "float", 1)
    ranks = [(np.zeros((2, 3)),), (np.ones((1, 4, 5)),)]
    assert InputContract.from_data(iter(ranks))["input"].shape is None


def test_few_texts_that_come_again_are_categories_and_others_are_not() -> None:
    rules = InputContract.from_data(np.array(["red", "green"] * 50))["input"]
    assert rules.allowed == ("green", "red")
    assert rules.maximum_length == 5
    free = InputContract.from_data(np.array([f"text {number}" for number in range(500)]))["input"]
    assert (free.allowed, free.maximum_length) == (None, 8)
    assert InputContract.from_data(np.array(["a", "b"]))["input"].allowed is None


def test_missing_numbers_stay_allowed_where_the_data_has_them() -> None:
    data = ROWS.copy()
    data[0, 0] = np.nan
    contract = InputContract.from_data(data)
    contract.check(data)
    with pytest.raises(InputContractError, match="maximum"):
        contract.check(data + 10)


@pytest.mark.parametrize(
    "data",
    [
        *(iter(()), {}, [], np.float32(3), object(), "text", np.array([{}])),
        *(np.zeros(3, "datetime64[s]"), {1: ROWS}),
        iter([(ROWS,), ([ROWS, ROWS],)]),
        iter([({"a": ROWS},), ({"b": ROWS},)]),
        iter([(ROWS,), (ROWS.astype(str),)]),
    ],
    ids=lambda data: type(data).__name__,
)
def test_what_is_no_data_for_a_model_makes_no_contract(data: Any) -> None:
    with pytest.raises(ConfigurationError):
        InputContract.from_data(data)


# Models


def test_no_margin_is_left_beyond_the_integers_that_there_are() -> None:
    data = np.array([0, 2**63], dtype="uint64")
    (rules,) = InputContract.from_data(data, margin=3)
    assert (rules.minimum, rules.maximum) == (0, 2**63)


def test_a_table_of_numbers_and_texts_says_to_give_its_columns() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"age": [31, 46], "town": ["Bern", "Chur"]})
    with pytest.raises(ConfigurationError, match=r"mixture of int, str; .*dict\(frame\.items"):
        InputContract.from_data(frame)
    assert [one.kind for one in InputContract.from_data(dict(frame.items()))] == [
        *("integer", "string"),
    ]


def test_a_missing_text_is_told_as_what_stands_in_its_place() -> None:
    texts = np.array(["Bern", None, float("nan")], dtype=object)
    with pytest.raises(ConfigurationError, match="mixture of NoneType, float, str"):
        InputContract.from_data(texts)
    with pytest.raises(InputContractError, match="mixture of NoneType, float, str, which"):
        InputContract.from_data(np.array(["Bern"])).check(texts)


def test_signature_of_a_model_with_named_inputs(keras: Any) -> None:
    image = keras.Input((28, 28, None), name="image")
    word = keras.Input((1,), name="word", dtype="int32")
    model = keras.Model({"word": word, "image": image}, [image, word])
    assert InputContract.from_model(model) == InputContract(
        {
            "image": InputRules("image", (None, 28, 28, None), "float"),
            "word": InputRules("word", (None, 1), "integer"),
        }
    )
    model = keras.Model([word, image], [image, word])
    assert [one.name for one in InputContract.from_model(model)] == ["word", "image"]
    assert InputContract.from_model(model).structure == "list"


def test_signature_of_one_input_in_every_precision(keras: Any) -> None:
    for dtype in ("float32", "float16", "bfloat16", "float64"):
        tensor = keras.Input((3,), dtype=dtype, batch_size=7, name="x")
        model = keras.Sequential([tensor, keras.layers.Identity()])
        expected = InputContract(InputRules("x", (None, 3), "float"))
        assert InputContract.from_model(model) == expected
    for dtype, kind in {"bool": "boolean", "uint8": "integer", "string": "string"}.items():
        tensor = keras.Input((3,), dtype=dtype, name="x")
        assert InputContract.from_model(keras.Model(tensor, tensor))["x"].kind == kind


def test_data_takes_the_names_and_the_structure_of_a_model(keras: Any) -> None:
    first, second = keras.Input((4,), name="first"), keras.Input((4,), name="second")
    model = keras.Model([second, first], [first, second])
    contract = InputContract.from_data([ROWS, ROWS + 1], model=model)
    assert [(one.name, one.minimum) for one in contract] == [("second", -1), ("first", 0)]
    named = InputContract.from_data({"first": ROWS, "second": ROWS + 1}, model=model)
    assert [(one.name, one.minimum) for one in named] == [("second", 0), ("first", -1)]
    for other in (ROWS, {"first": ROWS, "third": ROWS}):
        with pytest.raises(ConfigurationError):
            InputContract.from_data(other, model=model)


def test_a_model_whose_inputs_are_not_known_has_no_signature(keras: Any) -> None:
    class Own(keras.Model):
        pass

    for model in (Own(), keras.Sequential([keras.layers.Dense(1)]), object()):
        with pytest.raises(ConfigurationError, match="not known"):
            InputContract.from_model(model)


def test_signatures_of_tf_keras() -> None:
    tf_keras = pytest.importorskip("tf_keras")
    one = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(3,))])
    assert [rules.shape for rules in InputContract.from_model(one)] == [(None, 3)]
    text = tf_keras.Input((None,), name="text", dtype="string", ragged=True)
    tags = tf_keras.Input((2,), name="tags", dtype="int64")
    model = tf_keras.Model({"text": text, "tags": tags}, [tags])
    assert InputContract.from_model(model) == InputContract(
        {
            "tags": InputRules("tags", (None, 2), "integer"),
            "text": InputRules("text", (None, None), "string"),
        }
    )
