# SPDX-License-Identifier: Apache-2.0
"""The rules for one input of a model; they are checked for sense when they are made."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, cast

from keras_integrity_hook.errors import ConfigurationError, printable
from keras_integrity_hook.limits import LIMITS

KINDS = ("boolean", "integer", "float", "complex", "string")
"""What elements are. Each number takes the kinds before it, which convert without loss."""

_REAL = (None, "boolean", "integer", "float")
_LARGEST = 2**64


@dataclass(frozen=True, slots=True)
class InputRules:
    """What one input of a model may be; what is not said is not checked, but for ``finite``.

    Attributes:
        name: that of the Keras input, or the key in a dictionary of inputs.
        shape: with the batch axis first, as ``model.input_shape`` has it: ``(None, 784)``. None in
            it is any size, and the batch axis is always None; None alone is any shape.
        kind: of the elements, one of :data:`KINDS`, or None for any. ``"float"`` takes integers
            too, which Keras converts; ``"integer"`` takes no floats, which Keras would cut off.
        finite: neither NaN nor infinity. Where it is False, NaN passes the bounds too.
        minimum, maximum: bounds of each number, inclusive, compared in the precision of the data.
        allowed: all values that there may be: of texts, or of integers.
        maximum_length: of each text, in characters; bytes are read as UTF-8.
        optional: None may be given in place of the input.

    Raises:
        ConfigurationError: rules of a wrong type, or that contradict one another.

    Example:
        >>> InputRules("image", shape=(None, 28, 28), kind="float", minimum=0, maximum=1).maximum
        1
    """

    name: str
    shape: tuple[int | None, ...] | None = None
    kind: str | None = None
    finite: bool = True
    minimum: int | float | None = None
    maximum: int | float | None = None
    allowed: tuple[int, ...] | tuple[str, ...] | None = None
    maximum_length: int | None = None
    optional: bool = False

    def __post_init__(self) -> None:
        _checked_name(self.name)
        self._put("shape", self._checked_shape())
        if self.kind is not None and self.kind not in KINDS:
            raise self._error(f"kind is {self.kind!r}; there are {', '.join(KINDS)}")
        for name in ("finite", "optional"):
            if not isinstance(getattr(self, name), bool):
                raise self._error(f"{name} is neither True nor False")
        self._put("minimum", self._checked_bound("minimum"))
        self._put("maximum", self._checked_bound("maximum"))
        self._put("allowed", self._checked_allowed())
        self._refuse_contradictions()

    def _put(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # frozen for everybody else

    def _checked_shape(self) -> tuple[int | None, ...] | None:
        if self.shape is None:
            return None
        if isinstance(self.shape, str) or not isinstance(self.shape, Iterable):
            raise self._error("its shape is no sequence of sizes")
        shape = tuple(self.shape)
        if not shape or shape[0] is not None:
            raise self._error("its shape does not begin with None, which is the batch axis")
        if len(shape) > LIMITS.contract_rank:
            raise self._error(f"its shape has over {LIMITS.contract_rank} dimensions")
        if not all(size is None or _is_size(size) for size in shape):
            raise self._error("a size in its shape is neither None nor a natural number")
        return shape

    def _checked_bound(self, name: str) -> int | float | None:
        bound = getattr(self, name)
        if bound is None:
            return None
        if not isinstance(bound, Real) or isinstance(bound, bool):
            raise self._error(f"its {name} is not a number")
        if not math.isfinite(bound):
            raise self._error(f"its {name} is not finite; leave it out for none")
        if isinstance(bound, Integral) and abs(int(bound)) > _LARGEST:
            raise self._error(f"its {name} is beyond any integer of 64 bits")
        return plain_number(bound)

    def _checked_allowed(self) -> tuple[int, ...] | tuple[str, ...] | None:
        if self.allowed is None:
            return None
        if isinstance(self.allowed, str) or not isinstance(self.allowed, Iterable):
            raise self._error("what is allowed is no sequence of values")
        allowed = tuple(self.allowed)
        if not 0 < len(allowed) <= LIMITS.contract_values:
            raise self._error(f"it allows {len(allowed)} values, not 1 to {LIMITS.contract_values}")
        if self.kind == "string":
            return self._texts(allowed)
        if not all(isinstance(one, Integral) and not isinstance(one, bool) for one in allowed):
            raise self._error("a value that is allowed is no integer, nor of the kind 'string'")
        numbers = {int(one) for one in cast("tuple[int, ...]", allowed)}
        if max(map(abs, numbers)) > _LARGEST:
            raise self._error("a value that is allowed is beyond any integer of 64 bits")
        return tuple(sorted(numbers))

    def _texts(self, allowed: tuple[Any, ...]) -> tuple[str, ...]:
        if not all(isinstance(one, str) for one in allowed):
            raise self._error("a value that is allowed is no text")
        return tuple(sorted({str(one) for one in allowed}))

    def _refuse_contradictions(self) -> None:
        low, high = self.minimum, self.maximum
        if (low is not None or high is not None) and self.kind not in _REAL:
            raise self._error(f"there are no bounds of what is of the kind {self.kind!r}")
        if low is not None and high is not None and low > high:
            raise self._error(f"its minimum {low} is over its maximum {high}")
        if self.allowed is not None and self.kind not in ("integer", "float", "string"):
            raise self._error("values are allowed of the kinds 'integer', 'float' and 'string'")
        if self.maximum_length is not None and (
            self.kind != "string" or not _is_size(self.maximum_length)
        ):
            raise self._error("a maximum length is a natural number, of the kind 'string'")

    def _error(self, cause: str) -> ConfigurationError:
        return misstated(f"input '{printable(str(self.name))}': {cause}")


def is_bound(number: float) -> bool:
    """Whether ``number`` can be a bound: a finite one, of 64 bits where it is an integer."""
    return math.isfinite(number) and not (isinstance(number, Integral) and abs(number) > _LARGEST)


def misstated(cause: str) -> ConfigurationError:
    """The error of a contract that makes no sense."""
    return ConfigurationError(cause, remedy="Correct the input contract; nothing was changed.")


def _checked_name(name: Any) -> None:
    if not isinstance(name, str) or not name or not name.isprintable():
        raise misstated("the name of an input is not one line of printable text")
    if len(name) > LIMITS.model_name:
        raise misstated(f"the name of an input has over {LIMITS.model_name} characters")


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def plain_number(value: Real | float) -> int | float:
    """``value``, which may be one of numpy's, as Python's own, and 1 for 1.0: a bound has one
    form."""
    if isinstance(value, Integral):
        return int(value)
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
