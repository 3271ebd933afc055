# SPDX-License-Identifier: Apache-2.0
"""The elements of one input, whatever library it comes from, as an array of NumPy.

Nothing is copied where the library lets its memory be seen. No library is imported: a value is
known by what it has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_integrity_hook.errors import printable

Index = tuple[int, ...]
Shape = tuple[int | None, ...]

_KIND_OF_CODE = {
    "b": "boolean",
    "i": "integer",
    "u": "integer",
    "f": "float",
    "c": "complex",
    "U": "string",
    "S": "string",
}
_TYPES_TOLD = 4
# Those of ml_dtypes, which NumPy knows by their names alone.
_SMALL = (("bfloat16", "float"), ("float", "float"), ("int", "integer"), ("uint", "integer"))


@dataclass(frozen=True, slots=True)
class Elements:
    """All elements of an input.

    Attributes:
        array: the elements in their order; the shape of the array is the input's own, unless it is
            ragged or sparse. Texts are of NumPy's types for them or objects, ``str`` or ``bytes``.
        kind: one of ``input_rules.KINDS``, or NumPy's name for anything else.
        shape: of the input; None where the rows of a ragged one differ.
        place: the index in the input for an index in ``array``, where the two differ.
    """

    array: NDArray[Any]
    kind: str
    shape: Shape
    place: Callable[[Index], Index] | None = None


def elements_of(value: Any) -> Elements:
    """The elements of an array, a tensor, a frame, a scalar or lists of scalars.

    Raises:
        ValueError, TypeError: it is none of them, or its lists are not rectangular.
    """
    if isinstance(value, np.ndarray):
        # Of a subclass what it keeps: Keras does not ask which elements of it are masked.
        return _whole(value if type(value) is np.ndarray else np.asarray(value))
    for marks, read in _READERS:
        if all(hasattr(value, mark) for mark in marks):
            return read(value)
    return _whole(np.asarray(value))


def told(elements: Elements) -> str:
    """What ``elements`` of no kind are, for people: of objects, which types are among them."""
    if elements.array.dtype != object:
        return f"of the type {printable(elements.kind)}"
    types = sorted({type(one).__name__ for one in elements.array.ravel().tolist()})
    listed = ", ".join(map(printable, types[:_TYPES_TOLD]))
    return f"a mixture of {listed}" if len(types) > 1 else f"of the type {listed}"


def _whole(array: NDArray[Any]) -> Elements:
    kind = _KIND_OF_CODE.get(array.dtype.kind)
    if kind is None:
        array, kind = _recognised(array)
    return Elements(array, kind, array.shape)


def _recognised(array: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """``array`` of another than NumPy's common types, and its kind."""
    name = array.dtype.name
    if array.dtype.kind == "T":  # the texts of NumPy 2
        return array.astype(object), "string"
    if array.dtype.kind != "O":
        kinds = (kind for start, kind in _SMALL if name.startswith(start))
        return array, next(kinds, name)
    listed = array.ravel().tolist()
    if all(isinstance(one, str | bytes) for one in listed):
        return array, "string"
    if all(isinstance(one, int | float) for one in listed):
        numbers = np.asarray(listed).reshape(array.shape)
        return numbers, _KIND_OF_CODE.get(numbers.dtype.kind, name)
    return array, name


def _of_torch(tensor: Any) -> Elements:
    dense = tensor.detach()
    if dense.is_sparse:
        dense = dense.coalesce()
        indices = dense.indices().transpose(0, 1).cpu().numpy()
        return _of_sparse(_of_torch(dense.values()).array, indices, dense.shape)
    dense = dense.cpu().resolve_conj().resolve_neg()
    try:
        return _whole(dense.numpy())
    except TypeError:  # NumPy has no bfloat16 and no 8-bit floats
        return _whole(dense.float().numpy())


def _of_sparse(values: Any, indices: Any, shape: Any) -> Elements:
    """What is stored, one zero more where not everything is, and the sums of what is stored in one
    place: so it goes into a product."""
    sizes = tuple(int(size) for size in shape)
    stored = _whole(np.asarray(values))
    places = np.asarray(indices)
    array = stored.array
    total = 1
    for size in sizes:
        total *= size
    if len(array) < total and stored.kind != "string":
        array = np.append(array, np.zeros((1, *array.shape[1:]), array.dtype))

    if stored.kind != "string":
        array = np.concatenate([array, _sums(stored.array, places)])

    def place(index: Index) -> Index:
        known = index[0] < len(places)
        return tuple(int(one) for one in places[index[0]]) if known else ()

    return Elements(array, stored.kind, sizes, place)


def _sums(values: NDArray[Any], places: NDArray[Any]) -> NDArray[Any]:
    """The sums of ``values`` that have one place in common; nothing where none have."""
    nothing = values[:0]
    if places.ndim != 2 or len(places) != len(values) or len(values) < 2 or not places.shape[1]:
        return nothing
    steps = np.diff(places, axis=0)
    first = steps[np.arange(len(steps)), (steps != 0).argmax(axis=1)]
    if (first > 0).all():  # in order, as nearly all are
        return nothing
    distinct, inverse = np.unique(places, axis=0, return_inverse=True)
    if len(distinct) == len(places):
        return nothing
    sums = np.zeros((len(distinct), *values.shape[1:]), values.dtype)
    np.add.at(sums, inverse.reshape(-1), values)
    return sums


def _of_tensorflow(value: Any) -> Elements:
    return _of_sparse(value.values, value.indices, value.dense_shape)


def _of_scipy(value: Any) -> Elements:
    found = value.tocoo()
    return _of_sparse(found.data, np.stack((found.row, found.col), axis=-1), found.shape)


def _of_jax(value: Any) -> Elements:
    return _of_sparse(value.data, value.indices, value.shape)


def _of_ragged(ragged: Any) -> Elements:
    flat = _whole(np.asarray(ragged.flat_values))
    splits = [np.asarray(one) for one in ragged.nested_row_splits]

    def place(index: Index) -> Index:
        """Which row of which row, from the innermost out."""
        position, steps = index[0], list(index[1:])
        for ends in reversed(splits):
            row = int(np.searchsorted(ends, position, side="right")) - 1
            steps.insert(0, position - int(ends[row]))
            position = row
        return (position, *steps)

    shape = tuple(None if size is None else int(size) for size in ragged.shape)
    return Elements(flat.array, flat.kind, shape, place)


# What has its own way of keeping elements, by the attributes that it is known by.
_READERS: tuple[tuple[tuple[str, ...], Callable[[Any], Elements]], ...] = (
    (("nested_row_splits", "flat_values"), _of_ragged),
    (("dense_shape", "indices"), _of_tensorflow),
    (("tocoo",), _of_scipy),
    (("todense", "indices"), _of_jax),
    (("detach", "is_sparse"), _of_torch),
)
