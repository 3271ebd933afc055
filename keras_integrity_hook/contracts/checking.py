# SPDX-License-Identifier: Apache-2.0
"""Does data keep a contract? What is good is told apart in two passes over the numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_integrity_hook.contracts.arrays import Elements, Shape, elements_of, told
from keras_integrity_hook.contracts.extremes import extremes, offences
from keras_integrity_hook.contracts.input_rules import KINDS, InputRules
from keras_integrity_hook.contracts.inputs import Inputs
from keras_integrity_hook.contracts.matching import matched
from keras_integrity_hook.errors import InputContractError, printable
from keras_integrity_hook.texts import plural

_IsWrong = Callable[[NDArray[Any]], NDArray[np.bool_]]
_VALUE_SHOWN = 80  # characters
_REAL = ("boolean", "integer", "float")


def check(contract: Inputs, inputs: Any) -> None:
    """Refuse ``inputs`` that the contract does not allow; see :meth:`InputContract.check`.

    Raises:
        InputContractError: of the first rule that is broken, by the first input that breaks one.
    """
    for rules, value in matched(contract, inputs):
        if value is not None:
            _check_input(rules, value)
        elif not rules.optional:
            raise _broken(rules, "kind", "is None, and it is not optional")


def _check_input(rules: InputRules, value: Any) -> None:
    try:
        elements = elements_of(value)
    except (ValueError, TypeError, OverflowError):
        what = type(value).__name__
        raise _broken(rules, "kind", f"is a {what} that cannot be read as one array") from None
    _check_kind(rules, elements)
    _check_shape(rules, elements.shape)
    if elements.array.size:
        _check_numbers(rules, elements)
        _check_allowed(rules, elements)
        _check_length(rules, elements)


def _check_kind(rules: InputRules, elements: Elements) -> None:
    kind, wanted = elements.kind, rules.kind
    if kind not in KINDS:
        raise _broken(rules, "kind", f"is {told(elements)}, which no model takes")
    if wanted is None or kind == wanted:
        return
    if "string" in (kind, wanted) or KINDS.index(kind) > KINDS.index(wanted):
        cause = f"is of the kind '{kind}', and the model takes '{wanted}'"
        raise _broken(rules, "kind", cause, value=str(elements.array.dtype))


def _check_shape(rules: InputRules, shape: Shape) -> None:
    if rules.shape is None or fits(shape, rules.shape):
        return
    cause = f"has the shape {_spelt(shape)}, and the model takes {_spelt(rules.shape)}"
    raise _broken(rules, "shape", cause, value=_spelt(shape))


def fits(shape: Shape, wanted: Shape) -> bool:
    """Whether Keras takes data of ``shape`` for an input of the shape ``wanted``.

    A last axis of one element is added or taken away as Keras does it. The batch may be of any
    size.
    """
    if len(shape) == len(wanted) + 1 and shape[-1] == 1:
        shape = shape[:-1]
    elif len(shape) == len(wanted) - 1 and wanted[-1] == 1:
        shape = (*shape, 1)
    if not shape or len(shape) != len(wanted):
        return False
    pairs = zip(shape[1:], wanted[1:], strict=True)
    return all(size is None or given == size for given, size in pairs)


def _check_numbers(rules: InputRules, elements: Elements) -> None:
    """Find with one look at the extremes whether a number can be wrong, and only then which."""
    low, high = rules.minimum, rules.maximum
    if elements.kind == "string" or not (rules.finite or low is not None or high is not None):
        return
    for array in _real_parts(elements.array):
        found = extremes(array)
        if found is None or _is_within(found, low, high, finite=rules.finite):
            continue
        if rules.finite:
            _refuse(
                rules,
                "finite",
                elements,
                "other than finite numbers",
                lambda part: ~np.isfinite(part),
            )
        if low is not None:
            cause = f"below its minimum {low}"
            _refuse(rules, "minimum", elements, cause, lambda part: part < low)
        if high is not None:
            cause = f"over its maximum {high}"
            _refuse(rules, "maximum", elements, cause, lambda part: part > high)


def _is_within(
    found: tuple[float, float], low: float | None, high: float | None, *, finite: bool
) -> bool:
    smallest, largest = found
    if finite and not (-np.inf < smallest and largest < np.inf):
        return False
    # Where there is a NaN, which hides the rest, neither comparison holds.
    return (low is None or smallest >= low) and (high is None or largest <= high)


def _real_parts(array: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    return (array.real, array.imag) if array.dtype.kind == "c" else (array,)


def _check_allowed(rules: InputRules, elements: Elements) -> None:
    allowed = rules.allowed
    if allowed is None:
        return
    cause = f"other than the {len(allowed)} that are allowed"
    if rules.kind == "string":
        texts = {*allowed, *(one.encode() for one in allowed if isinstance(one, str))}
        _refuse(rules, "allowed", elements, cause, _each(lambda one: one not in texts))
    else:
        numbers = set(allowed)
        _refuse(rules, "allowed", elements, cause, lambda part: ~_is_one_of(part, numbers))


def _is_one_of(part: NDArray[Any], numbers: set[Any]) -> NDArray[np.bool_]:
    distinct = np.unique(part)
    good = [one for one in distinct if one.item() in numbers]
    return np.isin(part, np.asarray(good, part.dtype))


def _check_length(rules: InputRules, elements: Elements) -> None:
    longest = rules.maximum_length
    if longest is not None:
        cause = f"longer than {plural(longest, 'character')}"
        is_wrong = _each(lambda one: characters(one) > longest)
        _refuse(rules, "maximum_length", elements, cause, is_wrong)


def characters(text: str | bytes) -> int:
    """How many characters ``text`` has; of bytes, those that begin one in UTF-8."""
    if isinstance(text, str) or text.isascii():
        return len(text)
    return sum((byte & 0xC0) != 0x80 for byte in text)


def _each(is_wrong: Callable[[Any], bool]) -> _IsWrong:
    """``is_wrong`` of every text of an array."""

    def of_all(part: NDArray[Any]) -> NDArray[np.bool_]:
        found = (is_wrong(one) for one in part.ravel().tolist())
        return np.fromiter(found, np.bool_, part.size).reshape(part.shape)

    return of_all


def _refuse(
    rules: InputRules, rule: str, elements: Elements, what: str, is_wrong: _IsWrong
) -> None:
    """Raise for the elements that break ``rule``, if there are any."""
    with np.errstate(all="ignore"):  # a bound may be beyond what the type of the data can hold
        found = offences(elements.array, is_wrong)
    if found is None:
        return
    index = found.index if elements.place is None else elements.place(found.index)
    value = _shown(found.value)
    first = ":" if found.count == 1 else ", the first"
    where = f" at {_spelt(index)}" if index else ""
    cause = f"has {plural(found.count, 'value')} {what}{first} {value}{where}"
    raise _broken(rules, rule, cause, value=value, index=index, count=found.count)


def _broken(  # noqa: PLR0913 - the fields of the error
    rules: InputRules,
    rule: str,
    cause: str,
    *,
    value: str = "",
    index: tuple[int, ...] = (),
    count: int | None = None,
) -> InputContractError:
    return InputContractError(
        f"input '{printable(rules.name)}' {cause}",
        input=rules.name,
        rule=rule,
        index=index,
        value=value,
        count=count,
    )


def _shown(value: Any) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= _VALUE_SHOWN else f"{text[:_VALUE_SHOWN]}…"


def _spelt(sizes: Shape) -> str:
    """``(None, 784)``."""
    return f"({', '.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"
