# SPDX-License-Identifier: Apache-2.0
"""What README and CHANGELOG name is what there is: this version, and the libraries that are run."""

from __future__ import annotations

import re

import pytest

from keras_integrity_hook import __version__
from tests.support.documents import ROOT, pages

pytestmark = pytest.mark.skipif(not pages(), reason="the docs are not beside the tests")


@pytest.mark.parametrize("page", pages())
def test_every_wheel_that_is_named_is_of_this_version(page: str) -> None:
    named = re.findall(r"keras_integrity_hook-([\w.]+)-py3", (ROOT / page).read_text())
    assert set(named) <= {__version__}


@pytest.mark.parametrize("page", pages())
def test_no_page_installs_by_a_name_that_nobody_has_published(page: str) -> None:
    by_name = re.compile(r"pip install [^`@\n]*\bkeras-integrity-hook\b(?! @)")
    assert by_name.findall((ROOT / page).read_text()) == []


def test_this_version_is_dated_in_the_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE)


def test_the_libraries_in_readme_are_of_the_versions_that_are_run() -> None:
    table = (ROOT / "README.md").read_text().partition("### Libraries around Keras")[2]
    named = re.findall(r"\b([a-z][\w-]+) (\d[\w.]*\d)", table.partition("### ")[0])
    pinned = "".join(path.read_text() for path in ROOT.glob("tests/ecosystem/requirements*.txt"))
    assert len(named) > 10
    assert [f"{name}=={version}" for name, version in named] == [
        f"{name}=={version}" for name, version in named if f"{name}=={version}" in pinned
    ]
