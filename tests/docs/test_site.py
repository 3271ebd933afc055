# SPDX-License-Identifier: Apache-2.0
"""The documentation site is built without a warning, has a page for each error, and asks no other
host for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import keras_integrity_hook
from keras_integrity_hook import errors
from keras_integrity_hook.errors import IntegrityError
from tests.support.documents import ROOT, pages

pytestmark = pytest.mark.skipif(not pages(), reason="the docs are not beside the tests")

CODES = {
    kind.code
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, IntegrityError)
}


def test_every_error_has_its_causes_and_what_to_do() -> None:
    entries = tomllib.loads((ROOT / "docs/site/causes.toml").read_text())
    assert set(entries) == CODES
    for code, entry in entries.items():
        assert set(entry) == {"causes", "steps"}, code
        assert all(entry["causes"]), code
        assert all(entry["steps"]), code


def test_every_public_name_is_in_the_reference_or_has_a_page_of_its_own() -> None:
    text = (ROOT / "docs/api.md").read_text()
    named = {line.rpartition(".")[2] for line in text.splitlines() if line.startswith("::: ")}
    errors_with_pages = {name for name in vars(errors) if name.endswith("Error")}
    assert set(keras_integrity_hook.__all__) - errors_with_pages - named - {"__version__"} == set()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="needs keras-integrity-hook[docs]")
    pytest.importorskip("material", reason="needs keras-integrity-hook[docs]")
    pytest.importorskip("nbconvert", reason="needs keras-integrity-hook[docs]")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_error_has_a_page(site: Path) -> None:
    for code in CODES:
        text = (site / f"errors/{code}.html").read_text()
        assert "What is behind it" in text
        assert "What to do" in text


def test_the_notebook_shows_what_this_version_does(site: Path) -> None:
    text = (site / "first-model.html").read_text()
    assert "checksum-mismatch" in text
    assert "damaged.keras" in text


def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    asked = [f"{page.name}: {one}" for page in site.rglob("*.html") for one in fetched(page)]
    assert asked == []


def fetched(page: Path) -> Iterator[str]:
    """What a browser asks for when it shows the page, other than files of the site."""
    tags = re.findall(r"<(?:link|script|img|iframe|source)\b[^>]*>", page.read_text())
    for tag in tags:
        found = re.search(r"""(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)""", tag)
        if found and 'rel="canonical"' not in tag:
            yield found[1]
