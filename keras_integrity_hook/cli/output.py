# SPDX-License-Identifier: Apache-2.0
"""What a command says: lines for people, or one JSON document for machines.

File names, causes and names out of a seal are other people's text. They are escaped before they
reach a terminal.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click

from keras_integrity_hook.cli.bar import Bar, can_be_shown
from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.recognition import recognise
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    ConfigurationError,
    DamagedFileError,
    IntegrityError,
    UnsealedModelError,
    printable,
)
from keras_integrity_hook.texts import broken, for_shell, with_path

if TYPE_CHECKING:
    from keras_integrity_hook.report import Report
else:  # for those who look annotations up at run time
    Report = object

OK, REFUSED, USAGE = 0, 1, 2
SCHEMA = 1

# Below this many bytes the work is over before a bar could be read.
_LONG_WORK = 256 * 1024 * 1024
# The commands that read all of a file, and what the bar says meanwhile.
_READERS = {
    "verify": "Verifying",
    "seal": "Sealing",
    "unseal": "Unsealing",
    "reseal": "Resealing",
    "sign": "Signing",
    "contract set": "Resealing",
    "contract remove": "Resealing",
}
# Neither refused nor known to be good.
_NOTABLE = ("unsealed", "overridden", "already-sealed", "not-checked", "review")
_PARTS_SHOWN = 8
_INDENT = " " * 16
_COLUMNS_AT_LEAST, _COLUMNS_AT_MOST = 20, 100
_DIGITS = 12  # of a digest that is not printed whole
_bar: Bar | None = None

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document instead of text."
)


quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="Print nothing; the exit status tells."
)
only_refused_option = click.option(
    "--only-refused", is_flag=True, help="List only what was refused, and the totals."
)


class Listing(Enum):
    """Which results are printed for people."""

    ALL = auto()
    REFUSED = auto()
    NOTHING = auto()

    @classmethod
    def of(cls, *, quiet: bool, only_refused: bool = False) -> Listing:
        """What the options of the same names ask for."""
        return cls.NOTHING if quiet else cls.REFUSED if only_refused else cls.ALL

    def shows(self, result: Result) -> bool:
        return self is Listing.ALL or (self is Listing.REFUSED and not result.ok)


@dataclass(frozen=True)
class Result:
    """What became of one path.

    Attributes:
        path: as found, not escaped.
        state: one word for people and machines: ``sealed``, ``unsealed``, ``damaged``, ...
        report: the API's report, where there is one.
        error: why the path was refused, or None.
        note: a sentence for people about this path, when the state alone does not say enough.
        advice: what to do about all paths that are in this state.
        said: what was said of earlier paths, and is not said again; shared by all results.
    """

    path: str
    state: str
    report: Report | None = None
    error: IntegrityError | None = None
    note: str = ""
    advice: str = ""
    said: set[str] = field(default_factory=set, compare=False, repr=False)

    @property
    def ok(self) -> bool:
        return self.error is None

    def to_dict(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "ok": self.ok,
            "state": self.state,
            "report": self.report.to_dict() if self.report else None,
            "error": self.error.to_dict() if self.error else None,
            "reason": self.note if self.state == "skipped" else None,
        }

    @classmethod
    def refused(cls, path: str, error: IntegrityError) -> Result:
        if isinstance(error, ChecksumMismatchError | DamagedFileError):
            return cls(path, "damaged", error=error)
        if isinstance(error, UnsealedModelError):
            return cls(path, "unsealed", error=error)
        return cls(path, error.code, error=error)


def show(result: Result) -> None:
    """Print one result: state and path, then what is wrong and what to do about it."""
    state(result.state, result.path, good=result.ok)
    if result.error is not None:
        say_once(result, _cause(result.error, result.path))
        # The cause names the first few damaged parts itself.
        parts = getattr(result.error, "parts", ())
        for part in _summary([part for part in parts if part not in result.error.cause]):
            detail(f"  also {part}")
        for fact in result.error.facts()[1:]:  # what the seal says of itself, and what to do
            say_once(result, fact)
        return
    if result.note:
        detail(result.note)
    if result.advice and result.advice not in result.said:
        result.said.add(result.advice)
        detail(with_path(result.advice, result.path))


def say_once(result: Result, text: str) -> None:
    """Print what is the same for many paths under the first of them only."""
    kind = text.replace(for_shell(result.path), "PATH").replace(result.path, "PATH")
    if kind not in result.said:
        result.said.add(kind)
        detail(text)


def state(word: str, what: str, *, good: bool = True) -> None:
    """Print the line that says what became of ``what``."""
    colour = "red" if not good else "yellow" if word in _NOTABLE else "green"
    styled = click.style(f"{word:<15}", fg=colour, bold=not good)
    _say(f"{styled} {printable(what)}")


def detail(text: str, *, indent: int = 0) -> None:
    """Print one indented line, escaped; as several where a terminal is too narrow for it.

    Args:
        indent: further columns by which the second line and those after it are indented.
    """
    for one in wrapped(printable(text), sys.stdout, margin=len(_INDENT), indent=indent):
        _say(f"{_INDENT}{one}")


def line(text: str, *, indent: int = 4) -> None:
    """Print one line from the left edge, escaped, and broken as :func:`detail` does."""
    for one in wrapped(printable(text), sys.stdout, indent=indent):
        _say(one)


def wrapped(text: str, stream: IO[str] | None, *, margin: int = 0, indent: int = 0) -> list[str]:
    """``text``, broken between words for a terminal; one line for everything else, which is going
    to be searched and cut by programs.

    Args:
        margin: columns that the caller puts before each line.
        indent: further columns before the second line and those after it.
    """
    if not is_terminal(stream):
        return [text]
    columns = min(shutil.get_terminal_size().columns - 1, _COLUMNS_AT_MOST) - margin
    begun = text[: len(text) - len(text.lstrip())]  # what is indented already stays so
    rest = begun + " " * indent
    return broken(text.lstrip(), max(columns, _COLUMNS_AT_LEAST), begun, rest) or [""]


def marked(word: str, text: str, *, colour: str) -> None:
    """Print ``text``, escaped and wrapped as by :func:`detail`, behind a word that says what it
    is."""
    first, *rest = wrapped(printable(text), sys.stdout, margin=len(_INDENT))
    _say(f"{click.style(f'{word:<15}', fg=colour)} {first}")
    for line in rest:
        _say(f"{_INDENT}{line}")


def states(rows: Sequence[tuple[str, str, str]]) -> None:
    """Print a word and what it is about in two columns, escaped.

    The second is never broken or cut, so that it can be searched.

    Args:
        rows: each a word, what it is about, and the colour of the word.
    """
    width = max(len(word) for word, _, _ in rows)
    for word, what, colour in rows:
        _say(f"{click.style(f'{word:<{width}}', fg=colour)}  {printable(what)}")


def facts(pairs: Sequence[tuple[str, object]]) -> None:
    """Print names and values in two columns, escaped."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        detail(f"{name:<{width}}  {value}", indent=width + 2)


