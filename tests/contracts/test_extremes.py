# SPDX-License-Identifier: Apache-2.0
"""The fused reductions say what NumPy says element by element, of every type and layout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from keras_integrity_hook.contracts import extremes as fused
from keras_integrity_hook.contracts.extremes import Offences, extremes, offences

TYPES = ("?", "i1", "u1", "i2", "u2", "i4", "u8", "i8", "f2", "f4", "f8", ">f2", ">f4", ">i4")


def arrays() -> st.SearchStrategy[NDArray[Any]]:
    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)
    return st.sampled_from(TYPES).flatmap(lambda dtype: hnp.arrays(dtype, shapes))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small arrays have many."""
    monkeypatch.setattr(fused, "_PIECE", 7)


def alike(one: Any, other: Any) -> bool:
    return bool(one == other) or (math.isnan(one) and math.isnan(other))


@given(arrays(), st.booleans())
def test_extremes_are_those_of_numpy(array: NDArray[Any], is_turned: bool) -> None:
    array = array.T if is_turned else array
    if array.size == 0:
        assert extremes(array) is None
        return
    found = extremes(array)
    assert found is not None
    numbers = array.astype(np.float64) if array.dtype.kind == "f" else array
    has_nan = array.dtype.kind == "f" and bool(np.isnan(array).any())
    if has_nan:
        assert any(math.isnan(one) for one in found)
    else:
        assert alike(found[0], numbers.min().item())
        assert alike(found[1], numbers.max().item())


@given(arrays(), st.booleans())
def test_offences_are_found_where_they_are(array: NDArray[Any], is_turned: bool) -> None:
    array = array.T if is_turned else array

    def is_wrong(piece: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray(piece > 1)

    wrong = np.argwhere(array > 1)
    found = offences(array, is_wrong)
    if array.ndim == 0:
        assert found == (Offences((), array[()], 1) if array > 1 else None)
    elif not len(wrong):
        assert found is None
    else:
        assert found is not None
        assert found.index == tuple(wrong[0])
        assert found.value == array[found.index]
        assert found.count == len(wrong)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_sixteen_bits_are_ordered_as_numbers(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else np.float16)
    every = np.arange(1 << 16, dtype=np.uint16).view(dtype)
    numbers = every[np.isfinite(every.astype(np.float32))]
    rng = np.random.default_rng(1)
    for _ in range(200):
        some = rng.choice(numbers, size=rng.integers(1, 9))
        wanted = some.astype(np.float32)
        assert extremes(some) == (wanted.min(), wanted.max())
    for nan in every[np.isnan(every.astype(np.float32))][::97]:
        found = extremes(np.array([1, nan, -1], dtype))
        assert found is not None
        assert any(math.isnan(one) for one in found)
    low, high = extremes(np.array([-np.inf, 3, np.inf], dtype)) or (0, 0)
    assert (low, high) == (-math.inf, math.inf)


def test_no_array_of_the_inputs_size_is_made() -> None:
    import tracemalloc

    fused._PIECE = 1 << 17
    array = np.ones((4000, 1000), np.float32)
    views = (array, array[::2, ::2], array.T, array.astype(np.float16), array.astype(">f2"))
    for view in views:
        tracemalloc.start()
        extremes(view)
        offences(view, lambda piece: np.asarray(piece > 0.5))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4_000_000
