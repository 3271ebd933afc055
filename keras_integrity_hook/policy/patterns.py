# SPDX-License-Identifier: Apache-2.0
"""Which paths a rule is for.

``*`` and ``?`` stay within a directory, ``**`` does not, ``[…]`` is one of some characters. A
pattern without a slash is compared with the last part of a path.
"""

from __future__ import annotations

import functools
import os
import re

_WILD = re.compile(r"[*?\[]")


def matches(pattern: str, path: str) -> bool:
    """Whether ``pattern`` is for the model that lies at ``path`` once links are followed.

    Args:
        pattern: absolute, or without a slash. Links in it are followed as well, up to its first
            wildcard, so that a rule holds under whichever name its directory is reached.
        path: absolute with links followed (:func:`resolved`), or a URL.
    """
    if "/" not in pattern:
        return _compiled(pattern).fullmatch(path.rpartition("/")[2]) is not None
    return _compiled(_resolved_pattern(pattern)).fullmatch(path) is not None


def resolved(path: str) -> str:
    """``path`` as rules see it: absolute, links followed; a URL as it is."""
    return path if "://" in path else os.path.realpath(path)


def _resolved_pattern(pattern: str) -> str:
    wild = _WILD.search(pattern)
    if "://" in pattern or wild is None:
        return resolved(pattern)
    fixed = pattern[: wild.start()].rpartition("/")[0]
    return os.path.realpath(fixed or "/").rstrip("/") + pattern[len(fixed) :]


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """A directory that a pattern ends in ``/**`` for is matched like what is below it."""
    if pattern.endswith("/**"):
        return re.compile(_translated(pattern[:-3]) + r"(?:/.*)?", re.DOTALL)
    return re.compile(_translated(pattern), re.DOTALL)


def _translated(pattern: str) -> str:
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^]]*\])", pattern)
    return "".join(_piece(piece) for piece in pieces)


def _piece(piece: str) -> str:
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if piece in known:
        return known[piece]
    if piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
        inner = piece[1:-1].replace("\\", r"\\").replace("[", r"\[")
        inner = "^" + inner[1:] if inner.startswith("!") else inner.replace("^", r"\^")
        return f"(?!/)[{inner}]"
    return re.escape(piece)
