# SPDX-License-Identifier: Apache-2.0
"""What Windows has instead of POSIX keeps what POSIX keeps. The system is played
(``tests/support/windows_stand_in.py``); every process, file and directory is real."""

from __future__ import annotations

import ntpath
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_integrity_hook.files import location, machine
from keras_integrity_hook.settings import patterns
from tests.support.systems import LIKE_WINDOWS, WITHOUT, run_like

_OF_FILES = """
import os, subprocess, sys
from keras_integrity_hook.files import atomic, lease, portable, private_directory, reading
from keras_integrity_hook.files.portable import system
top = sys.argv[1]
FOLDER = os.O_RDONLY | portable.O_DIRECTORY | portable.O_NOFOLLOW | portable.O_CLOEXEC
def is_refused(call, *given, **named):
    try:
        call(*given, **named)
    except OSError as error:
        return type(error).__name__
    return None
with open(f"{top}/file", "wb") as file:
    file.write(b"one")
"""


def _run(script: str, top: Path) -> list[str]:
    done = run_like(LIKE_WINDOWS, _OF_FILES + script, str(top), env={"TMPDIR": str(top)})
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def test_nobody_writes_to_a_file_while_it_is_loaded(home: Path, tmp_path: Path) -> None:
    script = """
fd = reading.open_regular(f"{top}/file")
held = lease.ReadLease(fd)
print(held.held, held.keeps)
print(is_refused(open, f"{top}/file", "r+b"), is_refused(os.replace, f"{top}/file", f"{top}/x"))
print(is_refused(system.open, f"{top}/file", os.O_WRONLY))
held.release()
print(held.held, is_refused(open, f"{top}/file", "r+b"))
"""
    assert _run(script, tmp_path) == [
        "True True",
        "PermissionError PermissionError",
        "BlockingIOError",
        "False None",
    ]


def test_file_that_is_being_written_to_has_no_lease(home: Path, tmp_path: Path) -> None:
    script = """
with open(f"{top}/file", "r+b"):
    fd = reading.open_regular(f"{top}/file")
    print(lease.ReadLease(fd).held)
"""
    assert _run(script, tmp_path) == ["False"]


def test_directory_that_is_open_stays_where_it_is(home: Path, tmp_path: Path) -> None:
    script = """
os.mkdir(f"{top}/here")
fd = system.open(f"{top}/here", FOLDER)
print(is_refused(os.rename, f"{top}/here", f"{top}/there"), is_refused(os.rmdir, f"{top}/here"))
os.close(system.open("x", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fd))
print(os.listdir(f"{top}/here"), system.listdir(fd))
system.unlink("x", dir_fd=fd)
os.close(fd)
print(is_refused(os.rename, f"{top}/here", f"{top}/there"))
"""
    assert _run(script, tmp_path) == ["PermissionError PermissionError", "['x'] ['x']", "None"]


def test_link_in_the_way_is_not_followed(home: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "folder").symlink_to(tmp_path)
    script = """
import errno
for name, flags in (("link", portable.O_NOFOLLOW), ("folder", FOLDER)):
    for more in (0, os.O_CREAT, os.O_TRUNC | os.O_WRONLY):
        try:
            system.open(f"{top}/{name}", flags | more)
        except OSError as error:
            print(errno.errorcode[error.errno])
print(os.path.getsize(f"{top}/file"))
"""
    assert _run(script, tmp_path) == ["ELOOP"] * 6 + ["3"]


def test_lock_of_a_directory_is_one_for_all_processes(home: Path, tmp_path: Path) -> None:
    script = """
fd = system.open(top, FOLDER)
portable.lock(fd, shared=True)
other = system.open(top, FOLDER)
portable.lock(other, shared=True)
portable.close(other)
print(is_refused(portable.lock, other := system.open(top, FOLDER)))
portable.close(fd)
portable.lock(other)
print(is_refused(portable.lock, system.open(top, FOLDER), shared=True))
portable.close(other)
"""
    assert _run(script, tmp_path) == ["BlockingIOError", "BlockingIOError"]


def test_what_a_dead_process_left_is_swept_and_a_living_one_keeps_its_own(
    home: Path, tmp_path: Path
) -> None:
    script = """
fd = system.open(top, FOLDER)
dead, name = private_directory._made(fd, private_directory.PREFIX)
os.close(system.open("part", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=dead))
with private_directory.fresh(fd):
    print(name in os.listdir(top))
portable.close(dead)
with private_directory.fresh(fd):
    print(name in os.listdir(top))
print([found for found in os.listdir(top) if found.startswith(private_directory.PREFIX)])
"""
    assert _run(script, tmp_path) == ["True", "False", "[]"]


def test_file_that_a_program_reads_is_overwritten_in_place(home: Path, tmp_path: Path) -> None:
    script = """
import warnings
with open(f"{top}/file", "rb") as reader:
    with atomic.open_target(f"{top}/file") as target, atomic.private_file(target) as made:
        with open(made.create(), "wb") as file:
            file.write(b"another")
        made.put_in_place()
    print(reader.read())
print(open(f"{top}/file", "rb").read())
"""
    assert _run(script, tmp_path) == ["b'another'", "b'another'"]


