# SPDX-License-Identifier: Apache-2.0
"""JSON that somebody else wrote, in any spelling, read once and under limits.

A bundle is not in canonical form, so the one danger left is that two readers see two values in the
same bytes: duplicate names, numbers that lose digits, text that is none. All of it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Set as AbstractSet
from typing import Any

from keras_integrity_hook.errors import LimitExceededError, MalformedBundleError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import base64_text, canonical


def loads(data: bytes) -> Any:
    """The value that ``data`` spells.

    Raises:
        MalformedBundleError: no JSON, a name twice in one object, a number with a fraction.
        LimitExceededError: too long, too deep or too many values.
    """
    if len(data) > LIMITS.bundle:
        raise LimitExceededError(f"a signature bundle of {len(data)} bytes is over {LIMITS.bundle}")
    canonical.refuse_crowded(data, "bundle")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_whole,
            parse_constant=_refuse,
        )
    except RecursionError:
        raise LimitExceededError("the JSON of the bundle is nested too deeply") from None
    except ValueError as error:
        raise MalformedBundleError("the bundle holds something that is not strict JSON") from error
    _check(value)
    return value


def fields(
    value: Any, *, needed: AbstractSet[str], allowed: AbstractSet[str] = frozenset()
) -> dict[str, Any]:
    """``value`` if it is an object with the fields ``needed``, and others only of ``allowed``."""
    if not isinstance(value, dict) or not needed <= set(value) <= needed | allowed:
        raise MalformedBundleError("the bundle lacks a field or has one that is not known")
    return value


def text(value: Any) -> str:
    """``value`` if it is a string. Raises MalformedBundleError."""
    if not isinstance(value, str):
        raise MalformedBundleError("the bundle has something else where text belongs")
    return value


def items(value: Any) -> list[Any]:
    """``value`` if it is a list. Raises MalformedBundleError."""
    if not isinstance(value, list):
        raise MalformedBundleError("the bundle has something else where a list belongs")
    return value


def count(value: Any) -> int:
    """``value`` if it is a natural number. Raises MalformedBundleError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise MalformedBundleError("the bundle has something else where a number belongs")
    return value


def base64_bytes(value: Any) -> bytes:
    """The bytes that the base64 text ``value`` spells. Raises MalformedBundleError."""
    try:
        return base64_text.decode(text(value))
    except ValueError as error:
        cause = "the bundle holds base64 that is broken or not canonical"
        raise MalformedBundleError(cause) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return value


def _whole(literal: str) -> int:
    # Protobuf's JSON, which the tool writes, knows one kind of number: a shard size is 1000.0.
    digits, _, fraction = literal.partition(".")
    if fraction.strip("0") or not fraction:
        raise ValueError(f"number {literal} is not an integer")
    return int(digits)


def _refuse(literal: str) -> Any:
    raise ValueError(f"number {literal} is none of JSON's")


def _check(value: Any) -> None:
    pending = [(value, 1)]
    seen = 0
    while pending:
        item, depth = pending.pop()
        seen += 1
        if depth > LIMITS.json_depth or seen > LIMITS.json_nodes:
            raise LimitExceededError("the JSON of the bundle is too deep or has too many values")
        if isinstance(item, dict):
            pending.extend((key, depth + 1) for key in item)
            pending.extend((child, depth + 1) for child in item.values())
        elif isinstance(item, list):
            pending.extend((child, depth + 1) for child in item)
        elif isinstance(item, str):
            _check_text(item)


def _check_text(item: str) -> None:
    try:
        item.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedBundleError("the bundle holds text that is not Unicode") from error
