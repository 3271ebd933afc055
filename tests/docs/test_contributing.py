# SPDX-License-Identifier: Apache-2.0
"""What CONTRIBUTING.md sends a newcomer to is there, under that name."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "CONTRIBUTING.md").read_text()
PLACES = [
    REPOSITORY,
    *(REPOSITORY / name for name in ("keras_integrity_hook", "tests", "docs")),
]
_FILE = re.compile(r"`([\w./-]+\.(?:py|md|toml|json|html|svg))`")
_IN_FILE = re.compile(
    r"((?:`\w+`(?:, | and )?)+)"  # names ...
    r"\s+(?:of|in)\s+(?:its\s+)?`([\w/]+\.py)`",  # ... of a file
)


def files_called(name: str) -> list[Path]:
    """The files that a document may mean by ``name``: a path from some place, or how one ends."""
    found = [place / name for place in PLACES if (place / name).is_file()]
    return found or [one for place in PLACES[1:] for one in place.rglob(Path(name).name)]


def test_every_file_that_it_names_is_there() -> None:
    names = set(_FILE.findall(TEXT))
    assert len(names) > 60
    names.remove("/openapi.json")  # an address, and no file
    assert [name for name in sorted(names) if not files_called(name)] == []


def test_every_name_that_it_says_is_in_a_file_is_there() -> None:
    pairs = {
        (name, file) for names, file in _IN_FILE.findall(TEXT) for name in re.findall(r"\w+", names)
    }
    assert len(pairs) > 30
    missing = [
        (name, file)
        for name, file in sorted(pairs)
        if not any(re.search(rf"\b{name}\b", one.read_text()) for one in files_called(file))
    ]
    assert missing == []
