# SPDX-License-Identifier: Apache-2.0
"""Events, answers, checkpoints and bundles of a registry: any bytes are refused, or mean one thing
that survives re-encoding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.registry import answers, mirrors, notes, signed, spelling, tiles
from tests.fuzz.harness import fuzz
from tests.fuzz.registries import answer, bundle, event, note

# What is read, and how it is spelt again; None where it has more than one spelling.
READERS: list[tuple[Callable[[bytes], Any], Callable[[Any], bytes] | None]] = [
    (spelling.read, spelling.spell),
    (signed.decode, signed.encode),
    (answers.decode, answers.encode),
    (lambda data: tiles.decode_bundle(data, 2), tiles.encode_bundle),
    (notes.unverified_checkpoint, None),
    (mirrors.pointer, None),
]


def check(data: bytes) -> None:
    for read, spell in READERS:
        try:
            found = read(data)
        except IntegrityError:
            continue
        assert spell is None or spell(found) == data


if __name__ == "__main__":
    entry = event()
    payload = signed.decode(entry).payload
    fuzz(check, [payload, entry, answer(), bundle(), note(), b'{"moment": "1-2", "digits": 1}'])
