# SPDX-License-Identifier: Apache-2.0
"""A contract makes sense or is refused, and has one exact spelling without floats."""

from __future__ import annotations

import json
import pickle
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_integrity_hook import ConfigurationError, InputContract, InputRules, MalformedSealError
from keras_integrity_hook.contracts.sealed import from_seal
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import canonical

NUMBERS = st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def rules(draw: st.DrawFn, name: str) -> InputRules:
    kind = draw(st.sampled_from([None, "boolean", "integer", "float", "complex", "string"]))
    sizes = st.lists(st.none() | st.integers(0, 2**53 - 1), max_size=4)
    shape = draw(st.none() | sizes.map(lambda rest: (None, *rest)))
    said: dict[str, Any] = {"finite": draw(st.booleans()), "optional": draw(st.booleans())}
    if kind not in ("complex", "string"):
        low, high = sorted([draw(NUMBERS), draw(NUMBERS)])
        said |= {"minimum": draw(st.sampled_from([None, low]))}
        said |= {"maximum": draw(st.sampled_from([None, high]))}
    if kind == "string":
        said["allowed"] = draw(st.none() | st.lists(TEXTS, min_size=1, max_size=5))
        said["maximum_length"] = draw(st.none() | st.integers(0, 1000))
    if kind in ("integer", "float"):
        said["allowed"] = draw(st.none() | st.lists(st.integers(-(2**64), 2**64), min_size=1))
    return InputRules(name, shape, kind, **said)


@st.composite
def contracts(draw: st.DrawFn) -> InputContract:
    names = draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True))
    made = [draw(rules(name)) for name in names]
    structure = draw(st.sampled_from(["single", "list", "dict", "nested"]))
    if structure == "single":
        return InputContract(made[0])
    if structure == "dict":
        return InputContract({one.name: one for one in made})
    return InputContract(made, structure)


@given(contracts())
def test_every_contract_reads_back_as_it_was_written(contract: InputContract) -> None:
    spelt = canonical.encode(contract.to_dict())
    assert InputContract.from_dict(canonical.decode(spelt)) == contract
    assert InputContract.from_dict(json.loads(json.dumps(contract.to_dict()))) == contract
    assert pickle.loads(pickle.dumps(contract)) == contract
    assert hash(contract) == hash(InputContract.from_dict(contract.to_dict()))


@given(contracts())
def test_every_contract_keeps_the_published_schema(contract: InputContract) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    text = (files("keras_integrity_hook.contracts") / "input-contract.schema.json").read_text()
    jsonschema.Draft202012Validator(json.loads(text)).validate(contract.to_dict())


@pytest.mark.parametrize(
    ("bound", "spelt"),
    [
        (0.5, "0.5"),
        (1.0, 1),
        (-0.0, 0),
        (2**53 - 1, 2**53 - 1),
        (2**53, str(2**53)),
        (1e300, "1e+300"),
        (5e-324, "5e-324"),
        (np.float32(0.1), "0.10000000149011612"),
        (np.uint8(255), 255),
    ],
)
def test_a_number_has_one_spelling(bound: Any, spelt: int | str) -> None:
    contract = InputContract(InputRules("x", kind="float", maximum=bound))
    assert contract.to_dict()["inputs"][0]["maximum"] == spelt


@pytest.mark.parametrize(
    "spelt", ["1.0", "01", "5", "0.50", "1e5", "nan", "inf", " 0.5", "0x1", "9" * 5000, True, []]
)
def test_other_spellings_of_a_number_are_refused(spelt: Any) -> None:
    value = {"version": 1, "structure": "single", "inputs": [{"name": "x", "minimum": spelt}]}
    with pytest.raises(ConfigurationError):
        InputContract.from_dict(value)


