# SPDX-License-Identifier: Apache-2.0
"""Arrays of every kind that a model takes come through shared memory as they were."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from keras_integrity_hook.isolation import arrays, structures
from keras_integrity_hook.isolation.protocol import BrokenChannelError
from keras_integrity_hook.limits import LIMITS

ARRAYS = [
    np.zeros((2, 3), "float32"),
    np.array(5),
    np.zeros((0, 4), "int64"),
    np.array([True, False]),
    np.arange(24, dtype="uint8").reshape(2, 3, 4)[:, ::2],
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array([1 + 2j]),
    np.array(["", "äöü", "x" * 100]),
    np.array([b"a", b""]),
    np.arange(3, dtype=">f8"),
    np.array([1.5], "float16"),
]


def through(given: list[Any]) -> list[Any]:
    """``given`` after its way through shared memory."""
    packed = arrays.Packed([arrays.plain(each) for each in given])
    fd = os.memfd_create("arrays")
    try:
        os.ftruncate(fd, packed.size)
        packed.write(arrays.write_to(fd))
        return list(arrays.read(fd, packed.size, packed.names))
    finally:
        os.close(fd)


def test_every_kind_comes_through() -> None:
    for given, got in zip(ARRAYS, through(ARRAYS), strict=True):
        assert got.dtype == given.dtype
        assert got.shape == given.shape
        assert np.array_equal(got, given)


def test_numbers_of_machine_learning_come_through() -> None:
    types = pytest.importorskip("ml_dtypes")
    (got,) = through([np.array([1.5, -2], types.bfloat16)])
    assert got.dtype == types.bfloat16
    assert got.tolist() == [1.5, -2]


def test_texts_in_objects_become_texts() -> None:
    objects = [np.array(["a", "bb"], object), np.array([b"a", b"bb"], object), "one"]
    texts, data, one = through(objects)
    assert texts.tolist() == ["a", "bb"]
    assert data.tolist() == [b"a", b"bb"]
    assert one.item() == "one"


@pytest.mark.parametrize(
    "value", [object(), [{}], np.array([1, "a"], object), [np.datetime64(0, "s")]]
)
def test_what_is_neither_numbers_nor_text_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="neither numbers nor text"):
        arrays.plain(value)


def test_structures_come_through() -> None:
    value = {"a": [1, (2, 3)], "b": {}}
    packed = structures.packed(value, lambda leaf: leaf * 10)
    assert structures.unpacked(packed, lambda leaf: leaf // 10) == value


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {},
        {"leaf": 0, "list": []},
        {"set": []},
        {"list": {}},
        {"dict": [["a"]]},
        {"dict": [[1, {"leaf": 0}]]},
        {"dict": [["a", 1]]},
        {"list": [{"leaf": 0}] * (LIMITS.sandbox_arrays + 1)},
    ],
)
def test_structures_that_are_none_are_refused(said: Any) -> None:
    with pytest.raises(BrokenChannelError):
        structures.unpacked(said, lambda leaf: leaf)


def test_structures_nested_too_deeply_are_refused() -> None:
    said: dict[str, Any] = {"leaf": 0}
    for _ in range(LIMITS.sandbox_nesting + 1):
        said = {"list": [said]}
    with pytest.raises(BrokenChannelError):
        structures.unpacked(said, lambda leaf: leaf)


@pytest.mark.parametrize("said", [1, "x", [-1], [1.5], [True], {"a": 1}])
def test_shapes_that_are_none_are_refused(said: Any) -> None:
    with pytest.raises(BrokenChannelError):
        structures.as_shape(said)
