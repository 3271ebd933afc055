# SPDX-License-Identifier: Apache-2.0
"""A contract as JSON, and back: exact, although seals have no floats.

A number is spelt as a JSON integer where it is one that every reader keeps (up to 2**53 - 1, see
RFC 8785). Any other is a text: the digits of a longer integer, or the shortest decimal that reads
back as the same IEEE 754 double (``repr``). So each has one spelling, and none is rounded.

    {"version": 1, "structure": "single",
     "inputs": [{"name": "image", "shape": [null, 784], "kind": "float",
                 "minimum": 0, "maximum": "0.5"}]}

What a rule says by default is left out. ``input-contract.schema.json`` is the JSON Schema.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from keras_integrity_hook.contracts.input_rules import InputRules, misstated, plain_number
from keras_integrity_hook.contracts.inputs import STRUCTURES, Inputs, in_structure
from keras_integrity_hook.errors import (
    LimitExceededError,
    MalformedSealError,
    printable,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import canonical

VERSION = 1
_DEFAULTS = {field.name: field.default for field in fields(InputRules)}
_EXACT = 2**53 - 1  # the largest integer that a double keeps with all smaller ones
_INTEGER = re.compile("-?[1-9][0-9]{15,31}")
_DECIMAL_LENGTH = 32  # characters; repr of a double has at most 24


class Read(NamedTuple):
    """What was read.

    Attributes:
        inputs: None where this version understands nothing of it.
        unknown: what of it this version does not know; printable words.
    """

    inputs: Inputs | None
    unknown: tuple[str, ...] = ()


def to_dict(inputs: Inputs) -> dict[str, Any]:
    """The contract as JSON values without floats."""
    rules = [_spelt(one) for one in inputs.inputs]
    return {"version": VERSION, "structure": inputs.structure, "inputs": rules}


def from_dict(value: Any) -> Inputs:
    """The contract that ``value`` spells; what a person wrote may have floats.

    Raises:
        ConfigurationError: it spells none, or says more than this version knows.
    """
    found = read(value)
    if found.inputs is None or found.unknown:
        raise misstated(f"the contract says what is not known: {', '.join(found.unknown)}")
    return found.inputs


def checked(value: Any) -> Any:
    """``value``, a contract as :func:`to_dict` spells it, if a seal has room for it.

    Raises:
        LimitExceededError: it is longer than what is read again. ConfigurationError: a text in it
            has no canonical form.
    """
    try:
        size = len(canonical.encode(value))
    except MalformedSealError as error:
        raise misstated("a text in it cannot be encoded as UTF-8") from error
    if size > LIMITS.inputs:
        cause = f"the input contract takes {size:,} bytes, and {LIMITS.inputs:,} are the most"
        raise LimitExceededError(cause, remedy="Allow fewer values, or have fewer rules.")
    return value


def read(value: Any) -> Read:
    """What ``value`` spells, and what of it is not known here.

    Raises:
        ConfigurationError: what this version knows of it has a wrong value.
    """
    if not isinstance(value, Mapping):
        raise misstated("it is not a JSON object")
    if value.get("version") != VERSION:
        return Read(None, (f"version {printable(str(value.get('version')))[:20]}",))
    structure = value.get("structure")
    if structure not in STRUCTURES:
        raise misstated(f"its structure is not one of {', '.join(STRUCTURES)}")
    listed = value.get("inputs")
    if not isinstance(listed, list) or not 0 < len(listed) <= LIMITS.contract_inputs:
        raise misstated(f"its inputs are not a list of 1 to {LIMITS.contract_inputs}")
    rules = [_read(one) for one in listed]
    if structure == "single" and len(rules) != 1:
        raise misstated(f"a single input is {len(rules)}")
    inputs = in_structure(rules, structure)
    return Read(inputs, (*_unknown(value, _KNOWN), *_unknown_rules(listed)))


_KNOWN = frozenset({"version", "structure", "inputs"})


def _unknown(value: Mapping[str, Any], known: frozenset[str]) -> list[str]:
    return [f"'{printable(str(key))[:64]}'" for key in sorted(value.keys() - known, key=str)]


def _unknown_rules(listed: list[Any]) -> list[str]:
    known = frozenset(_DEFAULTS)
    return list(dict.fromkeys(key for one in listed for key in _unknown(one, known)))


def _spelt(rules: InputRules) -> dict[str, Any]:
    told = {name: getattr(rules, name) for name in _DEFAULTS}
    said = {
        name: value for name, value in told.items() if value != _DEFAULTS[name] or name == "name"
    }
    for name in ("minimum", "maximum"):
        if name in said:
            said[name] = _spelt_number(said[name])
    if "shape" in said:
        said["shape"] = list(said["shape"])
    if "allowed" in said:
        said["allowed"] = [
            one if isinstance(one, str) else _spelt_number(one) for one in said["allowed"]
        ]
    return said


def _read(value: Any) -> InputRules:
    if not isinstance(value, Mapping):
        raise misstated("an input of it is not a JSON object")
    said = {name: value[name] for name in _DEFAULTS if name in value}
    for name in ("minimum", "maximum"):
        if said.get(name) is not None:
            said[name] = _number(said[name])
    if isinstance(said.get("allowed"), list) and said.get("kind") != "string":
        said["allowed"] = [_number(one) for one in said["allowed"][: LIMITS.contract_values + 1]]
    if "name" not in said:
        raise misstated("an input of it has no name")
    return InputRules(**said)


def _spelt_number(value: float) -> int | str:
    if isinstance(value, int):
        return value if abs(value) <= _EXACT else str(value)
    return repr(value)


def _number(spelt: Any) -> int | float:
    """The number that ``spelt`` is, or spells."""
    if isinstance(spelt, int | float) and not isinstance(spelt, bool):
        return spelt
    if not isinstance(spelt, str) or len(spelt) > _DECIMAL_LENGTH:
        raise misstated("a number in it is neither one nor the text of one")
    number = int(spelt) if _INTEGER.fullmatch(spelt) else _double(spelt)
    if not math.isfinite(number) or _spelt_number(plain_number(number)) != spelt:
        raise misstated(f"the number '{printable(spelt)}' is not in its one spelling")
    return number


def _double(spelt: str) -> float:
    try:
        return float(spelt)
    except ValueError:
        raise misstated(f"'{printable(spelt)}' is no number") from None
