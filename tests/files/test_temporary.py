# SPDX-License-Identifier: Apache-2.0
"""Private directories where temporary files go: of one user, and gone with who made them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from keras_integrity_hook.errors import InsecurePermissionsError
from keras_integrity_hook.files import portable, temporary
from tests.support.children import one_killed

BOTH = pytest.mark.parametrize("for_children", [False, True], ids=["own", "for children"])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """TMPDIR."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@BOTH
def test_a_folder_is_of_this_user_alone_and_gone_with_all_that_is_in_it(
    place: Path, for_children: bool
) -> None:
    with temporary.private_folder(for_children=for_children) as folder:
        os.makedirs(f"{folder}/a/b")
        Path(folder, "a/b/file").write_bytes(b"x")
        (there,) = place.iterdir()
        assert there.stat().st_mode & 0o777 == 0o700
        assert os.path.samefile(folder, next(one for one in there.iterdir() if one.is_dir()))
    assert not list(place.iterdir())


def test_another_process_finds_a_folder_that_is_for_it(place: Path) -> None:
    with temporary.private_folder(for_children=True) as folder:
        code = "import sys, pathlib; pathlib.Path(sys.argv[1], 'file').write_text('here')"
        subprocess.run([sys.executable, "-c", code, folder], check=True)
        assert Path(folder, "file").read_text() == "here"
    assert not list(place.iterdir())


KILLED = """
import sys, time
from keras_integrity_hook.files import portable, temporary
from tests.support.children import one_killed

with temporary.private_folder(for_children=sys.argv[1] == "True") as folder:
    open(folder + "/large", "w").write("x")
    print("made", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill of this kind")
@BOTH
def test_the_folder_of_a_killed_process_goes_with_the_next_one_and_of_a_living_one_stays(
    place: Path, for_children: bool
) -> None:
    command = [sys.executable, "-c", KILLED, str(for_children)]
    with one_killed(command) as living:
        assert len(list(place.iterdir())) == 2
        with temporary.private_folder():
            pass
        assert len(list(place.rglob("large"))) == 1
        assert living.poll() is None
    with temporary.private_folder():
        pass
    assert not list(place.iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no modes of this kind")
def test_where_others_can_rename_children_go_through_a_descriptor_of_their_parent(
    place: Path,
) -> None:
    """As in a volume of Kubernetes, an ``emptyDir``: everybody's, with no sticky bit."""
    place.chmod(0o777)
    with temporary.private_folder(for_children=True) as folder:
        (there,) = place.iterdir()
        there.rename(place / "taken away")
        there.mkdir()
        code = "import sys, pathlib; pathlib.Path(sys.argv[1], 'file').write_text('here')"
        subprocess.run([sys.executable, "-c", code, folder], check=True)
        assert Path(folder, "file").read_text() == "here"
        assert not list(there.rglob("file"))
        there.rmdir()
        (place / "taken away").rename(there)
    assert not list(place.iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no modes of this kind")
def test_a_path_that_others_can_rename_is_for_no_children_where_descriptors_have_none(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.chmod(0o777)
    monkeypatch.setattr(portable, "DESCRIPTORS", str(place / "none"))
    with (
        pytest.raises(InsecurePermissionsError, match="its group"),
        temporary.private_folder(for_children=True),
    ):
        pass
    assert not list(place.iterdir())
