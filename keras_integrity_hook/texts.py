# SPDX-License-Identifier: Apache-2.0
"""How text is shown: escaped, quoted for a shell, and laid out for a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

INDENT = 4  # columns, of every line but the first
_COMMAND = "keras-integrity"
_HELD = "\0"  # stands for a space that no line is broken at; no printable text has it
_UNITS = ("kB", "MB", "GB", "TB")
_BACKTICK = "`"  # stands around commands with quotes in them, and must not stand within one
_NARROWEST = 40  # columns; a terminal that says it has fewer is not believed


def plural(count: int, noun: str) -> str:
    """``1 model``, ``2 models``; for nouns that take an s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """``ann``, ``ann and bob``, ``ann, bob and cid``; empty for none."""
    *first, last = names or ("",)
    return f"{', '.join(first)} and {last}" if first else last


def bytes_of(size: int) -> str:
    """Bytes in the unit that people would use; 1 kB is 1,000 bytes (SI)."""
    if size < 1000:
        return plural(size, "byte")
    power = min((len(str(size)) - 1) // 3, len(_UNITS))
    return f"{size / 1000**power:,.1f} {_UNITS[power - 1]}"


def printable(text: str) -> str:
    """``text`` with control characters escaped, so that a file name cannot forge a log line.

    What it gives is printable and is left as it is when it gets here again.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def for_shell(path: str) -> str:
    """``path`` as a person can paste it into a shell; printable, and never an option."""
    path = f"./{path}" if path.startswith("-") else path
    if path.isprintable() and _BACKTICK not in path:
        from shlex import quote

        return quote(path)
    # POSIX 2024 has this quoting; bash, zsh and ksh have had it for long.
    return "$'" + "".join(map(_for_shell, path)) + "'"


def _for_shell(character: str) -> str:
    if character in "'\\":
        return f"\\{character}"
    if character.isprintable() and character != _BACKTICK:
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


def with_path(text: str, path: str | None) -> str:
    """``text``, a remedy, with ``path`` for the word PATH in the commands that it recommends."""
    if path is None or "PATH" not in text:
        return text
    quoted = for_shell(path)
    if "'" not in quoted:
        return text.replace("PATH", quoted)
    # Quotes within quotes could not be told apart.
    pieces = text.split("'")
    for number, piece in enumerate(pieces[1::2]):
        pieces[2 * number + 1] = f"`{piece.replace('PATH', quoted)}`"
    return "".join(pieces)


def laid_out(facts: Sequence[str], *, after: int = 0) -> str:
    """One fact a line, all but the first indented; wrapped if standard error is a terminal.

    Args:
        facts: printable; no line of the result begins with text of theirs but the first.
        after: columns that the first line is printed behind.
    """
    columns = _columns()
    if columns is None:
        return ("\n" + " " * INDENT).join(facts)
    after = after if after < columns - _NARROWEST // 2 else 0  # it is wrapped somewhere anyway
    wrapped: list[str] = []
    for number, fact in enumerate(facts):
        first = " " * (after if number == 0 else INDENT)
        lines = broken(fact, columns, first, " " * (INDENT if number == 0 else 2 * INDENT))
        wrapped += [lines[0][after:], *lines[1:]] if number == 0 else lines
    return "\n".join(wrapped)


def broken(text: str, columns: int, first: str, rest: str) -> list[str]:
    """``text`` as lines of at most ``columns``, behind ``first`` and ``rest``.

    Nothing that is to be copied is broken: no path, and no command of ours.
    """
    import textwrap

    lines = textwrap.wrap(
        _with_whole_commands(text),
        columns,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_HELD, " ") for line in lines]


def _with_whole_commands(fact: str) -> str:
    """``fact`` with :data:`_HELD` for the spaces in commands: one is copied from a single line."""
    for quote in "'`":
        pieces = fact.split(f"{quote}{_COMMAND} ")
        for number, piece in enumerate(pieces[1:], 1):
            command, end, rest = piece.partition(quote)
            pieces[number] = command.replace(" ", _HELD) + end + rest
        fact = f"{quote}{_COMMAND}{_HELD}".join(pieces)
    return fact


def _columns() -> int | None:
    """The width of the terminal that standard error is, None if it is none."""
    try:
        if not sys.stderr.isatty():
            return None
        return max(_NARROWEST, os.get_terminal_size(sys.stderr.fileno()).columns)
    except (AttributeError, OSError, ValueError):  # closed, or replaced by something else
        return None


def extra(name: str, *packages: str) -> str:
    """A remedy where packages of an extra are missing. They are named themselves: who reads this
    knows best from where this package may be installed."""
    wanted = " ".join(f"'{one}'" if set(one) & set("[<>=") else one for one in packages)
    return f"Install what the extra '{name}' brings: pip install {wanted}"
