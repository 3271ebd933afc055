# SPDX-License-Identifier: Apache-2.0
"""A system with less than Linux is guarded with what it has, or refused by one named error."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_integrity_hook.files import portable
from tests.support.models import write_model
from tests.support.systems import (
    LIKE_MACOS,
    LIKE_NOTHING,
    LIKE_WINDOWS,
    run_like,
    run_where_etc_is_a_link,
)

# But for those that begin by importing TensorFlow, which is not guarded on such a system.
_EVERY_MODULE = """
import importlib, pkgutil
hosts = (".mlflow", ".tf_data", ".graph_checks")
import keras_integrity_hook
for found in pkgutil.walk_packages(keras_integrity_hook.__path__, "keras_integrity_hook."):
    if found.name.endswith((".migrations.env", ".lockdown", ".child")):
        continue  # which alembic alone can run; of a process that is being confined
    if not found.name.endswith("__main__") and not any(host in found.name for host in hosts):
        importlib.import_module(found.name)
print("imported")
"""

# A file, an unzipped directory and weights: sealed, loaded, refused when damaged; saved twice.
_A_DAY = """
import os, sys
import keras
import numpy as np
import keras_integrity_hook as kih
from keras_integrity_hook.files import portable
assert not portable.Leases.exist and not portable.has_attributes()
kih.assert_active()
top = sys.argv[1]
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
for path, zipped in ((top + "/m.keras", True), (top + "/folder", False)):
    for _ in range(2):
        model.save(path, zipped=zipped) if zipped else model.save(path, zipped=False)
    assert kih.inspect(path).seal is not None, path
    keras.models.load_model(path)
    kih.unseal(path)
    kih.seal(path)
    part = path if zipped else path + "/model.weights.h5"
    data = bytearray(open(part, "rb").read())
    data[len(data) // 2] ^= 1
    open(part, "wb").write(data)
    try:
        keras.models.load_model(path)
    except kih.IntegrityError as error:
        print("refused", type(error).__name__)
model.save_weights(top + "/w.weights.h5")
model.load_weights(top + "/w.weights.h5")
print(kih.verify(top + "/w.weights.h5").state)
"""


def test_nothing_is_missing_here() -> None:
    assert portable.missing() == ()
    portable.require()


@pytest.mark.parametrize("system", [LIKE_MACOS, LIKE_WINDOWS], ids=["macOS", "Windows"])
def test_every_module_can_be_imported(system: str, home: Path) -> None:
    done = run_like(system, _EVERY_MODULE)
    assert done.stdout == "imported\n", done.stderr[-3000:]


@pytest.fixture
def root_directory() -> Iterator[Path]:
    """A directory whose parents are root's and closed, as those of ``/`` are."""
    if os.geteuid():
        pytest.skip("needs root")
    top = Path(tempfile.mkdtemp(prefix="root-", dir="/var/lib"))
    top.chmod(0o755)
    yield top
    assert str(top) not in Path("/proc/self/mountinfo").read_text()
    shutil.rmtree(top)


_POLICY = """
import os, sys
assert not os.path.exists("/proc/self/fd") and os.path.islink("/etc")
from keras_integrity_hook.files import root_owned
print(root_owned.POLICY)
os.makedirs(os.path.dirname(root_owned.POLICY), exist_ok=True)
with open(root_owned.POLICY, "w") as file:
    file.write('unsealed = "reject"\\n')
"""


def test_policy_is_found_where_etc_leads_and_there_is_no_proc(
    home: Path, root_directory: Path, tmp_path: Path
) -> None:
    settings = "from keras_integrity_hook import settings\nprint(settings.at().unsealed.value)\n"
    done = run_where_etc_is_a_link(root_directory, _POLICY + settings + _A_DAY, str(tmp_path))
    if "mount" in done.stderr and not done.stdout:
        pytest.skip(f"cannot be mounted here: {done.stderr.strip()[-200:]}")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["/private/etc/keras-integrity/policy.toml", "reject"], done.stderr[-3000:]
    assert lines[-1] == "sealed", done.stderr[-3000:]
    assert lines[-3:-1] == ["refused ChecksumMismatchError"] * 2


def test_host_is_not_imported_where_it_cannot_be_guarded(home: Path) -> None:
    done = run_like(LIKE_NOTHING, "import keras")
    assert done.returncode == 1
    last = done.stderr[done.stderr.rindex("UnsupportedPlatformError") :]
    for word in ("lacks", "dir_fd", "geteuid", "KERAS_INTEGRITY=off"):
        assert word in last


def test_off_is_honoured_where_nothing_can_be_guarded(home: Path, tmp_path: Path) -> None:
    script = """
import keras_integrity_hook as kih
kih.activate()
print(kih.status().mode, kih.status().why_not_active())
from keras_integrity_hook.activation import watching
import types
watching._wrap(types.ModuleType("keras"))
print("off is honoured")
"""
    done = run_like(LIKE_NOTHING, script, env={"KERAS_INTEGRITY": "off"})
    assert done.stdout == "off the mode is 'off'\noff is honoured\n", done.stderr[-2000:]


@pytest.mark.parametrize("call", ["activate()", "verify('x')", "seal('x')", "inspect('x')"])
def test_calls_say_that_the_system_cannot_be_guarded(home: Path, call: str) -> None:
    script = f"""
import keras_integrity_hook as kih
try:
    kih.{call}
except kih.UnsupportedPlatformError as error:
    print(error.code)
print(kih.status().mode)
"""
    done = run_like(LIKE_NOTHING, script)
    assert done.stdout == "unsupported-platform\nunsupported\n", done.stderr[-2000:]


def test_command_says_that_the_system_cannot_be_guarded(home: Path) -> None:
    script = "from keras_integrity_hook.cli import main\nmain(['verify', 'x'])"
    done = run_like(LIKE_NOTHING, script)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "this system lacks" in done.stderr
    assert "Traceback" not in done.stderr


def test_capabilities_are_asked_for_in_one_module() -> None:
    top = Path(portable.__file__).parents[1]
    asked = ["sys.platform", "os.name ==", "import fcntl", "sched_getaffinity", "fallocate"]
    found = subprocess.run(
        ["grep", "-rlF", *(f"-e{one}" for one in asked), "--include=*.py", top],
        check=False,
        capture_output=True,
        text=True,
    )
    names = {Path(line).name for line in found.stdout.splitlines()}
    assert names - {"system_calls.py"} == {"portable.py"}  # that one is a list of names


_OF_POSIX = (
    *("open", "pread", "preadv", "pwrite", "fchmod", "fchown", "geteuid", "getuid", "uname"),
    *("environb", "statvfs", "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY"),
    *("fstatvfs", "sync", "fdatasync", "pwritev", "fchdir", "chown", "lchown", "chroot", "mknod"),
    *("mkfifo", "memfd_create", "fork", "posix_spawn", "getgid", "getegid", "getgroups", "setsid"),
    *("killpg", "getpgid", "nice", "sendfile", "copy_file_range", "lockf", "pipe2", "sysconf"),
    *("O_DIRECT", "O_TMPFILE", "O_PATH", "SEEK_DATA", "SEEK_HOLE", "WNOHANG", "wait4", "pathconf"),
)
# These run on Linux alone: a sandbox, and a service under systemd.
_LINUX_ALONE = ("isolation/", "sandbox/", "registry/service/")
# What makes up for it, and asks first whether it is there.
_MADE_FOR_IT = {
    *("files/flags.py", "files/machine.py", "files/portable.py", "files/substitutes.py"),
    *("files/windows.py", "files/windows_calls.py", "settings/layers.py"),
}


def test_calls_that_some_systems_lack_are_made_through_portable() -> None:
    """``os.open`` and its like are called nowhere else, nor anything with ``dir_fd``."""
    top = Path(portable.__file__).parents[1]
    found = []
    for path in top.rglob("*.py"):
        place = path.relative_to(top).as_posix()
        if place.startswith(_LINUX_ALONE) or place in _MADE_FOR_IT:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute | ast.Call):
                continue
            named = node.func if isinstance(node, ast.Call) else node
            if not (isinstance(named, ast.Attribute) and isinstance(named.value, ast.Name)):
                continue
            goes_by_descriptor = isinstance(node, ast.Call) and any(
                str(one.arg).endswith("dir_fd") for one in node.keywords
            )
            if named.value.id == "os" and (named.attr in _OF_POSIX or goes_by_descriptor):
                found.append(f"{place}:{node.lineno}: os.{named.attr}")
    assert not found


def test_text_is_written_in_utf8_whatever_the_system_prefers(home: Path, tmp_path: Path) -> None:
    """Every text file that we open says its encoding: PEP 597 warns of what does not."""
    path = write_model(tmp_path, "m.keras")
    script = """
import sys, warnings
warnings.filterwarnings("error", category=EncodingWarning, module="keras_integrity_hook")
import keras_integrity_hook as kih
from keras_integrity_hook.cli import main
kih.seal(sys.argv[1])
main(["verify", sys.argv[1]], standalone_mode=False)
main(["doctor"], standalone_mode=False)
"""
    done = run_like("", script, str(path), env={"PYTHONWARNDEFAULTENCODING": "1"})
    assert "sealed" in done.stdout, done.stderr[-2000:]
    assert "EncodingWarning" not in done.stderr, done.stderr[-2000:]
