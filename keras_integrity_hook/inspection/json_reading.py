# SPDX-License-Identifier: Apache-2.0
"""JSON of a stranger's, read as Keras reads it: by ``json.loads``, for which the last key counts.

What makes other readers see another value, or exhausts this one, is told beside the value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content


class Parsed(NamedTuple):
    """A value, and by which rules it was written as Keras does not write.

    Attributes:
        value: None where it cannot be had.
        breaks: pairs of a rule and what stands there.
        objects: those that have a ``class_name``, wherever they are, the inner ones first.
    """

    value: Any
    breaks: tuple[tuple[str, str], ...] = ()
    objects: Sequence[dict[str, Any]] = ()


def read(content: Content) -> Parsed:
    """All of ``content``; raises DamagedFileError where that became shorter meanwhile."""
    if content.size > LIMITS.inspected_member:
        return Parsed(None, (("too-large", f"{content.size} bytes"),))
    return parse(content.read(0, content.size))


def parse(text: bytes) -> Parsed:
    """The value that ``text`` spells."""
    every: list[dict[str, Any]] = []  # that is in the text, the inner ones first

    def note(made: dict[str, Any]) -> dict[str, Any]:
        every.append(made)
        return made

    excess = _excess(text)
    if excess:
        return Parsed(None, (("too-large", excess),))
    try:
        value = json.loads(text, object_hook=note)
        twice = _duplicates(text, sum(map(len, every)))
    except RecursionError:
        return Parsed(None, (("nested-too-deep", "objects and lists within each other"),))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        return Parsed(None, (("malformed-config", f"no JSON ({_in_words(error)})"),))
    except ValueError:  # of int(), for more than 4300 digits
        return Parsed(None, (("exhausting-number", "a number of over 4300 digits"),))
    breaks = [("duplicate-key", key) for key in twice]
    if _has_long_number(text):
        breaks.append(("exhausting-number", f"a number of over {LIMITS.config_digits} digits"))
    breaks += _broken_limits(value)
    return Parsed(value, tuple(breaks), [one for one in every if "class_name" in one])


def _excess(text: bytes) -> str:
    """What there is too much of in ``text`` to make values of it, which take up to thirty times its
    memory; empty for nothing. A packed text is a thousand times as long as its file.

    What stands in a text of it counts, too: to tell that apart takes as much memory.
    """
    objects, values = text.count(b"{") + text.count(b"["), text.count(b",")
    if objects > LIMITS.config_objects:
        return f"{objects:,} objects and lists"
    return f"{values:,} values" if values > LIMITS.config_values else ""


def _duplicates(text: bytes, kept: int) -> list[str]:
    """The keys that one object has twice; ``kept`` is how many keys all objects have together.

    Each key is written with a colon behind it, so that none was lost where there are no more of
    them. The exact look, which texts with colons get as well, takes longer than reading the JSON.
    """
    twice: dict[str, None] = {}

    def note(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                twice[key] = None
            seen.add(key)

    if text.count(b":") != kept:
        json.loads(text, object_pairs_hook=note)
    return list(twice)[: LIMITS.inspected_findings]


_LONG = b"0" * LIMITS.config_digits
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"')
_AS_DIGITS = bytes.maketrans(b"123456789", b"000000000")


def _has_long_number(text: bytes) -> bool:
    """Whether there is a number that no float can hold; in a text there may be as many digits.

    The quick look that comes first is many times as fast as the exact one.
    """
    return _LONG in text.translate(_AS_DIGITS) and _LONG in _TEXT.sub(b"", text).translate(
        _AS_DIGITS
    )


def _broken_limits(value: Any) -> Iterator[tuple[str, str]]:
    """Whether there are more objects and lists, or more within each other, than any model has."""
    level, count = [value] if isinstance(value, (dict, list)) else [], 1
    for _ in range(LIMITS.config_depth + 1):
        level = [
            inner
            for one in level
            for inner in (one.values() if type(one) is dict else one)
            if type(inner) is dict or type(inner) is list
        ]
        count += len(level)
        if not level:
            break
    else:
        yield "nested-too-deep", f"over {LIMITS.config_depth} levels"
    if count > LIMITS.config_objects:
        yield "too-large", f"{count:,} objects and lists"


def _in_words(error: json.JSONDecodeError | UnicodeDecodeError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}"
    return f"byte {error.start}"
