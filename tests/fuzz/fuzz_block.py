# SPDX-License-Identifier: Apache-2.0
"""The binary frame: any bytes are refused, or are the one encoding of what they decode to."""

from __future__ import annotations

from keras_integrity_hook.sealing import block
from tests.fuzz.harness import fuzz


def check(data: bytes) -> None:
    block.size_from_trailer(data[-block.TRAILER_SIZE :])
    size = block.size_from_header(data[: block.HEADER_SIZE])
    found = block.decode(data)
    assert size == found.size == len(data)
    padding = found.size - block.OVERHEAD - len(found.envelope) - len(found.table)
    assert block.encode(found.envelope, found.table, padding) == data


if __name__ == "__main__":
    whole = block.encode(b'{"payload":""}', bytes(64), 16)
    fuzz(check, [whole, whole[:-1], block.encode(b"", b""), b""])
