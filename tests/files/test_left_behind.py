# SPDX-License-Identifier: Apache-2.0
"""What a killed process leaves where temporary files go is removed by the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from keras_integrity_hook.files import private_directory, temporary
from tests.support import mounts
from tests.support.children import as_user, let_others_in, one_killed

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill of this kind")

END = """
print("made", flush=True)
time.sleep(600)
"""
USES = {
    "verified": """
import time
from keras_integrity_hook.sealing.content import FileContent
from keras_integrity_hook.verification.load_directory import LoadDirectory

directory = LoadDirectory()
directory.add_copy("folder/file", FileContent(-1, 0, 0, b"large"))
""",
    "sandbox": """
import time
from keras_integrity_hook.isolation.home import PrivateHome

home = PrivateHome()
home.write("file", b"large")
""",
    "git": """
import time
from keras_integrity_hook.saving import git

def asked(*_, GIT_DIR, **__):
    print("made", flush=True)
    time.sleep(600)

git._run = asked
git._changes("0" * 40, "/", index="/none", objects="/none")
""",
    "clone": """
import time
from keras_integrity_hook.files import cloning, portable

def cloned(fd, directory, name, flags):
    print("made", flush=True)
    time.sleep(600)

portable.has_clones_by_name = lambda: True
portable.clone_by_name = cloned
cloning.nameless_clone(0)
""",
    "artifacts": """
import os, time
from keras_integrity_hook.mlflow_registry import artifacts

def brought(uri, here):
    os.mkdir(here)
    print("made", flush=True)
    time.sleep(600)

artifacts._bring = brought
with artifacts.at_hand("file:///none", "churn", "1"):
    pass
""",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """TMPDIR."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    let_others_in(folder)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.mark.parametrize("use", USES)
def test_a_killed_process_leaves_nothing_for_ever(place: Path, use: str) -> None:
    command = [sys.executable, "-c", USES[use] + END]
    with one_killed(command) as living:
        assert len(list(place.iterdir())) == 2
        with temporary.private_folder():
            pass
        assert len(list(place.iterdir())) == 1
        assert living.poll() is None
    with temporary.private_folder():
        pass
    assert not list(place.iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_what_a_killed_process_of_another_user_leaves_is_left_alone(place: Path) -> None:
    place.chmod(0o1777)

    def leave() -> None:
        child = os.fork()
        if child == 0:
            with temporary.private_folder() as folder:
                Path(folder, "file").write_bytes(b"theirs")
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)

    as_user(12345, leave)
    with temporary.private_folder():
        pass
    (left,) = place.iterdir()
    assert [one.name for one in left.rglob("file")] == ["file"]


def test_directories_nested_without_end_by_a_killed_process_stop_nobody(place: Path) -> None:
    """Whoever removes them has neither a stack nor descriptors without end."""
    code = (
        USES["sandbox"]
        + """
import os

at = os.open(home.path, os.O_RDONLY)
for _ in range(3000):
    os.mkdir("d", dir_fd=at)
    below = os.open("d", os.O_RDONLY, dir_fd=at)
    os.close(at)
    at = below
os.kill(os.getpid(), 9)
"""
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert list(place.iterdir())
    with temporary.private_folder():
        pass
    assert not list(place.iterdir())


def test_what_a_file_system_lists_and_does_not_have_keeps_nobody_removing(tmp_path: Path) -> None:
    with mounts.phantom("nobody", tmp_path / "mount") as folder:
        fd = os.open(folder, os.O_RDONLY)
        try:
            assert os.listdir(fd) == ["nobody"]
            private_directory.empty(fd)
        finally:
            os.close(fd)
