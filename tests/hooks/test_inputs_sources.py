# SPDX-License-Identifier: Apache-2.0
"""The view of a ``tf.data.Dataset`` gives what the data set gives, and looks at each batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from keras_integrity_hook import InputContract, InputContractError, InputRules
from keras_integrity_hook.contracts.attached import Attached
from keras_integrity_hook.hooks.inputs import sources
from keras_integrity_hook.hooks.inputs.watch import Watch

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")


@pytest.fixture(scope="module")
def tf(keras: Any) -> Any:
    return pytest.importorskip("tensorflow")


def watch(*rules: InputRules, by_name: bool = False) -> Watch:
    stated = {one.name: one for one in rules} if by_name else rules
    contract = InputContract(rules[0] if len(rules) == 1 and not by_name else stated)
    return Watch(Attached(contract, "model.keras", is_enforced=True, at=frozenset({"predict"})))


def ragged(tf: Any) -> Any:
    rows = tf.ragged.constant([[1.0], [2.0, 3.0], [], [9.0, 4.0]])
    return tf.data.Dataset.from_tensor_slices((rows, [0, 0, 0, 0])).batch(2)


def sparse(tf: Any) -> Any:
    numbers = tf.sparse.from_dense([[1.0, 0.0], [0.0, 3.0], [0.0, 0.0], [9.0, 0.0]])
    return tf.data.Dataset.from_tensor_slices((numbers,)).batch(2)


def texts(tf: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(["a", "bb", "c", "dddd"]).batch(2)


def small_floats(tf: Any) -> Any:
    numbers = tf.constant([[1.0], [2.0], [3.0], [9.0]], tf.bfloat16)
    return tf.data.Dataset.from_tensor_slices(numbers).batch(2)


def named(tf: Any) -> Any:
    columns = {"a": [[1.0], [2.0], [3.0], [4.0]], "b": [[1.0], [2.0], [3.0], [9.0]]}
    return tf.data.Dataset.from_tensor_slices((columns, [0, 0, 0, 0])).batch(2)


FLOATS = InputRules("x", None, "float", maximum=5)
CASES: list[tuple[Callable[[Any], Any], Callable[[], Watch]]] = [
    (ragged, lambda: watch(FLOATS)),
    (sparse, lambda: watch(FLOATS)),
    (texts, lambda: watch(InputRules("x", (None,), "string", maximum_length=3))),
    (small_floats, lambda: watch(FLOATS)),
    (named, lambda: watch(InputRules("a"), InputRules("b", maximum=5), by_name=True)),
]


@pytest.mark.parametrize(("make", "contract"), CASES, ids=lambda one: getattr(one, "__name__", ""))
def test_view_of_a_data_set_is_like_it_and_looks(
    tf: Any, make: Callable[[Any], Any], contract: Callable[[], Watch]
) -> None:
    source, looking = make(tf), contract()
    view = sources.watched(source, looking)
    assert view.element_spec == source.element_spec
    assert int(view.cardinality()) == int(source.cardinality()) == 2
    given = iter(view)
    pair = [tf.nest.flatten(next(one), expand_composites=True) for one in (given, iter(source))]
    assert all(np.array_equal(one, other) for one, other in zip(*pair, strict=True))
    with pytest.raises(tf.errors.OpError):
        next(given)
    assert looking.failure is not None
    assert looking.failure.batch == 1


def test_failure_of_another_process_is_heard_of() -> None:
    import os

    looking = watch(FLOATS)
    looking.share()
    child = os.fork()
    if not child:
        try:
            looking.check_batch(np.array([[1.0], [7.5]]), 4)
        except InputContractError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    error = looking.failure
    assert error is not None
    assert (error.input, error.rule, error.index) == ("x", "maximum", (1, 0))
    assert (error.batch, error.path, error.count) == (4, "model.keras", 1)
