# SPDX-License-Identifier: Apache-2.0
"""A page of the site for each error: what it means, what is behind it, and what to do.

The meaning, the remedy and the evidence are those of the class; the usual causes are in
``causes.toml``.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_integrity_hook import errors
from keras_integrity_hook.errors import IntegrityError, IntegrityWarning

_ROLE = re.compile(r":\w+:`([^`]+)`")
_LITERAL = re.compile(r"``([^`]+)``")
_LINK = re.compile(r"\]\((?!https?:)([^)]+)\)")
_ONE_UP = r"](../\1)"


def kinds() -> dict[str, type[IntegrityError]]:
    """Every error by its code."""
    found = (kind for _, kind in inspect.getmembers(errors, inspect.isclass))
    return {kind.code: kind for kind in found if issubclass(kind, IntegrityError)}


def causes() -> Mapping[str, Mapping[str, list[str]]]:
    """The usual causes and the steps for each, by code."""
    return tomllib.loads(Path(__file__).with_name("causes.toml").read_text(encoding="utf-8"))


def pages() -> Iterator[tuple[str, str]]:
    """The path below ``docs`` and the text of each page."""
    known, known_causes = kinds(), causes()
    yield "errors/index.md", _index(known)
    for code, kind in known.items():
        yield f"errors/{code}.md", "\n\n".join(_page(kind, known_causes[code])) + "\n"


def _page(kind: type[IntegrityError], entry: Mapping[str, list[str]]) -> Iterator[str]:
    yield f"# {kind.__name__}"
    yield f"`keras_integrity_hook.errors.{kind.__name__}`, in JSON and logs `{kind.code}`."
    yield _meaning(kind)
    yield "## What is behind it"
    yield _listed(entry["causes"], "-")
    yield "## What to do"
    yield _listed(entry["steps"], "1.")
    yield f"The error itself says: *{kind.default_remedy}*"
    yield from _evidence(kind)
    yield from _relations(kind)


def _meaning(kind: type) -> str:
    text = " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].split())
    return _LITERAL.sub(r"`\1`", _ROLE.sub(r"`\1`", text))


def _evidence(kind: type[IntegrityError]) -> Iterator[str]:
    names = kind("").evidence()
    if names:
        yield "## Evidence"
        yield "`error.evidence()` and the JSON of commands have " + _enumerated(names) + "."


def _relations(kind: type[IntegrityError]) -> Iterator[str]:
    parents = [parent for parent in kind.__mro__[1:] if issubclass(parent, IntegrityError)]
    kin = [("It is also", parents), ("More exactly it may be", kind.__subclasses__())]
    for words, classes in kin:
        if kind is not IntegrityError and classes:
            yield (
                f"{words}: "
                + ", ".join(f"[{one.__name__}]({one.code}.md)" for one in classes)
                + "."
            )


def _listed(texts: list[str], mark: str) -> str:
    return "\n".join(f"{mark} {_LINK.sub(_ONE_UP, text)}" for text in texts)


def _enumerated(names: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _index(known: Mapping[str, type[IntegrityError]]) -> str:
    rows = [
        f"| [{kind.__name__}]({code}.md) | `{code}` | {_meaning(kind)} |"
        for code, kind in sorted(known.items(), key=lambda item: item[1].__name__)
    ]
    return "\n".join(
        [
            "# Errors",
            "",
            "Every error is an `IntegrityError`, and neither an `OSError` nor a `ValueError`:",
            "what catches those does not swallow a refusal. `str(error)` says what happened and",
            "what to do.",
            "",
            "| Error | Code | What it means |",
            "|---|---|---|",
            *rows,
            "",
            "## Warnings",
            "",
            "| Warning | What it means |",
            "|---|---|",
            *_warnings(),
            "",
        ]
    )


def _warnings() -> Iterator[str]:
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, IntegrityWarning):
            yield f"| `{name}` | {_meaning(kind)} |"
