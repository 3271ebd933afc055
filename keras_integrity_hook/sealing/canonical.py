# SPDX-License-Identifier: Apache-2.0
"""JSON in the canonical form of RFC 8785, without floats, under limits.

One value has one spelling: whatever does not re-encode to the very bytes that were read is refused,
which closes the door to duplicate keys, odd escapes and white space.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from keras_integrity_hook.errors import LimitExceededError, MalformedSealError
from keras_integrity_hook.limits import LIMITS

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_SORTING = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
_MAX_INTEGER = 2**53 - 1  # RFC 8785 numbers are IEEE 754 doubles; beyond this they lose digits


def encode(value: Any) -> bytes:
    """``value`` (dict, list, str, int, bool, None) as canonical UTF-8 bytes.

    Raises:
        MalformedSealError: the value has no canonical form here (float, lone surrogate, ...).
    """
    try:
        return _ENCODER.encode(_ordered(value)).encode("utf-8")
    except (UnicodeEncodeError, RecursionError) as error:
        raise MalformedSealError("the statement has no canonical JSON form") from error


def decode(data: bytes) -> Any:
    """The value that ``data`` spells.

    Raises:
        MalformedSealError: not JSON, not canonical, a float, or a duplicate key.
        LimitExceededError: too deep or too many values.
    """
    refuse_crowded(data, "seal")
    try:
        value = json.loads(data.decode("utf-8"), parse_float=_refuse, parse_constant=_refuse)
    except RecursionError:
        raise LimitExceededError("the JSON of the seal is nested too deeply") from None
    except ValueError as error:
        raise MalformedSealError("the seal holds something that is not strict JSON") from error
    _check(value)
    if not _is_canonical(value, data):
        raise MalformedSealError("the JSON of the seal is not in canonical form (RFC 8785)")
    return value


def _is_canonical(value: Any, data: bytes) -> bool:
    """Whether ``data``, which spells ``value``, is its canonical form."""
    if data.isascii():
        # So are the names in it, if it is: then the order of code points is the one, and the
        # encoder has that itself, several times as fast.
        return _SORTING.encode(value) == data.decode("ascii")
    return encode(value) == data


def refuse_crowded(data: bytes, what: str) -> None:
    """Refuse JSON text that spells far more values than anything has, before it is parsed: each
    takes some sixty bytes of memory, and two of text.

    Raises:
        LimitExceededError: too many commas and brackets, those in texts counted too.
    """
    if sum(map(data.count, (b",", b"[", b"{"))) > 2 * LIMITS.json_nodes:
        raise LimitExceededError(f"the JSON of the {what} has too many values")
    # An object takes four times what a list does, and nothing of ours has many.
    if data.count(b"{") > LIMITS.json_objects:
        raise LimitExceededError(f"the JSON of the {what} has too many values")


def _refuse(literal: str) -> Any:
    raise ValueError(f"number {literal} is not an integer")


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in _sorted(value)}
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    if isinstance(value, int | float):
        _refuse_inexact(value)
    return value


def _refuse_inexact(number: float) -> None:
    if isinstance(number, float) or abs(number) > _MAX_INTEGER:
        raise MalformedSealError("a number of the seal is not an exact integer")


def _sorted(keys: Iterable[str]) -> list[str]:
    """In the order of RFC 8785: by UTF-16 code units, which is another one than that of code points
    above U+FFFF, and costs ten times as much."""
    if all(map(str.isascii, keys)):
        return sorted(keys)
    return sorted(keys, key=lambda key: key.encode("utf-16-be"))


def _check(value: Any) -> None:
    pending = [(value, 1)]
    seen = 0
    while pending:
        item, depth = pending.pop()
        seen += 1
        if depth > LIMITS.json_depth or seen > LIMITS.json_nodes:
            raise LimitExceededError("the JSON of the seal is too deep or has too many values")
        if isinstance(item, dict):
            pending.extend((child, depth + 1) for child in item.values())
        elif isinstance(item, list):
            pending.extend((child, depth + 1) for child in item)
        elif isinstance(item, int):
            _refuse_inexact(item)