def test_a_person_may_write_numbers_with_a_fraction() -> None:
    value = {"version": 1, "structure": "single", "inputs": [{"name": "x", "minimum": 0.25}]}
    assert InputContract.from_dict(value)["x"].minimum == 0.25


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 256},
        {"shape": (784,)},
        {"shape": ()},
        {"shape": "None"},
        {"shape": (None, -1)},
        {"shape": (None, True)},
        {"shape": (None,) * 33},
        {"kind": "float32"},
        {"finite": 1},
        {"optional": None},
        {"minimum": float("nan")},
        {"maximum": float("inf")},
        {"minimum": 2**64 + 1},
        {"minimum": "0"},
        {"minimum": True},
        {"minimum": 2, "maximum": 1},
        {"kind": "string", "minimum": 0},
        {"kind": "complex", "maximum": 0},
        {"allowed": (1, 2)},
        {"kind": "integer", "allowed": ()},
        {"kind": "integer", "allowed": (1.5,)},
        {"kind": "integer", "allowed": ("a",)},
        {"kind": "string", "allowed": (1,)},
        {"kind": "string", "allowed": "abc"},
        {"kind": "string", "allowed": tuple(map(str, range(LIMITS.contract_values + 1)))},
        {"kind": "float", "maximum_length": 3},
        {"kind": "string", "maximum_length": -1},
    ],
    ids=str,
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="input"):
        InputRules(**{"name": "x", **wrong})


def test_contracts_that_make_no_sense_are_refused() -> None:
    one, other = InputRules("x"), InputRules("y")
    many = [InputRules(f"x{number}") for number in range(LIMITS.contract_inputs + 1)]
    for wrong in ([], {}, [one, one], [one, "y"], {"a": "b"}, {1: one}, 7, many):
        with pytest.raises(ConfigurationError):
            InputContract(wrong)  # type: ignore[arg-type]
    for structure in ("single", "dict", "tree"):
        with pytest.raises(ConfigurationError, match="structure"):
            InputContract([one, other], structure)


def test_a_contract_is_edited_by_the_name_of_an_input() -> None:
    contract = InputContract({"a": InputRules("a", kind="float"), "b": InputRules("b")})
    changed = contract.with_rules("a", maximum=3)
    assert changed["a"].maximum == 3
    assert contract["a"].maximum is None
    assert changed["b"] == contract["b"]
    with pytest.raises(ConfigurationError, match="there is 'a', 'b'"):
        contract.with_rules("c", maximum=3)
    with pytest.raises(ConfigurationError, match="no such rule"):
        contract.with_rules("a", largest=3)


@pytest.mark.parametrize(
    "wrong",
    [
        "text",
        7,
        [],
        {"version": 1},
        {"version": 1, "structure": "tree", "inputs": [{"name": "x"}]},
        {"version": 1, "structure": "single", "inputs": [{"name": "x"}, {"name": "y"}]},
        {"version": 1, "structure": "dict", "inputs": [{"name": "x"}, {"name": "x"}]},
        {"version": 1, "structure": "list", "inputs": []},
        {"version": 1, "structure": "list", "inputs": ["x"]},
        {"version": 1, "structure": "list", "inputs": [{}]},
        {"version": 1, "structure": "list", "inputs": [{"name": "x", "shape": 3}]},
        {"version": 1, "structure": "list", "inputs": [{"name": "x", "allowed": 3}]},
        {"version": 1, "structure": "list", "inputs": [{"name": f"{n}"} for n in range(257)]},
    ],
    ids=str,
)
def test_what_is_no_contract_is_refused_from_files_and_from_seals(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        InputContract.from_dict(wrong)
    with pytest.raises(MalformedSealError, match="input contract"):
        from_seal(wrong)


def test_rules_of_later_versions_are_named_and_the_rest_holds() -> None:
    value = {
        "version": 1,
        "structure": "single",
        "drift": "0.1",
        "inputs": [{"name": "x", "maximum": 3, "pattern": "a+\x1b"}],
    }
    found = from_seal(value)
    assert found.contract is not None
    assert found.contract["x"].maximum == 3
    assert found.unknown == ("'drift'", "'pattern'")
    with pytest.raises(ConfigurationError, match="drift"):
        InputContract.from_dict(value)
    later = from_seal({"version": 2, "anything": 1})
    assert later == (None, ("version 2",))
    assert from_seal(None) == (None, ())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "shape", "kind", "minimum", "x"]), inner)
    ),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries(
        {"version": st.just(1), "structure": st.sampled_from(["single", "list", "dict", "nested"])},
        optional={"inputs": st.lists(JSON, max_size=3), "further": JSON},
    )
    | JSON
)
def test_whatever_a_seal_says_is_a_contract_or_refused(value: Any) -> None:
    try:
        found = from_seal(value)
    except MalformedSealError:
        return
    assert found.contract is not None or found.unknown or value is None
    if found.contract is not None:
        assert InputContract.from_dict(found.contract.to_dict()) == found.contract
