# SPDX-License-Identifier: Apache-2.0
"""The index of a TensorFlow checkpoint: shapes against stored bytes, and what it refers to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.inspection import checkpoints
from keras_integrity_hook.inspection.inspecting import inspect
from tests.support.contents import CountedContent
from tests.support.graphs import checkpoint_entry as entry
from tests.support.graphs import checkpoint_index as index
from tests.support.models import single_mutations

SIZES = {"ck.data-00000-of-00001": 4000}


def rules(data: bytes, sizes: Mapping[str, int] = SIZES) -> set[str]:
    return {one.rule for one in checkpoints.inspect(CountedContent(data), "ck.index", sizes)}


def test_shape_of_the_stored_bytes_is_fine() -> None:
    assert rules(index({"a": entry(10, 100, size=4000), "s": entry(3, kind=7, size=30)})) == set()


def test_shape_that_is_far_larger_than_what_is_stored_is_a_bomb() -> None:
    assert rules(index({"a": entry(1 << 20, 1 << 20, size=4000)})) == {"shape-bomb"}
    assert rules(index({"a": entry(1 << 40, kind=7, size=30)})) == {"shape-bomb"}
    assert rules(index({"a": entry(2**64 - 1, size=4)})) == {"shape-bomb"}


def test_values_behind_the_end_of_their_file_are_refused() -> None:
    assert rules(index({"a": entry(1000, size=4000, offset=8)})) == {"malformed-checkpoint"}


@pytest.mark.parametrize("data", [b"", b"no table" * 10])
def test_index_that_is_no_table_is_refused(data: bytes) -> None:
    assert rules(data) == {"malformed-checkpoint"}


def test_index_of_something_else_is_nobodys_checkpoint() -> None:
    assert rules(b"no table", {"notes.txt": 3}) == set()


def test_every_mutation_is_judged_or_refused_and_none_raises() -> None:
    data = index({"layer/a": entry(10, 100, size=4000), "layer/b": entry(3, kind=7, size=30)})
    for at in range(len(data)):
        for _, mutant in single_mutations(data, at, at % 8):
            rules(mutant)


def test_index_in_a_set_is_found(tmp_path: Path) -> None:
    (tmp_path / "ck.index").write_bytes(index({"a": entry(1 << 40, size=4000)}))
    (tmp_path / "ck.data-00000-of-00001").write_bytes(bytes(4000))
    with open_model(tmp_path / "ck") as model:
        assert [one.rule for one in inspect(model).findings] == ["shape-bomb"]


def test_checkpoint_of_tensorflow_is_fine(tmp_path: Path) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    values = {
        "f": tensorflow.Variable(tensorflow.ones((200, 300))),
        "b": tensorflow.Variable([True]),
        "h": tensorflow.Variable(tensorflow.ones((4,), "bfloat16")),
        "c": tensorflow.Variable([1j]),
        "s": tensorflow.Variable(["text", ""]),
        "e": tensorflow.Variable(tensorflow.zeros((0, 3))),
    }
    tensorflow.train.Checkpoint(**values).write(str(tmp_path / "ck"))
    with open_model(tmp_path / "ck") as model:
        assert inspect(model).findings == ()
