# SPDX-License-Identifier: Apache-2.0
"""The machine's memory: root's directory, each user's own part of it, and what others cannot do.

In a mount namespace with a ``/etc`` and a ``/var/lib`` of the test's own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import machine
from tests.support.children import let_others_in
from tests.support.models import write_model

POLICY = 'history = "enforce"\nlock = ["history"]\n'
ALICE, MALLORY = 54321, 54322
PREPARED = 'mount -t tmpfs none /var/lib && chmod 755 /var/lib && exec "$@"'

# What all of it is about, as functions for a script that root runs.
SCRIPT = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {home!r})
import keras_integrity_hook as kih
from keras_integrity_hook.history import directories, store
from tests.support.children import as_user

MACHINE, MODEL = directories.MACHINE, {model!r}
ALICE, MALLORY = {alice}, {mallory}

def seal():
    os.environ["XDG_STATE_HOME"] = "/tmp/nobody"
    kih.seal(MODEL)

def strip():
    content = open(MODEL, "rb").read()
    open(MODEL + ".bare", "wb").write(content)
    kih.unseal(MODEL + ".bare")
    with open(MODEL, "r+b") as file:
        file.truncate(0)
        file.write(open(MODEL + ".bare", "rb").read())
    os.unlink(MODEL + ".bare")

def is_refused():
    # Neither variable leads to another memory.
    os.environ["XDG_STATE_HOME"] = "/tmp/another"
    os.environ["KERAS_INTEGRITY_HISTORY"] = "off"
    try:
        kih.verify(MODEL)
    except kih.StrippedModelError:
        return True
    return False

def warm_up():
    # Whoever is another user may be unable to read this interpreter's modules.
    import shutil
    scratch = shutil.copy(MODEL, "/var/lib/scratch.keras")
    os.environ["XDG_STATE_HOME"] = "/var/lib/scratch"
    kih.seal(scratch)
    kih.unseal(scratch)
    kih.verify(scratch)
    kih.StrippedModelError

warm_up()
"""


@pytest.fixture
def as_root(tmp_path: Path) -> Callable[..., str]:
    """Runs Python code as root on a machine with :data:`POLICY`, and ``site install`` before it;
    gives what it prints."""
    etc = machine.make_etc(tmp_path / "machine", {"policy.toml": POLICY})
    shared = tmp_path / "shared"
    shared.mkdir()
    model = write_model(shared, "model.keras")
    let_others_in(tmp_path)
    shared.chmod(0o777)
    model.chmod(0o666)
    home = str(Path(__file__).parents[2])
    names = SCRIPT.format(home=home, model=str(model), alice=ALICE, mallory=MALLORY)
    install = "from keras_integrity_hook.history import directories\ndirectories.make_machines()\n"

    def run(code: str, *, is_made: bool = True) -> str:
        script = names + (install if is_made else "") + code
        command = ["sh", "-c", PREPARED, "sh", sys.executable, "-c", script]
        done = machine.run(command, etc)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_each_user_remembers_apart_and_no_variable_leads_elsewhere(
    as_root: Callable[..., str],
) -> None:
    code = """
as_user(ALICE, seal)
assert not os.path.exists("/tmp/nobody/keras-integrity")
at = os.path.join(MACHINE, str(ALICE))
status = os.stat(at)
assert (status.st_uid, status.st_mode & 0o7777) == (ALICE, 0o700), status
strip()
def check(): assert is_refused()
as_user(ALICE, check)
def another(): assert not is_refused()  # never saw it
as_user(MALLORY, another)
print("ok")
"""
    assert as_root(code) == "ok\n"


def test_nobody_can_touch_or_make_up_what_another_remembers(as_root: Callable[..., str]) -> None:
    code = """
as_user(ALICE, seal)
at = os.path.join(MACHINE, str(ALICE))
def attack():
    import shutil
    for act in (
        lambda: os.rename(at, at + "-gone"),
        lambda: os.rmdir(at),
        lambda: os.listdir(at),
        lambda: os.unlink(at),
        lambda: os.rmdir(MACHINE),
    ):
        try:
            act()
        except OSError:
            continue
        raise AssertionError("allowed")
as_user(MALLORY, attack)
strip()
def check(): assert is_refused()
as_user(ALICE, check)
print("ok")
"""
    assert as_root(code) == "ok\n"


@pytest.mark.parametrize("what", ["directory", "link", "file"])
def test_who_takes_anothers_place_takes_no_memory_away(
    as_root: Callable[..., str], what: str
) -> None:
    make = {
        "directory": "os.mkdir(at, 0o777)",
        "link": "os.symlink('/tmp', at)",
        "file": "open(at, 'w').close()",
    }[what]
    code = f"""
at = os.path.join(MACHINE, str(ALICE))
def squat(): {make}
as_user(MALLORY, squat)
as_user(ALICE, seal)
others = [name for name in os.listdir(MACHINE) if name != str(ALICE)]
assert len(others) == 1 and others[0].startswith(f"{{ALICE}}-"), others
assert os.stat(os.path.join(MACHINE, others[0])).st_uid == ALICE
strip()
def check(): assert is_refused()
as_user(ALICE, check)
print("ok")
"""
    assert as_root(code) == "ok\n"


def test_who_gives_anothers_place_up_again_takes_no_memory_away(
    as_root: Callable[..., str],
) -> None:
    code = """
at = os.path.join(MACHINE, str(ALICE))
def squat(): os.mkdir(at)
def leave(): os.rmdir(at)
as_user(MALLORY, squat)
as_user(ALICE, seal)
as_user(MALLORY, leave)
strip()
def check(): assert is_refused()
as_user(ALICE, check)
print("ok")
"""
    assert as_root(code) == "ok\n"


def test_a_directory_that_is_not_roots_is_not_relied_on(as_root: Callable[..., str]) -> None:
    code = """
for mode, owner in ((0o777, 0), (0o1777, MALLORY)):
    os.chmod(MACHINE, mode)
    os.chown(MACHINE, owner, owner)
    assert directories.in_machine() is None
os.chown(MACHINE, 0, 0)
os.chmod(MACHINE, 0o1770)  # for a group
assert directories.in_machine() == MACHINE + "/0"
print("ok")
"""
    assert as_root(code) == "ok\n"


def test_site_install_makes_it_where_the_policy_fixes_the_setting(
    as_root: Callable[..., str],
) -> None:
    code = """
import subprocess
def run(*arguments):
    command = [sys.executable, "-m", "keras_integrity_hook.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout
os.environ["PYTHONPATH"] = sys.path[0]
open("/tmp/candidate.toml", "w").write('history = "enforce"\\nlock = ["history"]\\n')
install = ("site", "install", "--policy-only", "--policy", "/tmp/candidate.toml")
told = json.loads(run(*install, "--json"))
assert told["history_made"] is True, told
status = os.stat(MACHINE)
assert (status.st_uid, status.st_mode & 0o7777) == (0, 0o1777), status
assert os.stat(os.path.dirname(MACHINE)).st_mode & 0o7777 == 0o755
assert json.loads(run(*install, "--json"))["history_made"] is False
print("ok")
"""
    assert as_root(code, is_made=False) == "ok\n"


def test_no_policy_makes_none() -> None:
    if os.path.exists("/var/lib/keras-integrity"):
        pytest.skip("this machine has one")
    from keras_integrity_hook.history import directories

    assert directories.in_machine() is None
    assert json.dumps(directories.in_force(of_machine=True)).startswith('"')
