# SPDX-License-Identifier: Apache-2.0
"""What the site has beside the pages in ``docs``: the files at the top of the repository, a page
for each error, and the notebook, executed while the site is built.

MkDocs calls the functions by their names: https://www.mkdocs.org/dev-guide/plugins/#events
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

import error_pages  # MkDocs loads this file by its path
import executed_notebook

ROOT = Path(__file__).resolve().parent.parent.parent
AT_THE_TOP = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
_LINK = re.compile(r"(!?\[[^]\n]*(?:\n[^]\n]*)?\])\(([^)#\s]*)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    for name in AT_THE_TOP:
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, _of_the_top(name), content=_relinked(text, "")))
    for path, text in (
        *error_pages.pages(),
        *executed_notebook.pages(ROOT / "docs/first-model.ipynb"),
    ):
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links that lead out of ``docs`` lead to what the site has of it."""
    if page.file.generated_by:
        return markdown
    return _relinked(markdown, posixpath.join("docs", posixpath.dirname(page.file.src_uri)))


def _relinked(text: str, folder: str) -> str:
    """``text`` with its links as the site has them.

    Args:
        folder: where the page lies in the repository, from its top.
    """
    return _LINK.sub(lambda link: _one(link, folder), text)


def _one(link: re.Match[str], folder: str) -> str:
    shown, target, anchor = link[1], link[2], link[3] or ""
    if not target or "://" in target or target.startswith("mailto:"):
        return link[0]
    place = posixpath.normpath(posixpath.join(folder, target))
    here = posixpath.relpath(folder or ".", "docs") if folder else "."
    if place in AT_THE_TOP:
        return f"{shown}({posixpath.relpath(_of_the_top(place), here)}{anchor})"
    if place.startswith("docs/"):
        place = place.replace(".ipynb", ".md")
        return f"{shown}({posixpath.relpath(place.removeprefix('docs/'), here)}{anchor})"
    return f"{shown[1:-1]} (`{place}`)"  # in the repository alone


def _of_the_top(name: str) -> str:
    return name.lower()
