# SPDX-License-Identifier: Apache-2.0
"""Which parts were hit: told at a price that a hostile seal cannot raise."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Sequence

import pytest

from keras_integrity_hook.containers.model_file import Seal, SealedModel, single_file
from keras_integrity_hook.errors import ChecksumMismatchError
from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.content import FileContent
from keras_integrity_hook.sealing.envelope import Envelope
from keras_integrity_hook.sealing.statement import Region, Statement
from keras_integrity_hook.verification import digests


class Counting:
    """A content that counts the bytes that are read of it."""

    def __init__(self, data: bytes) -> None:
        self._content = FileContent(-1, 0, 0, data)
        self.size = len(data)
        self.count = 0

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self.count += len(buffer)
        self._content.read_into(offset, buffer)

    def read(self, offset: int, size: int) -> bytes:
        self.count += size
        return self._content.read(offset, size)


def damaged(content: Counting, regions: Sequence[Region]) -> SealedModel:
    """A model under a seal no chunk of which matches."""
    chunk = tree.chunk_size_for(content.size)
    table = os.urandom(32 * tree.chunk_count(content.size, chunk))
    root = tree.root(table, size=content.size, chunk_size=chunk, algorithm="sha256")
    statement = Statement(
        subject="",
        root=root,
        container="hdf5",
        algorithm="sha256",
        size=content.size,
        chunk_size=chunk,
        created="2026-01-01T00:00:00Z",
        regions=tuple(regions),
    )
    seal = Seal(statement, Envelope(b""), table, 0, 0)
    return single_file("m.h5", -1, "hdf5", content).with_seal(seal)


@pytest.mark.parametrize(
    "regions",
    [
        [Region(f"r{index}", 0, 8 * MIB, 1) for index in range(LIMITS.regions)],
        [Region(f"r{index}", 0, 8 * MIB, None) for index in range(LIMITS.regions)],
        [Region(f"{index}.h5", 0, 8 * MIB, 1) for index in range(LIMITS.regions)],
        [Region("a!/" * 80 + str(index), 0, 8 * MIB, 1) for index in range(LIMITS.regions)],
    ],
    ids=["crcs", "whole", "holders", "nested"],
)
def test_map_whose_parts_all_overlap_costs_one_more_reading(regions: list[Region]) -> None:
    content = Counting(bytes(8 * MIB))
    model = damaged(content, regions)
    tracemalloc.start()
    with pytest.raises(ChecksumMismatchError):
        digests.check_content(model)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert content.count <= 2 * content.size
    assert peak < 64 * MIB


def test_part_of_a_damaged_chunk_is_named_by_its_crc() -> None:
    import zlib

    data = os.urandom(1000)
    whole = Region("whole", 0, 500, zlib.crc32(data[:500]))
    hit = Region("hit", 500, 500, zlib.crc32(data[500:]) ^ 1)
    with pytest.raises(ChecksumMismatchError) as caught:
        digests.check_content(damaged(Counting(data), [whole, hit]))
    assert caught.value.parts == ("hit",)
