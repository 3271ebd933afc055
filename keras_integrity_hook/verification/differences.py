# SPDX-License-Identifier: Apache-2.0
"""What a comparison of two models says: each part that differs, and by how much."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from keras_integrity_hook.containers.parts import Part

STRUCTURE = "structure"
"""The name of all bytes that are in no part: headers, names, attributes, padding."""


@dataclass(frozen=True, slots=True)
class Change:
    """One number of a variable that is not the same.

    Attributes:
        index: of the number, in the variable's shape.
        before, after: the number in the one model and in the other.
    """

    index: tuple[int, ...]
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How one part differs.

    Attributes:
        name: of the part, or :data:`STRUCTURE`.
        kind: ``"changed"``; ``"missing"`` or ``"added"`` in the second model; ``"reshaped"`` where
            size, shape or type are not the same; ``"cut off"`` where the second model ends before;
            ``"longer"``, of the structure, where it goes on after the end of the first;
            ``"rearranged"``, of the structure, where all parts are the same and lie elsewhere, so
            that the rest is not and could not be compared.
        part: as it is in the first model, or in the second if it is there alone.
        other: as it is in the second model, where that is not the same.
        bits, bytes, values: how many differ; ``values`` only of plain numbers.
        first: offset of the first byte that differs, in bytes of the second model's content.
        at: the same as an offset in the second model's file, or in that one of a set which ``name``
            begins with; None where it is in none.
        largest: the number that moved furthest; None where none is both before and after finite.
        not_finite: how many numbers have become infinite or not a number.
    """

    name: str
    kind: str
    part: Part
    other: Part | None = None
    bits: int = 0
    bytes: int = 0
    values: int = 0
    first: int | None = None
    at: int | None = None
    largest: Change | None = None
    not_finite: int = 0

    @property
    def is_structure(self) -> bool:
        """Whether it is about the bytes that are in no part."""
        return self.name == STRUCTURE or self.name.endswith(f": {STRUCTURE}")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Where a second model differs from a first.

    Attributes:
        differences: none where the contents are the same, byte for byte.
        parts: how many were compared.
        bytes: how many of each model were compared.
        is_laid_out_alike: whether the same parts are at the same places of both; where not, what
            lies between them could not be compared.
        damage: why the second is no model any more, so that its bytes were compared as they are,
            under the names of the first; "" where it is one.
    """

    differences: tuple[Difference, ...] = field(default=())
    parts: int = 0
    bytes: int = 0
    is_laid_out_alike: bool = True
    damage: str = ""


def to_dict(found: Difference) -> dict[str, Any]:
    """JSON-able values; numbers that JSON does not have are spelt as text."""
    largest = found.largest
    shape = list(found.part.shape) if found.part.shape is not None else None
    return {
        "part": found.name,
        "kind": found.kind,
        "shape": shape,
        "dtype": found.part.dtype or None,
        "size": found.part.size,
        "bits": found.bits,
        "bytes": found.bytes,
        "values": found.values if found.part.dtype else None,
        "not_finite": found.not_finite,
        "first": found.first,
        "at": found.at,
        "largest": None
        if largest is None
        else {
            "index": list(largest.index),
            "before": largest.before if math.isfinite(largest.before) else repr(largest.before),
            "after": largest.after,
        },
    }
