# SPDX-License-Identifier: Apache-2.0
"""What was read once stays what it was, whatever happens to the file."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_integrity_hook.errors import LimitExceededError
from keras_integrity_hook.inspection.kept_reads import KeptReads
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import FileContent

SIZE = 64


class Changing:
    """A content that another program writes over."""

    def __init__(self) -> None:
        self.data = bytes(range(SIZE))
        self.size = SIZE

    def read(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]

    def read_into(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = self.read(offset, len(buffer))


ranges = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(sorted)


@given(before=st.lists(ranges, max_size=8), after=st.lists(ranges, max_size=8))
def test_bytes_that_were_read_never_change_and_others_are_as_they_are(
    before: list[list[int]], after: list[list[int]]
) -> None:
    content = Changing()
    kept = KeptReads(content)
    seen: set[int] = set()
    for start, stop in before:
        assert kept.read(start, stop - start) == bytes(range(start, stop))
        seen.update(range(start, stop))
    kept.stop_keeping()
    content.data = bytes([255] * SIZE)
    for start, stop in [*after, [0, SIZE]]:
        expected = bytes(at if at in seen else 255 for at in range(start, stop))
        assert kept.read(start, stop - start) == expected
        buffer = bytearray(stop - start)
        kept.read_into(start, memoryview(buffer))
        assert bytes(buffer) == expected
    assert kept.count == len(seen)
    assert kept.is_whole == (len(seen) == SIZE)


def test_no_more_is_kept_than_memory_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "keras_integrity_hook.inspection.kept_reads.LIMITS"
    monkeypatch.setattr(module, LIMITS._replace(inspected_kept=10))
    kept = KeptReads(Changing())
    kept.read(0, 10)
    kept.read(0, 10)
    with pytest.raises(LimitExceededError):
        kept.read(0, 11)


def test_nothing_is_read_of_a_file_that_is_empty() -> None:
    """Files of a set that have no bytes are not held open."""
    with open(os.devnull, "rb") as file:
        content = FileContent(file.fileno(), 0, 0)
    assert KeptReads(content).read(0, 0) == b""
