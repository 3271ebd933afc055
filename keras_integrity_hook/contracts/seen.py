# SPDX-License-Identifier: Apache-2.0
"""What was seen of one input, in bounded memory however much there is of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_integrity_hook.contracts.arrays import Shape, elements_of, told
from keras_integrity_hook.contracts.checking import characters
from keras_integrity_hook.contracts.extremes import extremes
from keras_integrity_hook.contracts.input_rules import KINDS, misstated

_CATEGORIES = 64
_TIMES_SEEN = 20
_AS_COLUMNS = "; give its columns as inputs of their own: dict(frame.items())"


class Seen:
    """What one input has been so far.

    Attributes:
        name: of the input.
        kind: the widest of ``input_rules.KINDS`` so far; None before there is anything.
        shape: as a contract has it: None where sizes differ, or None where the ranks do.
        low, high: the smallest and the largest number that is finite; None where there is none.
        is_finite: no NaN and no infinity so far.
        longest: of texts, in characters; None where there is none.
        is_optional: None was given in place of the input.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.kind: str | None = None
        self.shape: Shape | None = None
        self.low: int | float | None = None
        self.high: int | float | None = None
        self.is_finite = True
        self.longest: int | None = None
        self.is_optional = False
        self._is_begun = False
        self._infinities = [False, False]  # below, above
        self._texts: set[str] | None = set()
        self._count = 0

    def add(self, value: Any) -> None:
        """Take a batch into account.

        Raises:
            ConfigurationError: it is nothing that a model takes, or of another kind than before.
        """
        try:
            elements = elements_of(value)
        except (ValueError, TypeError, OverflowError) as error:
            what = type(value).__name__
            raise misstated(f"input '{self.name}' is a {what}, which is no array") from error
        if elements.kind not in KINDS:
            way_out = _AS_COLUMNS if hasattr(value, "columns") else ""
            raise misstated(f"input '{self.name}' is {told(elements)}{way_out}")
        self._widen_kind(elements.kind)
        self._widen_shape(elements.shape)
        self._count += elements.array.size
        if not elements.array.size:
            return
        if elements.kind == "string":
            self._add_texts(elements.array)
        elif elements.kind != "complex":
            self._add_numbers(elements.array)
        else:
            self.is_finite &= bool(np.isfinite(elements.array).all())

    def bounds(self) -> tuple[int | float | None, int | float | None]:
        """The smallest and the largest number; None on a side where there was an infinity."""
        below, above = self._infinities
        return None if below else self.low, None if above else self.high

    def categories(self) -> tuple[str, ...] | None:
        """All texts, where they look like the names of a few categories: at most 64, and each
        seen 20 times on average."""
        texts = self._texts
        if self.kind != "string" or not texts or self._count < _TIMES_SEEN * len(texts):
            return None
        return tuple(texts)

    def _widen_kind(self, kind: str) -> None:
        if self.kind is not None and "string" in (kind, self.kind) and kind != self.kind:
            raise misstated(f"input '{self.name}' is of texts and of numbers")
        self.kind = kind if self.kind is None else max(kind, self.kind, key=KINDS.index)
        if self.kind == "complex":
            self.low = self.high = None

    def _widen_shape(self, shape: Shape) -> None:
        if not shape:
            raise misstated(f"input '{self.name}' is a single number, without a batch axis")
        shape = (None, *shape[1:])
        if not self._is_begun:
            self.shape, self._is_begun = shape, True
        elif self.shape is None or len(shape) != len(self.shape):
            self.shape = None
        else:
            pairs = zip(shape, self.shape, strict=True)
            self.shape = tuple(new if new == old else None for new, old in pairs)

    def _add_numbers(self, array: NDArray[Any]) -> None:
        found = extremes(array)
        if found is None:
            return
        if not all(map(math.isfinite, found)):
            self.is_finite = False
            self._infinities[0] |= bool(np.isneginf(array).any())
            self._infinities[1] |= bool(np.isposinf(array).any())
            found = extremes(array[np.isfinite(array)])
            if found is None:
                return
        low, high = (int(one) if isinstance(one, bool) else one for one in found)
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)

    def _add_texts(self, array: NDArray[Any]) -> None:
        for one in array.ravel().tolist():
            self.longest = max(self.longest or 0, characters(one))
            if self._texts is not None:
                self._texts.add(one if isinstance(one, str) else one.decode("utf-8", "replace"))
                if len(self._texts) > _CATEGORIES:
                    self._texts = None