def test_secret_is_its_users_alone_and_a_public_file_has_the_rights_of_its_directory(
    home: Path, tmp_path: Path
) -> None:
    script = """
for name, mode in (("secret", 0o600), ("public", 0o666)):
    with atomic.open_target(f"{top}/{name}") as target, atomic.private_file(target) as made:
        os.close(made.create(mode))
        made.put_in_place()
    print(oct(system.stat(f"{top}/{name}").st_mode & 0o777))
"""
    assert _run(script, tmp_path) == ["0o600", "0o644"]


# The machine's policy


@pytest.fixture
def program_data() -> Iterator[Path]:
    """A directory like ``ProgramData``: others may make what they like, and take nothing out."""
    if os.geteuid():
        pytest.skip("needs root, who plays the administrators")
    top = Path(tempfile.mkdtemp(prefix="program-data-", dir="/var/lib"))
    top.chmod(0o1777)
    yield top
    shutil.rmtree(top)


_POLICY = """
windows_stand_in.PROGRAM_DATA[0] = sys.argv[2]
import keras_integrity_hook as kih
from keras_integrity_hook.files import root_owned
from keras_integrity_hook import settings
print(root_owned.POLICY)
try:
    print(settings.at().unsealed.value)
except kih.InsecurePermissionsError as error:
    print(error.found, "icacls" in str(error))
"""


def _policy(program_data: Path, *, mode: int = 0o755) -> Path:
    folder = program_data / "keras-integrity"
    folder.mkdir()
    path = folder / "policy.toml"
    path.write_text('unsealed = "reject"\n')
    folder.chmod(mode)
    return path


def _ask(program_data: Path, top: Path) -> list[str]:
    done = run_like(LIKE_WINDOWS, _POLICY, str(top), str(program_data))
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def test_policy_of_the_machine_is_in_program_data(
    home: Path, program_data: Path, tmp_path: Path
) -> None:
    path = _policy(program_data)
    assert _ask(program_data, tmp_path) == [str(path), "reject"]


def test_policy_that_others_may_write_is_refused(
    home: Path, program_data: Path, tmp_path: Path
) -> None:
    path = _policy(program_data)
    path.chmod(0o666)
    assert _ask(program_data, tmp_path)[1:] == [f"{path} True"]


def test_policy_in_a_directory_that_others_may_write_is_refused(
    home: Path, program_data: Path, tmp_path: Path
) -> None:
    path = _policy(program_data, mode=0o777)
    assert _ask(program_data, tmp_path)[1:] == [f"{path.parent} True"]


def test_policy_that_somebody_else_put_there_is_refused(
    home: Path, program_data: Path, tmp_path: Path
) -> None:
    path = _policy(program_data)
    os.chown(path, 12345, 12345)
    os.chown(path.parent, 12345, 12345)
    assert _ask(program_data, tmp_path)[1:] == [f"{path.parent} True"]


def test_path_of_program_data_is_the_systems_and_no_variable_moves_it(
    home: Path, program_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _policy(program_data)
    monkeypatch.setenv("PROGRAMDATA", str(tmp_path))
    monkeypatch.setenv("ALLUSERSPROFILE", str(tmp_path))
    assert _ask(program_data, tmp_path)[1] == "reject"


# Names


def test_audit_log_by_syslog_is_refused_where_there_is_no_daemon(
    home: Path, tmp_path: Path
) -> None:
    script = """
from keras_integrity_hook.audit import syslog
try:
    syslog.try_out("syslog:")
except OSError as error:
    print(error)
"""
    done = run_like(WITHOUT["AF_UNIX"], script)
    assert "no log daemon" in done.stdout, done.stderr[-2000:]


def test_drive_is_no_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "splitdrive", ntpath.splitdrive)
    for text in ("C:/models/m.keras", "C:\\models\\m.keras", "C://models/m.keras", "c:m.keras"):
        assert not location.is_url(text)
        assert location.of(text, location.KERAS).kind is location.Kind.PATH
    assert location.of("C://models/m.keras", location.KERAS).path == "C:/models/m.keras"
    assert location.of("file:///C:/models/m.keras", location.KERAS).path == "C:/models/m.keras"
    assert location.is_url("gs://models/m.keras")


def test_single_letter_is_a_scheme_where_there_are_no_drives() -> None:
    assert location.is_url("C://models/m.keras")


def test_steps_of_a_path_begin_at_its_drive() -> None:
    assert machine.steps("/etc//keras-integrity") == ("/", ["etc", "keras-integrity"])
    assert machine.steps("C:/ProgramData\\x", ntpath) == ("C:\\", ["ProgramData", "x"])
    assert machine.steps("\\\\host\\share\\x", ntpath) == ("\\\\host\\share\\", ["x"])


@pytest.mark.parametrize(
    ("pattern", "path", "is_for_it"),
    [
        ("C:/Models/**", "c:\\models\\a\\m.keras", True),
        ("C:\\Models\\*.keras", "C:/models/M.KERAS", True),
        ("/**", "D:\\m.keras", True),
        ("/**/*.keras", "D:\\a\\b\\m.keras", True),
        ("*.keras", "D:\\a\\m.keras", True),
        ("//host/share/**", "\\\\HOST\\share\\m.keras", True),
        ("C:/Models/**", "D:\\models\\m.keras", False),
        ("C:/Models/*", "C:\\models\\a\\m.keras", False),
    ],
)
def test_rule_holds_however_a_path_of_windows_is_spelt(
    pattern: str, path: str, is_for_it: bool
) -> None:
    spelt = patterns.spelt(path, ntpath)
    assert patterns.matches(patterns.spelt(pattern, ntpath), spelt) is is_for_it
