# SPDX-License-Identifier: Apache-2.0
"""The code blocks of a Markdown page, in order, with what the page says about running them.

A remark is an HTML comment on the line before a block, which no reader of the page sees:

``<!-- not run: REASON -->``
    The block is left out, and why.
``<!-- a fresh home -->``
    What follows is somebody else's: nothing of the blocks before is there.
``<!-- needs an index -->``
    It installs packages: run by itself, in a home of its own, where an index can be reached.
``<!-- only checked -->``
    A settings file that would be in force for all that follows: its content is checked.
``<!-- status N -->``
    The commands end with this exit status.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# What is not meant to be run: output, data and drawings.
SHOWN = ("text", "json", "yaml", "mermaid")

_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_REMARK = re.compile(r"<!-- (?P<said>[^\n]+) -->\n\s*\Z")
_FILE = re.compile(r"# (?P<path>[\w./~-]+\.(?:toml|py|txt|yaml|yml))\b")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page.

    Attributes:
        line: of the page, where the block begins.
        remark: what the comment before it says; empty without one.
    """

    page: str
    line: int
    language: str
    text: str
    remark: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The path of the file that it shows, which its first line names; None for commands."""
        named = _FILE.match(self.text)
        return named["path"] if named and self.language in ("toml", "python") else None

    @property
    def why_not(self) -> str | None:
        """Why it is not run, None where it is."""
        return self.remark.removeprefix("not run: ") if self._says("not run: ") else None

    @property
    def begins_anew(self) -> bool:
        return self._says("a fresh home")

    @property
    def needs_an_index(self) -> bool:
        return self._says("needs an index")

    @property
    def is_only_checked(self) -> bool:
        return self._says("only checked")

    @property
    def status(self) -> int:
        return int(self.remark.removeprefix("status ")) if self._says("status ") else 0

    def _says(self, words: str) -> bool:
        return self.remark.startswith(words)


def blocks(page: str) -> list[Block]:
    """All of the page at ``page``, a path below the source tree, but those that only show."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [_block(page, text, match) for match in _BLOCK.finditer(text)]
    return [block for block in found if block.language not in SHOWN]


def _block(page: str, text: str, match: re.Match[str]) -> Block:
    remark = _REMARK.search(text[: match.start()])
    line = text.count("\n", 0, match.start()) + 1
    code = textwrap.dedent(match["text"])
    return Block(page, line, match["language"], code, remark["said"] if remark else "")


def pages() -> list[str]:
    """README and all below ``docs``; none where the tests are installed without them."""
    found = [*ROOT.glob("README.md"), *sorted(ROOT.glob("docs/**/*.md"))]
    return [str(path.relative_to(ROOT)) for path in found]