def digest(spelt: str) -> str:
    """A digest as it is printed: all of it, unless a terminal is too narrow for that; then as many
    digits as tell it from others. Programs, and ``--json``, get all of it."""
    is_narrow = is_terminal(sys.stdout) and shutil.get_terminal_size().columns <= _COLUMNS_AT_MOST
    return f"{spelt[:_DIGITS]}…" if is_narrow and len(spelt) > _DIGITS else spelt


def emit(command: str, *, ok: bool, **fields: Any) -> None:
    """Print the JSON document of a command; docs/json-output.md describes it."""
    document = {"schema": SCHEMA, "command": command, "ok": ok, **fields}
    click.echo(json.dumps(document, indent=2))


def misconfigured(command: str, error: IntegrityError, *, as_json: bool) -> NoReturn:
    """End the command because a setting or a policy file cannot be relied on."""
    failed(command, error, as_json=as_json, status=USAGE)


def failed(
    command: str, error: IntegrityError, *, as_json: bool, status: int | None = None
) -> NoReturn:
    """End a command that is about no model files, because of ``error``."""
    if as_json:
        emit(command, ok=False, error=error.to_dict())
    else:
        mark = "Error: "
        for fact in error.facts():
            lines = wrapped(fact, sys.stderr, margin=len(mark))
            click.echo(mark + f"\n{' ' * len(mark)}".join(lines), err=True)
            mark = " " * len(mark)
    by_kind = USAGE if isinstance(error, ConfigurationError) else REFUSED
    sys.exit(by_kind if status is None else status)


def read_sizes(command: str, paths: Sequence[str]) -> dict[str, int] | None:
    """How many bytes ``command`` is going to read for each path; None where it reads no content."""
    return {path: _size(path) for path in paths} if command in _READERS else None


@contextmanager
def progress(
    command: str, paths: Sequence[str], sizes: Mapping[str, int] | None, *, quiet: bool
) -> Iterator[Callable[[str], None]]:
    """A bar on standard error while long work is done on a terminal; else nothing.

    Meanwhile :func:`show` and its kin print above the bar. There is none where standard output is
    piped: whoever does that does not watch, and its lines would get into a common log.

    Args:
        paths: what will be worked on; one that is named twice counts twice.
        sizes: bytes of each of them, None where none are read.

    Yields:
        A function to call with each path when it is done.
    """
    global _bar  # noqa: PLW0603 - a process has one terminal
    is_watched = can_be_shown(sys.stderr) and is_terminal(sys.stdout)
    total = sum(sizes[path] for path in paths) if sizes else 0
    if quiet or not is_watched or sizes is None or total < _LONG_WORK:
        yield lambda path: None
        return
    with Bar(sys.stderr, _READERS[command], total).shown() as bar:
        _bar = bar
        try:
            yield lambda path: bar.advance(sizes[path])
        finally:
            _bar = None


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether a person is at ``stream``, one of :mod:`sys`; None where it was closed."""
    return stream is not None and stream.isatty()


def _cause(error: IntegrityError, path: str) -> str:
    """What is wrong, and with which file where that is not the one at ``path``."""
    elsewhere = error.path is not None and error.path != path and error.path not in error.cause
    return f"{error.path}: {error.cause}" if elsewhere else error.cause


def _say(line: str) -> None:
    if _bar is None:
        click.echo(line)
        return
    with _bar.set_aside():
        click.echo(line)


def _summary(parts: Sequence[str]) -> list[str]:
    shown = [str(part) for part in parts[:_PARTS_SHOWN]]
    more = len(parts) - len(shown)
    return [*shown, f"{more} more (--json lists all)"] if more else shown


def _size(path: str) -> int:
    """Bytes to be read for the model at ``path``; 0 where that cannot be told, so no bar."""
    place = recognise(path)
    try:
        if place is None:
            return os.stat(path).st_size
        with file_set.open_directory(place) as found:
            file_set.open_present(found)
            return found.content.size
    except (OSError, ValueError, IntegrityError):
        return 0
