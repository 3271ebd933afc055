# SPDX-License-Identifier: Apache-2.0
"""What ``status``, ``doctor`` and ``policy check`` find, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import click

from keras_integrity_hook.cli import output


class Level(StrEnum):
    """How bad it is."""

    UNPROTECTED = "unprotected"  # models are loaded that nobody has checked
    PROBLEM = "problem"  # what was set up does not work; what depends on it fails or is refused
    NOTE = "note"  # worth knowing


class Finding(NamedTuple):
    """Something that is wrong or worth knowing, in a sentence or two, with what to do."""

    level: Level
    text: str

    @property
    def fatal(self) -> bool:
        """Whether a command that finds it ends with exit status 1."""
        return self.level is not Level.NOTE

    def to_dict(self) -> dict[str, Any]:
        return {"level": self.level.value, "fatal": self.fatal, "text": self.text}


def unprotected(text: str) -> Finding:
    """A finding of that level."""
    return Finding(Level.UNPROTECTED, text)


def problem(text: str) -> Finding:
    """A finding of that level."""
    return Finding(Level.PROBLEM, text)


def note(text: str) -> Finding:
    """A finding of that level."""
    return Finding(Level.NOTE, text)


def show(findings: Sequence[Finding]) -> None:
    """Print each with its level before it, the worst first."""
    order = list(Level)
    for found in sorted(findings, key=lambda one: order.index(one.level)):
        word = "note" if found.level is Level.NOTE else "problem"
        output.marked(word, found.text, colour="yellow" if word == "note" else "red")


def verdict(text: str, *, good: bool) -> None:
    """Print the sentence that answers the question of the command."""
    click.secho(text, fg="green" if good else "red", bold=True)
