# SPDX-License-Identifier: Apache-2.0
"""One event as JSON-able values, and as a line that nothing in it can forge or stretch."""

from __future__ import annotations

import functools
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice

from keras_integrity_hook._version import __version__
from keras_integrity_hook.errors import IntegrityError, printable
from keras_integrity_hook.files import machine
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import LIMITS

SCHEMA = 1
_CUT = "…"  # ends what was cut off, or stands for it
_DEPTH = 5  # facts, error, evidence, damaged, start and stop


def build(
    event: str, path: str | None, outcome: str, facts: Mapping[str, object]
) -> dict[str, object]:
    """The event, with who and where this process is; arguments as for :func:`audit.record`."""
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    uid = system.geteuid()
    return {
        "schema": SCHEMA,
        "time": now.replace("+00:00", "Z"),
        "event": event,
        "outcome": outcome,
        "path": None if path is None else _text(os.fsdecode(path), LIMITS.audit_path),
        "facts": _plain(facts, _DEPTH, iter(range(LIMITS.audit_values))),
        "cwd": _working_directory(),
        "pid": os.getpid(),
        "uid": uid,
        "user": _user(uid),
        "host": _text(machine.name()),
        "executable": _text(sys.executable or ""),
        "argv0": _text(sys.argv[0] if getattr(sys, "argv", None) else ""),
        "hook": __version__,
    }


def line(event: Mapping[str, object]) -> bytes:
    """``event`` as one line of JSON in UTF-8, under the cap: the largest facts go first."""
    facts = event["facts"]
    assert isinstance(facts, dict)
    kept = dict(facts)
    data = _json({**event, "facts": kept})
    for name in sorted(kept, key=lambda name: len(_json(kept[name])), reverse=True):
        if len(data) < LIMITS.audit_line:
            break
        kept[name] = _CUT
        data = _json({**event, "facts": kept})
    return data + b"\n"


def _json(value: object) -> bytes:
    # Not only ASCII: what is left of a name after printable() is safe to look at as it is.
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _plain(value: object, depth: int, room: Iterator[int]) -> object:
    """``value`` in the types of JSON, printable, and of limited size and depth.

    Args:
        room: has one element for each value that the event may still hold.
    """
    if next(room, None) is None:
        return _CUT
    if value is None or isinstance(value, bool | int | float):
        return _number(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset | BaseException):
        return _CUT if depth == 0 else _plain_inside(value, depth - 1, room)
    if isinstance(value, bytes | os.PathLike):
        return _text(os.fsdecode(value))
    return _text(_spoken(value))


def _number(value: float | None) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() < 64 else _text(hex(value))
    return float(value) if math.isfinite(value) else repr(float(value))


def _plain_inside(value: object, depth: int, room: Iterator[int]) -> object:
    if isinstance(value, IntegrityError):
        return _plain_inside(value.to_dict(), depth, room)
    if isinstance(value, BaseException):
        return {"code": type(value).__name__, "message": _text(_spoken(value))}
    if isinstance(value, Mapping):
        pairs = islice(value.items(), LIMITS.audit_items)
        return {_text(_spoken(name)): _plain(inner, depth, room) for name, inner in pairs}
    assert isinstance(value, Iterable)
    items = list(value)
    some = [_plain(inner, depth, room) for inner in items[: LIMITS.audit_items]]
    return [*some, _CUT] if len(items) > len(some) else some


def _spoken(value: object) -> str:
    try:
        return str(value)
    except Exception:  # somebody else's __str__
        return f"({type(value).__name__})"


def _text(text: str, limit: int = LIMITS.audit_text) -> str:
    shown = printable(text[:limit])
    cut = len(text) > limit or len(shown) > limit
    return shown[:limit] + _CUT if cut else shown


def _working_directory() -> str | None:
    try:
        return _text(os.getcwd())
    except OSError:  # it was deleted
        return None


@functools.cache
def _user(uid: int) -> str | None:
    name = machine.user_name()
    return None if name is None else _text(name)
