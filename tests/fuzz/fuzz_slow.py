# SPDX-License-Identifier: Apache-2.0
"""All parsers: none may do more work on an input than its size allows (see test_slow_inputs)."""

from __future__ import annotations

import contextlib

from keras_integrity_hook.errors import IntegrityError
from tests.fuzz.harness import fuzz  # first: it instruments what it imports
from tests.fuzz.parsers import PARSERS
from tests.support.work import work_of

# The fuzzer's own counters are calls, too, one for each branch.
CALLS, CALLS_PER_BYTE = 50_000, 400
READ, READ_PER_BYTE = 1 << 16, 64
NAMES = sorted(PARSERS)


def check(data: bytes) -> None:
    """The first byte chooses the parser."""
    if not data:
        return
    parse = PARSERS[NAMES[data[0] % len(NAMES)]].parse

    def answered() -> None:
        with contextlib.suppress(IntegrityError):
            parse(data[1:])

    work = work_of(answered)
    assert work.calls <= CALLS + CALLS_PER_BYTE * len(data), f"{work} for {len(data)} bytes"
    assert work.read <= READ + READ_PER_BYTE * len(data), f"{work} for {len(data)} bytes"


if __name__ == "__main__":
    seeds = [
        bytes([number]) + seed
        for number, name in enumerate(NAMES)
        for seed in PARSERS[name].seeds()
    ]
    fuzz(check, seeds)
