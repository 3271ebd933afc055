# SPDX-License-Identifier: Apache-2.0
"""The commands that pages show do what is said beside them, word for word."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_integrity_hook.registry.service.console import pages
from keras_integrity_hook.registry.service.console.commands import Command
from tests.support.processes import cli
from tests.support.registries import Cast, registration
from tests.support.stores import Kept

NAME = "a model, of mine (old)"


class Console:
    """Somebody who copies commands from the pages of a registry.

    Attributes:
        folder: where commands are run.
    """

    def __init__(self, kept: Kept, folder: Path) -> None:
        self.kept, self.folder = kept, folder

    def commands(self) -> dict[str, Command]:
        """Those on the page of the version, by what they do."""
        shown = pages.version(self.kept.store, NAME, "1.0")
        return {one.what.partition(".")[0].partition(":")[0]: one for one in shown["commands"]}

    def run(self, what: str, *who: str) -> None:
        """Do ``what``, each step with the key of one person."""
        steps = self.commands()[what].steps
        for step, name in zip(steps, who, strict=True):
            program, *words = shlex.split(" ".join(step.words))
            assert program == "keras-integrity"
            where = ("--registry", self.kept.url)
            key = () if words[1] == "submit" else ("--key", self.kept.cast.path(name))
            extra = key if words[1] == "sign" else (*where, *key)
            done = cli(*words, *extra, cwd=self.folder)
            assert done.returncode == 0, done.stdout + done.stderr

    @property
    def stages(self) -> tuple[str, ...]:
        row = self.kept.store.version(NAME, "1.0")
        assert row is not None
        return row.stages


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    cast = Cast(tmp_path)
    (tmp_path / "registry.db.key").symlink_to(cast.service)
    kept = Kept(f"sqlite:///{tmp_path}/registry.db", cast)
    with kept.store:
        kept.found()
        kept.add(registration(NAME), "carol")
        yield Console(kept, tmp_path)


def test_each_command_of_a_version_does_what_the_page_says(console: Console) -> None:
    console.run("Promote it to staging", "carol")
    assert list(console.stages) == ["staging"]
    console.run("Promote it to production", "alice", "bob", "bob")
    assert list(console.stages) == ["production", "staging"]
    console.run("Withdraw it from staging", "carol")
    assert list(console.stages) == ["production"]
    console.run("Recall it", "carol")
    assert list(console.commands()) == [
        "Withdraw it from production",
        "Take the recall of this content back",
    ]
    console.run("Take the recall of this content back", "dave")
    assert "Recall it" in console.commands()
