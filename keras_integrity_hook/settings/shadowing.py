# SPDX-License-Identifier: Apache-2.0
"""Rules that no file ever gets to, because one before them is for every path that they are for.

The first rule for a path decides, so that ``**`` in front of all others is the whole policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keras_integrity_hook.settings import patterns
from keras_integrity_hook.settings.toml_file import PolicyFile, Rule


def shadowed(files: Sequence[PolicyFile]) -> Iterator[tuple[Rule, Rule]]:
    """Each rule that is never used, and the one before it that always is.

    Args:
        files: the nearest first, as :class:`~keras_integrity_hook.settings.layers.Layers` has them.
    """
    earlier: list[Rule] = []
    for file in files:
        own: list[Rule] = []
        for rule in file.rules:
            # What the machine's policy locks comes from its own first rule, whoever else has one.
            before = own if file.locked & set(rule.entries) else [*earlier, *own]
            first = next((one for one in before if covers(one.pattern, rule.pattern)), None)
            if first is not None:
                yield rule, first
            own.append(rule)
        earlier += own


def covers(first: str, second: str) -> bool:
    """Whether ``first`` is certainly for every file that ``second`` is for.

    Never true where it is not so; false where that cannot be told from the patterns. Links in both
    are followed as :func:`patterns.matches` does, since a rule holds under either name.
    """
    if not first.strip("*"):  # compared with the last part of a path, whatever that is
        return True
    wide = [_tokens(form) for form in patterns.forms(first)]
    narrow = [_tokens(form) for form in patterns.forms(second)]
    return all(any(_includes(one, other) for one in wide) for other in narrow)


def _tokens(pattern: str) -> list[str]:
    """The wildcards of ``pattern`` and its single characters.

    One without a slash is for a file of that name in any directory.
    """
    whole = pattern if "/" in pattern else "/**/" + pattern.replace("**", "*")
    tokens: list[str] = []
    for piece in patterns.pieces(whole):
        tokens += [piece] if patterns.is_wild(piece) else list(piece)
    return tokens


def _includes(wide: list[str], narrow: list[str]) -> bool:
    """Whether ``wide`` takes everything that ``narrow`` may stand for, wildcards in one gulp.

    Worked out from the end, for each pair of a rest of one and a rest of the other.
    """
    after = [False] * (len(narrow) + 1)  # nothing is left of ``wide``
    after[-1] = True
    for token in reversed(wide):
        after = _row(token, narrow, after)
    return after[0]


def _row(token: str, narrow: list[str], after: list[bool]) -> list[bool]:
    """For each rest of ``narrow``: is it taken by ``token`` and what comes after it in ``wide``?

    Args:
        after: the same for what comes after it alone.
    """
    may_be_empty = token in ("*", "**", "**/", "/**")
    row = [False] * len(narrow) + [may_be_empty and after[-1]]
    behind_slash = False  # whether a later rest, one that begins behind a slash, is taken
    for at in reversed(range(len(narrow))):
        behind_slash = behind_slash or (narrow[at] == "/" and row[at + 1])
        row[at] = (
            (may_be_empty and after[at])
            or (token == "/**" and narrow[at] in ("/", "/**"))
            or (token == "**/" and (behind_slash or (narrow[at] == "**/" and row[at + 1])))
            or (_repeats(token, narrow[at]) and row[at + 1])
            or (_takes(token, narrow[at]) and after[at + 1])
        )
    return row


def _repeats(token: str, other: str) -> bool:
    """Whether ``token`` takes ``other`` and is then not done yet."""
    return token == "**" or (token == "*" and other not in ("/", "**", "**/", "/**"))


def _takes(token: str, other: str) -> bool:
    """Whether ``token``, which stands for one character, takes ``other``."""
    if token == other:
        return not patterns.is_wild(token) or patterns.is_one_character(token)
    if not patterns.is_one_character(token):
        return False
    if patterns.is_one_character(other):
        return token == "?"
    return not patterns.is_wild(other) and patterns.is_one(token, other)
