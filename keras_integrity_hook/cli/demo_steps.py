# SPDX-License-Identifier: Apache-2.0
"""What a demo consists of: steps, each a process of its own, whose promise is checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click

from keras_integrity_hook import settings
from keras_integrity_hook.cli import output
from keras_integrity_hook.errors import printable

# Of the user's own settings, what a demo sets itself or would be another story under.
_OURS = (
    settings.MODE_VARIABLE,
    settings.UNSEALED_VARIABLE,
    *(f"KERAS_INTEGRITY_{name}" for name in ("ALLOWED_OBJECTS", "INPUTS", "INSPECTION")),
    "KERAS_INTEGRITY_INSPECTION_RULES",
)


class Step(NamedTuple):
    """One thing the demo did.

    Attributes:
        title: what is done, for people.
        command: what was run, as a person would type it.
        lines: what came out.
        broken: the promise that was not kept, or an empty string.
    """

    title: str
    command: str
    lines: tuple[str, ...]
    broken: str = ""


def python(folder: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter in the demo's directory, with TensorFlow's chatter off."""
    environment = {name: value for name, value in os.environ.items() if name not in _OURS}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", **extra}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        errors="replace",
    )


def told(done: subprocess.CompletedProcess[str]) -> tuple[str, ...]:
    """What a process printed, and the end of what it said of its failure."""
    failed = done.stderr.splitlines()[-4:] if done.returncode else []
    return (*done.stdout.rstrip().splitlines(), *failed)


def error_in(text: str, kind: str) -> list[str]:
    """The lines of the error ``kind`` at the end of what Python said, without the traceback."""
    lines = text.rstrip().splitlines()
    starts = [at for at, line in enumerate(lines) if kind in line]
    return lines[starts[-1] :] if starts else []


def print_step(number: int, step: Step) -> None:
    """Print one step: what was done, what was run, and what came out."""

    def lines(text: str, **style: Any) -> None:
        for part in output.wrapped(printable(text), sys.stdout, margin=3):
            click.secho(f"   {part}", **style)

    click.secho(f"\n{number}. {step.title}", bold=True)
    if step.command:
        lines(step.command if step.command.startswith("(") else f"$ {step.command}", fg="cyan")
    for line in step.lines:
        lines(line)
    if step.broken:
        lines(f"NOT AS PROMISED: {step.broken}.", fg="red")
