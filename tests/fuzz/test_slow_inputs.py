# SPDX-License-Identifier: Apache-2.0
"""Search for inputs that a parser does not answer, or that cost it more than their size allows.

For the second, Hypothesis is told what each input cost, and climbs. Work is counted (calls, bytes
read), so that a finding is one on every machine.
"""

from __future__ import annotations

import contextlib
import functools
import random
import struct

import pytest
from hypothesis import example, given, settings, target
from hypothesis import strategies as st

from keras_integrity_hook.errors import IntegrityError
from tests.fuzz.parsers import PARSERS
from tests.support.work import work_of

CALLS, CALLS_PER_BYTE = 5_000, 40
READ, READ_PER_BYTE = 1 << 16, 64
# What makes loops long where it stands for a count, a length or an address.
NUMBERS = (0, 1, 96, 0xFF, 0x7FFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF)
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("number"), st.integers(0, 1 << 16), st.sampled_from(NUMBERS)),
        st.tuples(st.just("copy"), st.integers(0, 1 << 16), st.integers(0, 1 << 16)),
        st.tuples(st.just("repeat"), st.integers(0, 1 << 16), st.integers(1, 300)),
    ),
    max_size=12,
)


@functools.cache
def seeds(name: str) -> list[bytes]:
    return PARSERS[name].seeds()


def edited(data: bytes, edits: list[tuple[str, int, int]]) -> bytes:
    """``data`` with numbers put in, pieces copied over others, and pieces repeated."""
    made = bytearray(data)
    for what, position, value in edits:
        at = position % len(made)
        if what == "number":
            number = struct.pack("<I", value)[: len(made) - at]
            made[at : at + len(number)] = number
        elif what == "copy":
            piece = made[value % len(made) :][:24][: len(made) - at]
            made[at : at + len(piece)] = piece
        elif len(made) < 1 << 16:
            made[at:at] = made[at : at + 24] * value
    return bytes(made)


@pytest.mark.parametrize("name", PARSERS)
def test_whatever_was_put_in_the_answer_is_an_error_of_ours_or_none(name: str) -> None:
    chance = random.Random(7)
    wrong: dict[str, list[tuple[str, int, int]]] = {}
    for _ in range(2_000):
        edits = []
        for _ in range(chance.choice((1, 1, 2, 3, 6))):
            what = chance.choice(("number", "copy", "copy", "repeat"))
            value = {"number": chance.choice(NUMBERS), "repeat": chance.randrange(1, 5)}.get(what)
            position = chance.randrange(1 << 16)
            edits.append((what, position, chance.randrange(1 << 16) if value is None else value))
        try:
            PARSERS[name].parse(edited(chance.choice(seeds(name)), edits))
        except IntegrityError:
            pass
        except Exception as error:
            wrong.setdefault(f"{error!r:.100}", edits)
    assert wrong == {}


@pytest.mark.parametrize("name", PARSERS)
def test_work_follows_from_the_size(name: str) -> None:
    parse = PARSERS[name].parse

    def answered(data: bytes) -> None:
        with contextlib.suppress(IntegrityError):
            parse(data)

    for seed in seeds(name):
        answered(seed)  # what is imported and compiled at first is no work on the input

    @settings(max_examples=60, deadline=None, database=None, derandomize=True)
    @given(st.integers(0, 9), EDITS)
    @example(0, [("repeat", 40, 300)] * 6)
    def search(number: int, edits: list[tuple[str, int, int]]) -> None:
        chosen = seeds(name)[number % len(seeds(name))]
        data = edited(chosen, edits)
        work = work_of(lambda: answered(data))
        target(float(work.calls), label="calls")
        target(float(work.read), label="bytes read")
        assert work.calls <= CALLS + CALLS_PER_BYTE * len(data), len(data)
        assert work.read <= READ + READ_PER_BYTE * len(data), len(data)

    search()
