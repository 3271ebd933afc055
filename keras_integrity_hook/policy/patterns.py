# SPDX-License-Identifier: Apache-2.0
"""Which paths a rule is for.

``*`` and ``?`` stay within a directory, ``**`` does not, ``[…]`` is one of some characters. A
pattern without a slash is compared with the last part of a path.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator

_WILD = re.compile(r"[*?\[]")
_LINKS_AT_MOST = 40  # as the kernel (path_resolution(7))


def matches(pattern: str, path: str) -> bool:
    """Whether ``pattern`` is for the model at ``path``.

    Args:
        pattern: absolute, or without a slash. Links in it are followed as well, up to its first
            wildcard, so that a rule holds under whichever name its directory is reached.
        path: one of its :func:`names`.
    """
    if "/" not in pattern:
        return _compiled(pattern).fullmatch(path.rpartition("/")[2]) is not None
    spellings = {pattern, _resolved_pattern(pattern)}
    return any(_compiled(one).fullmatch(path) for one in spellings)


def names(path: str) -> tuple[str, ...]:
    """All names that ``path`` has on its way through links, absolute: first the one asked for, last
    where it really lies; a URL as it is.

    A rule holds under each. If only the last counted, whoever can put a link in the place of a
    model could lead it out of the rule that was made for it (CWE-59).
    """
    if "://" in path:
        return (path,)
    try:
        return tuple(dict.fromkeys((*_on_the_way(path), os.path.realpath(path))))
    except ValueError:  # a name that no file can have
        return (path,)


def _on_the_way(path: str) -> Iterator[str]:
    yield os.path.abspath(path)
    pending = os.path.join(os.getcwd(), path).split("/")[::-1]
    at, links = "/", 0
    while pending and links < _LINKS_AT_MOST:
        step = pending.pop()
        below = os.path.normpath(os.path.join(at, step))
        try:
            target = os.readlink(below)
        except OSError:
            at = below
            continue
        links += 1
        at = "/" if target.startswith("/") else at
        pending += target.split("/")[::-1]
        yield os.path.normpath("/".join((at, *pending[::-1])))


def _resolved_pattern(pattern: str) -> str:
    if "://" in pattern:
        return pattern
    wild = _WILD.search(pattern)
    if wild is None:
        return os.path.realpath(pattern)
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
