# SPDX-License-Identifier: Apache-2.0
"""One part of two models, compared byte by byte and number by number, a piece at a time."""

from __future__ import annotations

import math
import struct
from dataclasses import replace

from keras_integrity_hook.containers import hdf5_types
from keras_integrity_hook.containers.parts import Part
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.verification.differences import Change, Difference

_FORMATS = {
    "float16": "e",
    "float32": "f",
    "float64": "d",
    "bool": "B",
    **{f"int{8 * size}": code for size, code in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))},
    **{f"uint{8 * size}": code for size, code in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))},
}


def compared(first: Content, second: Content, part: Part, other: Part) -> Difference:
    """How ``part`` of the first content differs from ``other``, of the same size, in the second."""
    found = Difference(part.name, "changed", part)
    step = MIB  # a multiple of every size of a number
    for at in range(0, part.size, step):
        size = min(step, part.size - at)
        one, two = first.read(part.offset + at, size), second.read(other.offset + at, size)
        if one != two:
            found = _with_piece(found, one, two, at, other.offset)
    return found


def _with_piece(found: Difference, one: bytes, two: bytes, at: int, start: int) -> Difference:
    """``found``, and what differs between two pieces of as many bytes.

    Args:
        at: where they begin in the part.
        start: where the part begins in the second content.
    """
    wrong = int.from_bytes(one, "little") ^ int.from_bytes(two, "little")
    mask = wrong.to_bytes(len(one), "little")
    found = replace(
        found,
        bits=found.bits + wrong.bit_count(),
        bytes=found.bytes + len(mask) - mask.count(0),
        first=start + at + _first_set(wrong) if found.first is None else found.first,
    )
    return _with_numbers(found, one, two, at, mask) if found.part.dtype else found


def _first_set(wrong: int) -> int:
    """The first byte of a little-endian number that is not zero."""
    return ((wrong & -wrong).bit_length() - 1) // 8


def _with_numbers(found: Difference, one: bytes, two: bytes, at: int, mask: bytes) -> Difference:
    size = hdf5_types.itemsize(found.part.dtype)
    changed = struct.unpack(f"<{len(mask) // size}{ {1: 'B', 2: 'H', 4: 'I', 8: 'Q'}[size] }", mask)
    code = f"<{len(mask) // size}{_FORMATS[found.part.dtype]}"
    before, after = struct.unpack(code, one), struct.unpack(code, two)
    values, not_finite, largest = found.values, found.not_finite, found.largest
    furthest = -1.0 if largest is None else abs(largest.after - largest.before)
    for index, is_changed in enumerate(changed):
        if not is_changed:
            continue
        values += 1
        old, new = before[index], after[index]
        if not math.isfinite(new):
            not_finite += math.isfinite(old)
        elif abs(new - old) > furthest:  # never so where the old one was not a number
            furthest = abs(new - old)
            place = _unravelled(at // size + index, found.part.shape or ())
            largest = Change(place, old, new)
    return replace(found, values=values, not_finite=not_finite, largest=largest)


def _unravelled(number: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index in an array of ``shape`` of the element that is the ``number``-th in memory."""
    index: list[int] = []
    for length in reversed(shape):
        number, within = divmod(number, max(length, 1))
        index.append(within)
    return tuple(reversed(index))
