# SPDX-License-Identifier: Apache-2.0
"""What breaks a contract is refused with its input, rule, place, value and number; all else passes,
in every form in which Keras takes data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from keras_integrity_hook import InputContract, InputContractError, InputRules

ROWS = np.arange(12, dtype="float32").reshape(3, 4)


def broken(contract: InputContract, data: Any) -> InputContractError:
    with pytest.raises(InputContractError) as found:
        contract.check(data)
    return found.value


def of_one(**said: Any) -> InputContract:
    return InputContract(InputRules("x", **said))


def changed(index: tuple[int, ...], value: Any, dtype: Any = "float32") -> Any:
    data = ROWS.astype(dtype)
    data[index] = value
    return data


@pytest.mark.parametrize(
    ("said", "data", "rule", "index", "count"),
    [
        ({"kind": "float"}, changed((1, 2), np.nan), "finite", (1, 2), 1),
        ({}, changed((0, 3), -np.inf), "finite", (0, 3), 1),
        ({"minimum": 3}, ROWS, "minimum", (0, 0), 3),
        ({"maximum": 9.5}, ROWS, "maximum", (2, 2), 2),
        ({"maximum": 9.5, "finite": False}, changed((0, 0), np.nan), "maximum", (2, 2), 2),
        ({"kind": "integer"}, ROWS, "kind", (), None),
        ({"kind": "boolean"}, ROWS.astype(int), "kind", (), None),
        ({"kind": "float"}, ROWS.astype(complex), "kind", (), None),
        ({"kind": "float"}, ROWS.astype(str), "kind", (), None),
        ({"kind": "string"}, ROWS, "kind", (), None),
        ({"kind": "complex"}, changed((1, 1), complex(0, np.nan), complex), "finite", (1, 1), 1),
        ({}, ROWS.astype("datetime64[s]"), "kind", (), None),
        ({}, np.array([[1, None], [2, "a"]], object), "kind", (), None),
        ({"shape": (None, 5)}, ROWS, "shape", (), None),
        ({"shape": (None, 4, 2)}, ROWS, "shape", (), None),
        ({"shape": (None, 4)}, ROWS[0], "shape", (), None),
        ({"shape": (None,)}, np.float32(3), "shape", (), None),
        ({"kind": "integer", "allowed": (0, 1, 2)}, ROWS.astype(int), "allowed", (0, 3), 9),
        ({"kind": "float", "allowed": (0, 1, 2)}, ROWS, "allowed", (0, 3), 9),
        ({"kind": "string", "allowed": ("é",)}, np.array(["é", "e"]), "allowed", (1,), 1),
        ({"kind": "string", "maximum_length": 1}, np.array(["é", "éa"]), "maximum_length", (1,), 1),
        (
            {"kind": "string", "maximum_length": 1},
            np.array(["é".encode(), b"ab", b"abc"], object),
            "maximum_length",
            (1,),
            2,
        ),
        ({}, [[1, 2], [3]], "kind", (), None),
        ({}, None, "kind", (), None),
        ({}, object(), "kind", (), None),
    ],
)
def test_what_breaks_a_rule_is_refused(
    said: dict[str, Any], data: Any, rule: str, index: tuple[int, ...], count: int | None
) -> None:
    error = broken(of_one(**said), data)
    assert (error.input, error.rule, error.index, error.count) == ("x", rule, index, count)
    assert "'x'" in error.cause


@pytest.mark.parametrize(
    ("said", "data"),
    [
        ({"kind": "float", "shape": (None, 4), "minimum": 0, "maximum": 11}, ROWS),
        ({"kind": "float"}, ROWS.astype("uint8")),
        ({"kind": "float"}, ROWS.astype(bool)),
        ({"kind": "float", "shape": (None, 2)}, [[1, 2], [3.5, 4]]),
        ({"kind": "float", "maximum": 0.1}, np.full((2, 2), 0.1, "float32")),
        ({"kind": "float", "maximum": 0.1}, np.full((2, 2), 0.1, "float16")),
        ({"kind": "float", "maximum": 1e30}, ROWS.astype("float16")),
        ({"kind": "float", "minimum": -1}, ROWS.astype("uint8")),
        ({"finite": False, "maximum": 11}, changed((0, 0), np.nan)),
        ({"shape": (None, 1)}, ROWS[:, 0]),
        ({"shape": (None, 4)}, ROWS[..., None]),
        ({"shape": (None, None)}, ROWS),
        ({"maximum": 3}, ROWS[:0]),
        ({"kind": "integer", "allowed": (2**63, -1)}, np.array([2**63], "uint64")),
        ({"kind": "string", "allowed": ("é",)}, np.array(["é".encode(), "é"], object)),
        ({"kind": "string", "maximum_length": 1}, np.array(["é"])),
        ({"optional": True}, None),
        ({"kind": "float", "maximum": 11}, ROWS.astype(">f8")[:, ::-2]),
        ({"kind": "float", "maximum": 11}, np.asfortranarray(ROWS)),
        ({"kind": "float"}, ROWS.astype(object)),
    ],
)
def test_what_keeps_the_rules_passes_unchanged(said: dict[str, Any], data: Any) -> None:
    before = np.array(data, copy=True)
    of_one(**said).check(data)
    np.testing.assert_array_equal(before, np.array(data))


@given(
    arrays_of.arrays(
        st.sampled_from(["float16", "float32", "float64", "int8", "uint16", "int64", "bool"]),
        arrays_of.array_shapes(max_dims=3, max_side=6),
    ),
    st.floats(-300, 300, width=16) | st.integers(-300, 300),
    st.floats(-300, 300, width=16) | st.integers(-300, 300),
    st.booleans(),
)
def test_the_verdict_is_that_of_a_plain_comparison(
    data: Any, one: float, other: float, finite: bool
) -> None:
    low, high = sorted([one, other])
    contract = of_one(minimum=low, maximum=high, finite=finite)
    with np.errstate(all="ignore"):
        wrong = (data < low) | (data > high)
        wrong |= ~np.isfinite(data) if finite else np.zeros_like(wrong)
    if not wrong.any():
        contract.check(data)
        return
    error = broken(contract, data)
    assert wrong[error.index]
    assert error.count is not None
    assert 1 <= error.count <= wrong.sum()


def test_inputs_are_matched_as_keras_matches_them() -> None:
    small, large = InputRules("a", maximum=1), InputRules("b", minimum=10)
    zeros, tens = np.zeros((2, 3)), np.full((2, 3), 10)
    listed = InputContract([large, small])
    listed.check([tens, zeros])
    listed.check((tens, zeros))
    listed.check({"a": zeros, "b": tens, "further": zeros})  # taken by name, the rest left alone
    named = InputContract({"b": large, "a": small})
    named.check({"b": tens, "a": zeros})
    named.check([zeros, tens])
    nested = InputContract([small, large, InputRules("c", maximum=3)], "nested")
    nested.check({"z": zeros, "k": [zeros, tens]})
    assert broken(nested, {"z": tens, "k": [zeros, tens]}).input == "c"
    single = InputContract(small)
    for form in (zeros, [zeros], (zeros,), {"whatever": zeros}, zeros.tolist()):
        single.check(form)


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ({"a": 0}, "'b' is not given"),
        ({"a": 0, "b": 10, "c": 0}, "'c' is none of them"),
        ([0], "and 1 are given"),
        ([0, 10, 0], "and 3 are given"),
        (0, "and 1 are given"),
        ([0, 0], "minimum"),
        ({"a": 10, "b": 10}, "maximum"),
    ],
    ids=str,
)
def test_other_inputs_than_those_of_the_contract_are_refused(form: Any, names: str) -> None:
    contract = InputContract({"a": InputRules("a", maximum=1), "b": InputRules("b", minimum=10)})

    def filled(value: Any) -> Any:
        return np.full((2, 3), value)

    if isinstance(form, dict):
        form = {key: filled(value) for key, value in form.items()}
    else:
        form = [filled(one) for one in form] if isinstance(form, list) else filled(form)
    assert names in broken(contract, form).cause


def test_a_name_out_of_a_contract_drives_no_terminal_and_a_long_value_is_cut() -> None:
    contract = InputContract(InputRules("x", kind="string", allowed=("a",)))
    error = broken(contract, np.array(["\x1b[2J" + "b" * 1000], object))
    assert "\x1b" not in str(error)
    assert len(error.value) < 100


# Other libraries


def test_a_mask_hides_nothing_of_an_array() -> None:
    """Keras takes the elements, masked or not."""
    contract = of_one(shape=(None, 2), kind="float", maximum=1)
    data = np.ma.masked_array(np.array([[0.5, 1e9]]), mask=[[False, True]])
    assert broken(contract, data).index == (0, 1)


def test_what_a_sparse_input_has_twice_in_one_place_counts_as_its_sum() -> None:
    """So it goes into a product: each of the two is within the bound, and the element is not."""
    contract = of_one(shape=(None, 3), kind="float", maximum=1)
    tf = pytest.importorskip("tensorflow")
    for places in ([[0, 2], [0, 2]], [[0, 2], [0, 1], [0, 2]]):
        given = tf.SparseTensor(places, [0.9] * len(places), (1, 3))
        assert broken(contract, given).rule == "maximum"


def test_what_scipy_has_twice_in_one_place_counts_as_its_sum() -> None:
    contract = of_one(shape=(None, 3), kind="float", maximum=1)
    sparse = pytest.importorskip("scipy.sparse")
    twice = sparse.coo_matrix((np.array([1.0, 1.0]), ([0, 0], [2, 2])), shape=(1, 3))
    assert broken(contract, twice).rule == "maximum"
    contract.check(sparse.coo_matrix((np.array([1.0, 1.0]), ([0, 0], [2, 1])), shape=(1, 3)))


def test_frames_and_series_of_pandas() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(ROWS, columns=list("abcd"))
    of_one(shape=(None, 4), maximum=11).check(frame)
    assert broken(of_one(maximum=10), frame).index == (2, 3)
    columns = InputContract({name: InputRules(name, (None, 1), maximum=11) for name in "abcd"})
    columns.check(frame)
    columns.check(dict(frame))
    assert broken(columns.with_rules("c", maximum=3), dict(frame)).input == "c"
    text = of_one(kind="string", allowed=("u", "v"))
    text.check(pd.Series(["u", "v"], dtype="category"))
    assert broken(text, pd.Series(["u", "w"])).value == "'w'"
    assert broken(text, pd.Series(["u", None], dtype=object)).rule == "kind"


def test_tensors_of_tensorflow_ragged_and_sparse_and_text() -> None:
    tf = pytest.importorskip("tensorflow")
    of_one(kind="float", shape=(None, 4), maximum=11).check(tf.constant(ROWS))
    assert broken(of_one(maximum=10), tf.Variable(ROWS)).index == (2, 3)
    assert broken(of_one(maximum=10), tf.cast(ROWS, tf.bfloat16)).count == 1
    ragged = tf.ragged.constant([[[1], [2, 3]], [[4, 5, 6]]])
    of_one(kind="integer", shape=(None, None, None), maximum=6).check(ragged)
    error = broken(of_one(maximum=4), ragged)
    assert (error.index, error.value, error.count) == ((1, 0, 1), "5", 2)
    assert broken(of_one(shape=(None, None, 3)), ragged).rule == "shape"
    sparse = tf.sparse.from_dense([[5.0, 0, 0], [0, 0, 7]])
    of_one(shape=(None, 3), minimum=0, maximum=7).check(sparse)
    assert broken(of_one(maximum=6), sparse).index == (1, 2)
    assert broken(of_one(minimum=1), sparse).value == "0.0"  # what is not stored is zero
    text = tf.constant(["é", "abc"])
    of_one(kind="string", maximum_length=3).check(text)
    assert broken(of_one(kind="string", maximum_length=2), text).index == (1,)


def test_tensors_of_torch() -> None:
    torch = pytest.importorskip("torch")
    of_one(kind="float", shape=(None, 4)).check(torch.tensor(ROWS, requires_grad=True))
    assert broken(of_one(maximum=10), torch.tensor(ROWS).bfloat16()).index == (2, 3)
    assert broken(of_one(maximum=10), torch.tensor(ROWS).to_sparse()).index == (2, 3)


def test_arrays_of_jax() -> None:
    jnp = pytest.importorskip("jax.numpy")
    of_one(kind="float", shape=(None, 4)).check(jnp.asarray(ROWS))
    assert broken(of_one(maximum=10), jnp.asarray(ROWS, "bfloat16")).index == (2, 3)


def test_sparse_matrices_of_scipy() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    of_one(shape=(None, 4), maximum=11).check(sparse.csr_matrix(ROWS))
    assert broken(of_one(maximum=10), sparse.coo_matrix(ROWS)).index == (2, 3)
