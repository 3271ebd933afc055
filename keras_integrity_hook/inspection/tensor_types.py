# SPDX-License-Identifier: Apache-2.0
"""The types of tensors by the numbers of TensorFlow's ``types.proto``, and shapes of tensors."""

from __future__ import annotations

from keras_integrity_hook.inspection.protobuf import Span, Wire

STRING, RESOURCE, VARIANT = 7, 20, 21
_SIZES = {2: 8, 8: 8, 9: 8, 18: 16, 23: 8} | dict.fromkeys((1, 3, 13, 22), 4)
_SIZES |= dict.fromkeys((5, 14, 15, 16, 17, 19), 2)
_MOST = 1 << 62  # elements; a negative length is read as more


def item_size(kind: int) -> int:
    """Bytes of one element in memory; one for texts, and for all that take less."""
    return _SIZES.get(kind, 1)


def elements(wire: Wire, shape: Span) -> int:
    """How many elements a ``TensorShapeProto`` states: ``dim`` (2), ``size`` (1)."""
    count = 1
    for dimension in wire.spans(shape, 2):
        sizes = [value for number, value, end in wire.fields(dimension) if number == 1 and end < 0]
        count = min(count * (sizes[-1] if sizes else 0), _MOST)
    return count
