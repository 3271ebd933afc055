# SPDX-License-Identifier: Apache-2.0
"""The end of a command over many models: how many, how much, how long, and what to do."""

from __future__ import annotations

import os
import sys
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from typing import Any, NoReturn

from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.output import OK, REFUSED, USAGE, Listing, Result
from keras_integrity_hook.errors import ConfigurationError
from keras_integrity_hook.texts import bytes_of, for_shell, plural

_NAMED_AT_MOST = 60  # characters of paths in a command that is to be copied
_MANY = 20  # results that no longer fit on a screen


@dataclass(frozen=True)
class Outcome:
    """What a command over model files came to.

    Attributes:
        command: its name.
        named: the paths on the command line.
        results: in the order in which they were found.
        size: bytes of the models that were worked on; None where they were not read.
        seconds: how long it took.
    """

    command: str
    named: tuple[str, ...]
    results: tuple[Result, ...]
    size: int | None
    seconds: float

    @property
    def refused(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if not result.ok)

    @property
    def exit_status(self) -> int:
        mistaken = any(isinstance(result.error, ConfigurationError) for result in self.results)
        return USAGE if mistaken else REFUSED if self.refused else OK

    def states(self) -> dict[str, int]:
        """How many there are of each state, what was refused last."""
        good = Counter(result.state for result in self.results if result.ok)
        bad = Counter(result.state for result in self.refused)
        return dict(good) | {state: good[state] + count for state, count in bad.items()}

    def to_dict(self) -> dict[str, Any]:
        return {
            "models": len(self.results),
            "refused": len(self.refused),
            "states": self.states(),
            "bytes": self.size,
            "seconds": round(self.seconds, 3),
        }


def finish(outcome: Outcome, *, as_json: bool, listing: Listing) -> NoReturn:
    """End the command: the JSON document or the summary, and the exit status."""
    if as_json:
        results = [result.to_dict() for result in outcome.results]
        ok = outcome.exit_status == OK
        output.emit(outcome.command, ok=ok, results=results, summary=outcome.to_dict())
    elif listing is not Listing.NOTHING and len(outcome.results) > 1:
        _print(outcome, listing)
    sys.exit(outcome.exit_status)


def _print(outcome: Outcome, listing: Listing) -> None:
    counts = ", ".join(f"{count:,} {state}" for state, count in outcome.states().items())
    work = "" if outcome.size is None else f"; {bytes_of(outcome.size)} {_time(outcome.seconds)}"
    output.line(f"{plural(len(outcome.results), 'model')}: {counts}{work}")
    if refused := len(outcome.refused):
        where = "it" if refused == 1 else "the first of each kind"
        output.detail(f"{refused:,} refused. What to do is said under {where}.")
        can_leave_out = outcome.command in ("verify", "scan")
        if listing is Listing.ALL and can_leave_out and len(outcome.results) > _MANY:
            output.detail("Show only what was refused: --only-refused.")
    if unsealed := [result.path for result in outcome.results if result.advice]:
        has = "has" if len(unsealed) == 1 else "have"
        paths = _paths(_named_of(unsealed, outcome.named))
        output.detail(
            f"{len(unsealed):,} {has} no seal, so a change would go unnoticed. "
            f"Seal what you trust: keras-integrity seal {paths}"
        )


def _named_of(paths: list[str], named: tuple[str, ...]) -> tuple[str, ...]:
    """Those paths of the command line that are among ``paths``, or are directories of them."""

    ordered = sorted(paths)  # so that thousands of names are looked up and not compared with all

    def concerned(name: str) -> bool:
        folder = os.path.join(name, "")
        after = ordered[(at := bisect_left(ordered, folder)) : at + 1]
        return name in known or bool(after and after[0].startswith(folder))

    known = frozenset(paths)
    return tuple(name for name in named if concerned(name)) or named


def _paths(named: tuple[str, ...]) -> str:
    """The paths of the command line for the next one; ``PATH`` where they are too long."""
    joined = " ".join(map(for_shell, named))
    return joined if len(joined) <= _NAMED_AT_MOST else "PATH"


def _time(seconds: float) -> str:
    return f"in {seconds:,.1f} s" if seconds >= 0.1 else "in less than 0.1 s"
