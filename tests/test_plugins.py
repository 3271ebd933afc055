# SPDX-License-Identifier: Apache-2.0
"""Plug-ins are found wherever a distribution can lie, and looking for them imports nothing."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import keras_integrity_hook
from tests.support import plugins

HOME = str(Path(keras_integrity_hook.__file__).parent.parent)
GROUP = "keras_integrity_hook.inspections"
LOOK = f"""
import sys
from keras_integrity_hook import plugins
found = [point.value for point in plugins.named({GROUP!r})]
print(found, "importlib.metadata" in sys.modules)
"""


def look(*path: Path | str, before: str = "") -> str:
    """What is found in a process whose import path has ``path`` and the standard library."""
    start = f"import sys; sys.path += {[str(one) for one in (HOME, *path)]!r}\n"
    # Without site: what is installed beside us is of no matter here.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start + before + LOOK],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.strip()


def installed(site: Path, group: str = GROUP) -> Path:
    plugins.install(site, "theirs", "", {group: {"theirs": "theirs:check"}})
    return site


def test_without_plug_ins_nothing_is_imported_for_them(tmp_path: Path) -> None:
    installed(tmp_path, "somebody.else")
    (tmp_path / "broken-1.0.dist-info").mkdir()
    (tmp_path / "file-1.0.egg-info").write_text("")
    assert look(tmp_path, tmp_path / "absent") == "[] False"


def test_metadata_of_this_package_alone_imports_nothing(tmp_path: Path) -> None:
    info = tmp_path / "keras_integrity_hook-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nours = keras_integrity_hook.x:y\n")
    assert look(tmp_path) == "[] False"


def in_directory(folder: Path) -> Path:
    return installed(folder)


def in_egg(folder: Path) -> Path:
    egg = folder / "theirs-1.0-py3.egg"
    installed(egg)
    (egg / "theirs-1.0.dist-info").rename(egg / "EGG-INFO")
    (egg / "EGG-INFO" / "METADATA").rename(egg / "EGG-INFO" / "PKG-INFO")
    return egg


def in_archive(folder: Path) -> Path:
    installed(folder / "tree")
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for path in (folder / "tree").rglob("*"):
            archive.write(path, path.relative_to(folder / "tree"))
    return folder / "all.zip"


@pytest.mark.parametrize("place", [in_directory, in_egg, in_archive])
def test_plug_in_is_found_wherever_its_distribution_lies(
    place: Callable[[Path], Path], tmp_path: Path
) -> None:
    assert look(place(tmp_path)) == "['theirs:check'] True"


def test_plug_in_that_another_finder_knows_of_is_found(tmp_path: Path) -> None:
    finder = f"""
import importlib.metadata as m
class Finder:
    def find_spec(self, *question): return None
    def find_distributions(self, context):
        return m.MetadataPathFinder.find_distributions(
            m.DistributionFinder.Context(name=context.name, path=[{str(installed(tmp_path))!r}]))
sys.meta_path.append(Finder())
"""
    assert look(before=finder) == "['theirs:check'] True"
