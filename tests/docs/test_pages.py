# SPDX-License-Identifier: Apache-2.0
"""Every block of code in README and ``docs`` works, in order, in a fresh home."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.documents import Block, blocks, pages
from tests.support.reader import Reader, build_wheel, lend_packages, private_mounts, sessions

MakeReader = Callable[[], Reader]

_ADMINISTERS = ("/etc/", "sudo ", "--machine", "site install", "site uninstall", "/var/log/")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lend_packages(tmp_path_factory.mktemp("lent") / "site-packages")


@pytest.fixture(scope="session")
def models(wheel: Path, lent: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every reader begins with."""
    first = Reader(tmp_path_factory.mktemp("first") / "reader", wheel, lent)
    first.prepare()
    return first.work


@pytest.fixture
def reader(wheel: Path, lent: Path, models: Path, tmp_path: Path) -> MakeReader:
    """Makes somebody who has not read anything yet."""
    made: list[Reader] = []

    def make() -> Reader:
        made.append(Reader(tmp_path / f"reader{len(made)}", wheel, lent, models))
        return made[-1]

    return make


def in_order(page: str) -> list[Block]:
    return [block for block in blocks(page) if not (block.why_not or block.needs_an_index)]


PAGES = [page for page in pages() if in_order(page)]
BY_THEMSELVES = [block for page in pages() for block in blocks(page) if block.needs_an_index]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.timeout(900)
def test_a_page_can_be_followed_from_top_to_bottom(page: str, reader: MakeReader) -> None:
    somebody = reader()
    for block in in_order(page):
        if private_mounts() is None and any(words in block.text for words in _ADMINISTERS):
            pytest.skip(f"{block.place} needs root and private mounts (unshare -m)")
        if "jq " in block.text and not found("jq"):
            pytest.skip(f"{block.place} needs jq")
        if block.begins_anew:
            somebody = reader()
        try:
            somebody.follow(block)
        except AssertionError as error:
            raise AssertionError(f"{block.place}\n{block.text}\n{error}") from None


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("index")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "zipp"]
    if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip("no package index can be reached")


@pytest.mark.parametrize("block", BY_THEMSELVES, ids=lambda block: block.place)
@pytest.mark.usefixtures("index")
def test_what_installs_packages_works_by_itself(block: Block, reader: MakeReader) -> None:
    somebody = reader()
    missing = [tool for tool in ("uv", "pipx") if f"{tool} " in block.text and not found(tool)]
    if missing:
        pytest.skip(f"needs {missing[0]}")
    somebody.follow(block)


def found(tool: str) -> str | None:
    """Where the command is: in the environment that runs the tests, or on the path."""
    return shutil.which(tool, path=str(Path(sys.executable).parent)) or shutil.which(tool)


@pytest.mark.parametrize("page", pages())
def test_what_is_not_run_says_why(page: str) -> None:
    for block in blocks(page):
        assert block.language, f"{block.place} does not say what it is"
        if block.why_not is not None:
            assert len(block.why_not.split()) >= 2, block.place


def test_a_terminal_is_split_into_commands_and_what_they_print() -> None:
    text = "$ one --flag\nfirst\nsecond\n$ two\n"
    assert list(sessions(text)) == [("one --flag", "first\nsecond\n"), ("two", "")]
