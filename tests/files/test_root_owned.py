# SPDX-License-Identifier: Apache-2.0
"""Files of root's: what is there and could be another's, and what is not there and could have been
hidden."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keras_integrity_hook.errors import ConfigurationError, InsecurePermissionsError
from keras_integrity_hook.files import owned, root_owned


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that only root could have made, all the way up."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    top = Path("/run") / f"keras-integrity-hidden-{os.getpid()}"
    below = top / "below"
    below.mkdir(parents=True, mode=0o755)
    for path in (top, below):
        path.chmod(0o755)
    yield below
    shutil.rmtree(top)


def doubt(folder: Path) -> InsecurePermissionsError | None:
    found = root_owned.look_for(str(folder / "policy.toml"), 100)
    assert isinstance(found, root_owned.Missing)
    return found.doubt


@pytest.mark.parametrize("missing", ["file", "directory"])
def test_absence_below_directories_of_root_is_absence(folder: Path, missing: str) -> None:
    assert doubt(folder if missing == "file" else folder / "deeper" / "still") is None


@pytest.mark.parametrize("owner", [1000, 65534])
@pytest.mark.parametrize("level", [0, 1])
def test_absence_below_a_directory_of_others_is_in_doubt(
    folder: Path, owner: int, level: int
) -> None:
    foreign = (folder, folder.parent)[level]
    os.chown(foreign, owner, owner)
    found = doubt(folder)
    assert found is not None
    assert (found.found, found.owner) == (str(foreign), owner)
    os.chown(foreign, 0, 0)
    assert doubt(folder) is None


@pytest.mark.parametrize(
    ("mode", "group", "is_doubtful"),
    [
        (0o777, 0, True),
        (0o1777, 0, False),  # nobody removes what is another's
        (0o775, 0, False),
        (0o775, 1000, True),
        (0o1775, 1000, False),
    ],
)
def test_absence_is_in_doubt_where_others_may_remove(
    folder: Path, mode: int, group: int, is_doubtful: bool
) -> None:
    os.chown(folder, 0, group)
    folder.chmod(mode)
    assert (doubt(folder) is not None) is is_doubtful


def test_directory_for_a_file_of_root_is_refused_where_others_write(folder: Path) -> None:
    os.close(root_owned.open_directory(str(folder)))
    folder.chmod(0o777)
    with pytest.raises(InsecurePermissionsError):
        root_owned.open_directory(str(folder))


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda path: root_owned.look_for(path, 100), id="of root"),
        pytest.param(lambda path: owned.read_own(path, 100, named=True), id="of the user"),
    ],
)
def test_exhausted_descriptors_are_no_mistake_in_a_policy(
    read: Callable[[str], object], tmp_path: Path
) -> None:
    """Nobody is to look for one there."""
    path = str(tmp_path / "policy.toml")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(ConfigurationError) as caught:
            read(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert "Too many open files" in caught.value.cause
    assert "links" not in caught.value.cause
    assert "ulimit -n" in caught.value.remedy()
