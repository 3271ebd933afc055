# SPDX-License-Identifier: Apache-2.0
"""Which paths a rule is for.

``*`` and ``?`` stay within a directory, ``**`` does not, ``[…]`` is one of some characters. A
pattern without a slash is compared with the last part of a path.

Paths are long where somebody wants them to be (a link's target has 4096 bytes), so patterns are no
regular expressions: those can take hours where this takes a step for each character and wildcard.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from types import ModuleType

from keras_integrity_hook.files import location, machine, url_names
from keras_integrity_hook.files.target import real_path

_WILD = re.compile(r"[*?\[]")
_PIECES = re.compile(r"(/\*\*\Z|\*\*/|\*\*|\*|\?|\[!?\]?[^]]*\])")
_LINKS_AT_MOST = 40  # as the kernel (path_resolution(7))


def matches(pattern: str, path: str) -> bool:
    """Whether ``pattern`` is for the model at ``path``.

    Args:
        pattern: absolute, or without a slash. Links in it are followed, up to its first wildcard,
            so that a rule holds under whichever name its directory is reached.
        path: absolute, or a URL: one of :func:`names`.
    """
    if "/" not in pattern:
        return _fits(pieces(spelt(pattern)), path.rpartition("/")[2])
    return any(_fits(pieces(one), path) for one in forms(pattern))


def forms(pattern: str) -> set[str]:
    """``pattern`` as it is written and with its links followed, one of which has to match.

    As it is written too: of the names of a path only the last has no link in it.
    """
    found = {pattern, _resolved_pattern(pattern)} if "/" in pattern else {pattern}
    return {spelt(one) for one in found}


def check(pattern: str) -> None:
    """Raise ValueError, with the reason, for a pattern that cannot be understood."""
    pieces(pattern)


def names(path: str) -> tuple[str, ...]:
    """Every name that leads to the model at ``path``: its own, then after each link on the way,
    and where it really lies at last; for those of a URL see :func:`url_names.names`.

    Whoever can write a directory can put a link there that leads out of it, and what is loaded by
    the name in it has to be what belongs there all the same.
    """
    if location.is_url(path):
        return url_names.names(path)
    whole = os.path.join(location.working_directory(), path)
    at, steps = machine.steps(whole)
    found = {os.path.normpath(os.path.join(at, *steps)): None}
    ahead, links = steps[::-1], 0
    while ahead and links <= _LINKS_AT_MOST:
        step = ahead.pop()
        if step in ("", ".", ".."):
            at = os.path.dirname(at) if step == ".." else at
            continue
        target = _target(os.path.join(at, step))
        if target is None:
            at = os.path.join(at, step)
            continue
        links += 1
        top, steps = machine.steps(target)
        at = top if os.path.isabs(target) else at
        ahead += steps[::-1]
        found[os.path.normpath(os.path.join(at, *(one for one in ahead[::-1] if one)))] = None
    with contextlib.suppress(ValueError):  # a name that no file can have
        found[real_path(whole)] = None
    return tuple(spelt(one) for one in found)


def spelt(path: str, rules: ModuleType = os.path) -> str:
    r"""A path or a pattern as they are compared: with slashes, from one root.

    Where drives have letters and names no case (``C:\Models``), that is ``/c:/models``.
    """
    if not rules.altsep or location.is_url(path):
        return path
    plain: str = rules.normcase(path).replace(rules.sep, rules.altsep)
    return f"/{plain}" if rules.splitdrive(path)[0][1:] == ":" else plain


def _target(path: str) -> str | None:
    try:
        return os.readlink(path)
    except (OSError, ValueError):
        return None


def _resolved_pattern(pattern: str) -> str:
    wild = _WILD.search(pattern)
    if location.is_url(pattern):
        return url_names.pattern(pattern)
    if wild is None:
        return real_path(pattern)
    fixed = pattern[: wild.start()].rpartition("/")[0]
    return real_path(fixed or "/").rstrip("/") + pattern[len(fixed) :]


@functools.lru_cache(maxsize=1024)
def pieces(pattern: str) -> tuple[str, ...]:
    """The wildcards of ``pattern`` and the texts between them."""
    found = tuple(piece for piece in _PIECES.split(pattern) if piece)
    for piece in found:
        if _is_class(piece):
            _class(piece)
    return found


def _fits(parts: tuple[str, ...], path: str) -> bool:
    """Whether all of ``path`` fits: kept is every place that a match may have come to."""
    places = {0}
    for piece in parts:
        places = _after(piece, path, places)
        if not places:
            return False
    return len(path) in places


def _after(piece: str, path: str, places: set[int]) -> set[int]:
    size = len(path)
    if piece == "/**":  # the last: a directory is matched like what is below it
        return {size} if any(path[at : at + 1] in ("", "/") for at in places) else set()
    if piece == "**":
        return set(range(min(places), size + 1))
    if piece == "**/":
        return places | {at + 1 for at in range(min(places), size) if path[at] == "/"}
    if piece == "*":
        return _within_directory(path, places)
    if is_one_character(piece):
        return {at + 1 for at in places if at < size and is_one(piece, path[at])}
    return {at + len(piece) for at in places if path.startswith(piece, at)}


def _within_directory(path: str, places: set[int]) -> set[int]:
    found: set[int] = set()
    for at in sorted(places):
        if at not in found:  # else all that follows it is in there already
            end = path.find("/", at)
            found.update(range(at, (len(path) if end < 0 else end) + 1))
    return found


def is_wild(piece: str) -> bool:
    """Whether a piece stands for more than itself."""
    return piece in ("*", "**", "**/", "/**") or is_one_character(piece)


def is_one_character(piece: str) -> bool:
    """Whether a piece stands for one character of several."""
    return piece == "?" or _is_class(piece)


def _is_class(piece: str) -> bool:
    return len(piece) > 1 and piece.startswith("[") and piece.endswith("]")


def is_one(piece: str, character: str) -> bool:
    """Whether ``character`` is one of those that the piece stands for."""
    return character != "/" and (piece == "?" or _class(piece).match(character) is not None)


@functools.lru_cache(maxsize=1024)
def _class(piece: str) -> re.Pattern[str]:
    inner = re.sub(r"([\\\[&~|^])", r"\\\1", piece[1:-1])
    inner = "^" + inner[1:] if inner.startswith("!") else inner
    try:
        return re.compile(f"[{inner}]", re.DOTALL)
    except re.error as error:
        raise ValueError(f"{piece} is no class of characters ({error.msg})") from None
