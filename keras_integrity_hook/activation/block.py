# SPDX-License-Identifier: Apache-2.0
"""The block in a ``sitecustomize.py``: text in, text out.

It goes as far up as Python allows, so that the finder is armed before the rest of the file runs:
what imports Keras there is guarded, and what fails there cannot keep us from being armed. Taking it
out again gives back the file byte for byte.
"""

from __future__ import annotations

import ast
import re
from enum import StrEnum

BEGIN = b"# >>> keras-integrity-hook >>>"
END = b"# <<< keras-integrity-hook <<<"

# The package of this very Python is loaded by its place, which nothing on PYTHONPATH or in the
# user's site directory hides; without one there it is whatever is on the path. Silent when only
# the block is left of the package. Any failure is one line and no exception, or the rest of the
# file would not run.
_CODE = b"""\
def _keras_integrity_hook():
    import os, site, sys

    name = "keras_integrity_hook"
    homes = [os.path.dirname(__file__), *site.getsitepackages()]
    homes = [home for home in homes if os.path.isfile(f"{home}/{name}/__init__.py")][:1]
    try:
        sys.path[:0] = homes
        try:
            from keras_integrity_hook.activation.finder import arm
        finally:
            del sys.path[: len(homes)]
        arm()
    except Exception as error:
        is_gone = isinstance(error, ModuleNotFoundError) and not homes
        if not is_gone or error.name not in (name, f"{name}.activation"):
            print(f"keras-integrity-hook could not be armed: {error!r}", file=sys.stderr)


_keras_integrity_hook()
del _keras_integrity_hook
"""
_BY = b"Added by 'keras-integrity site install'; 'keras-integrity site uninstall' takes it out."
_MADE = b"# The file was made for this block and goes with it."

BLOCK = b"%b %b\n%b%b\n" % (BEGIN, _BY, _CODE, END)
NEW_FILE = b"%b %b\n%b\n%b%b\n" % (BEGIN, _BY, _MADE, _CODE, END)
"""What a file holds that is made for the block."""

# Behind a last line without a newline the block starts with one and ends without: hence the "\n"
# that may come before it, which belongs to the block exactly when the file ends with it.
_FOUND = re.compile(
    rb"\n?^" + re.escape(BEGIN) + rb"[^\n]*\n(?:[^\n]*\n)*?" + re.escape(END) + rb"(?:\n|\Z)",
    re.MULTILINE,
)
_CODING = re.compile(rb"[ \t\f]*#.*?coding[:=]")  # PEP 263


class State(StrEnum):
    """What a file holds of ours."""

    ABSENT = "absent"
    CURRENT = "current"
    OUTDATED = "outdated"  # of another version of the package
    BROKEN = "broken"  # a marker without its partner, or two blocks: edited by hand


def state(text: bytes) -> State:
    """Which block is in the file."""
    markers = (_count(BEGIN, text), _count(END, text))
    if markers == (0, 0):
        return State.ABSENT
    found = _FOUND.findall(text)
    if markers != (1, 1) or len(found) != 1:
        return State.BROKEN
    return (
        State.CURRENT if found[0].strip() in (BLOCK.strip(), NEW_FILE.strip()) else State.OUTDATED
    )


def insert(text: bytes) -> bytes:
    """``text`` with the block of this version in it, once.

    Raises:
        ValueError: the file is no valid Python, or its block was edited by hand.
    """
    found = state(text)
    if found is State.CURRENT:
        return text
    if found is State.OUTDATED:
        if is_ours_alone(text):
            return NEW_FILE
        text = remove(text)
    at = _insertion_point(text)
    before, after = text[:at], text[at:]
    if before and not after and not before.endswith(b"\n"):
        whole = before + b"\n" + BLOCK[:-1]
    else:
        whole = before + BLOCK + after
    _compiled(whole)
    if remove(whole) != text:  # lines that end with a lone carriage return
        raise ValueError("the block could not be taken out of it again")
    return whole


def remove(text: bytes) -> bytes:
    """``text`` without the block, as it was before :func:`insert`.

    Raises:
        ValueError: the block was edited by hand.
    """
    if state(text) is State.BROKEN:
        raise ValueError("the block in it was edited by hand: take it out by hand")
    return _FOUND.sub(_leave, text)


def is_ours_alone(text: bytes) -> bool:
    """Whether the file was made for the block and nothing was added to it since."""
    return _MADE in text and state(text) is not State.BROKEN and not remove(text)


def _leave(match: re.Match[bytes]) -> bytes:
    """The newline before the block, unless that is the block's own."""
    found = match.group()
    return b"\n" if found.startswith(b"\n") and found.endswith(b"\n") else b""


def _count(marker: bytes, text: bytes) -> int:
    return len(re.findall(rb"^" + re.escape(marker), text, re.MULTILINE))


def _insertion_point(text: bytes) -> int:
    """The offset after what must come first: shebang, encoding, docstring, future imports."""
    tree = _compiled(text)
    lines = text.splitlines(keepends=True)  # of bytes: at the line ends that Python knows
    first = sum(1 for line in lines[:2] if _must_lead(line))
    for number, statement in enumerate(tree.body):
        if not (_is_docstring(number, statement) or _is_future(statement)):
            break
        first = statement.end_lineno or 0
    return sum(map(len, lines[:first]))


def _must_lead(line: bytes) -> bool:
    return line.startswith(b"#!") or bool(_CODING.match(line))


def _is_docstring(number: int, statement: ast.stmt) -> bool:
    return (
        number == 0
        and isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _compiled(text: bytes) -> ast.Module:
    try:
        tree = ast.parse(text)
        compile(tree, "sitecustomize.py", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"it would not be valid Python: {error}") from None
    return tree
