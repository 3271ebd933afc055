# SPDX-License-Identifier: Apache-2.0
"""Which data is for which input: the structures that Keras takes, matched as Keras matches them.

A dictionary is matched by names, anything else by its order: Keras flattens it, dictionaries within
by sorted keys (``keras.tree.flatten``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Number
from typing import Any

from keras_integrity_hook.contracts.input_rules import InputRules
from keras_integrity_hook.contracts.inputs import Inputs
from keras_integrity_hook.errors import InputContractError, printable

Matched = list[tuple[InputRules, Any]]


def matched(contract: Inputs, inputs: Any) -> Matched:
    """Each input's rules with its data; None for one that is not given.

    Raises:
        InputContractError: there are inputs too few, too many, or of other names.
    """
    rules = contract.inputs
    named = _by_name(contract, inputs)
    if named is not None:
        return [(one, named.get(one.name)) for one in rules]
    values = list(flattened(inputs, is_several=len(rules) > 1))
    if len(values) != len(rules):
        cause = (
            f"the model takes {len(rules)} inputs ({_names(contract)}), and {len(values)} are given"
        )
        raise InputContractError(cause, rule="inputs", count=len(values))
    return list(zip(rules, values, strict=True))


def _by_name(contract: Inputs, inputs: Any) -> Mapping[str, Any] | None:
    """Data by the names of inputs; None where it is given in another form."""
    if contract.structure == "nested":
        return None
    if not isinstance(inputs, Mapping):
        is_frame = hasattr(inputs, "columns") and contract.structure != "single"
        return {str(key): inputs[key] for key in inputs.columns} if is_frame else None
    if contract.structure == "single" and len(inputs) == 1:  # under whatever name it goes
        return {contract.inputs[0].name: next(iter(inputs.values()))}
    missing = [one.name for one in contract.inputs if one.name not in inputs and not one.optional]
    if missing:
        raise _misnamed(contract, "is not given", missing)
    # Keras takes what it knows by its name, but for a model with a dictionary of inputs: there one
    # more shifts those after it.
    further = inputs.keys() - {one.name for one in contract.inputs}
    if further and contract.structure == "dict":
        raise _misnamed(contract, "is none of them", sorted(map(str, further)))
    return inputs


def flattened(inputs: Any, *, is_several: bool) -> Iterator[Any]:
    """The arrays, tensors and lists of numbers in ``inputs``, in Keras's order.

    Args:
        is_several: a list is one of inputs, even where it could be one of numbers.
    """
    if isinstance(inputs, Mapping):
        for key in sorted(inputs, key=lambda key: (type(key).__qualname__, key)):
            yield from flattened(inputs[key], is_several=False)
    elif isinstance(inputs, list | tuple) and (is_several or not _is_one(inputs)):
        for one in inputs:
            yield from flattened(one, is_several=False)
    else:
        yield inputs


def _is_one(listed: list[Any] | tuple[Any, ...]) -> bool:
    """Whether it is lists of plain numbers or texts, which become one array."""
    first: Any = listed
    while isinstance(first, list | tuple) and first:
        first = first[0]
    return isinstance(first, Number | str | bytes)


def _misnamed(contract: Inputs, what: str, names: list[str]) -> InputContractError:
    shown = ", ".join(f"'{printable(name)[:64]}'" for name in names[:5])
    cause = f"the model takes the inputs {_names(contract)}, and {shown} {what}"
    return InputContractError(
        cause, input=printable(names[0])[:64], rule="inputs", count=len(names)
    )


def _names(contract: Inputs) -> str:
    names = [f"'{printable(one.name)}'" for one in contract.inputs[:10]]
    return ", ".join([*names, "…"] if len(contract.inputs) > 10 else names)
