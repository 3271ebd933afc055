# SPDX-License-Identifier: Apache-2.0
"""Protection that an admin sets up: the block in sitecustomize and the locked policy.

Each test has a virtual environment of its own in which no start-up file of ours is installed, so
that nothing but the block arms the hook. What root does is done on a machine with a private /etc.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook
from keras_integrity_hook.activation import block
from tests.support import machine as private
from tests.support.processes import PACKAGE_HOME, document

ARMED = "import sys; print('keras_integrity_hook' in type(sys.meta_path[0]).__module__)"
LOAD = "import keras; keras.models.load_model('legacy.h5', compile=False); print('loaded')"
SAVE = """
import keras
keras.Sequential(
    [keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(10)]
).save("legacy.h5")
"""
DEBIAN = Path("/usr/bin/python3")

THEIRS = {
    "a statement": b"import sys\nsys.theirs = True\n",
    "a docstring without an end of line": b'"""What our company does at start."""',
    "future imports": b'"""Doc."""\nfrom __future__ import annotations\nx: Undefined = 1\n',
    "a shebang and an encoding": b"#!/usr/bin/python3\n# -*- coding: latin-1 -*-\nx = '\xe9'\n",
    "nothing": b"",
    "a comment without an end of line": b"# nothing yet",
    "carriage returns": b"import sys\r\nsys.theirs = True\r\n",
}


class Machine:
    """A machine whose ``/etc`` is the test's own; what is written there is there for the next
    command.

    Args:
        where: a directory of the test's.
        before: shell code to run first for each command, e.g. further mounts.
    """

    def __init__(self, where: Path, before: str = ":") -> None:
        self.etc = private.make_etc(where, {})
        self._before = f'{before} && exec "$@"'
        self.policy = self.etc / "keras-integrity" / "policy.toml"

    def write_policy(self, text: str) -> None:
        self.policy.write_text(text)
        self.policy.chmod(0o644)

    def run(
        self, *arguments: str | os.PathLike[str], env: dict[str, str], cwd: Path = Path("/")
    ) -> subprocess.CompletedProcess[str]:
        variables = [f"{name}={value}" for name, value in env.items()]
        command = ["env", "-i", "-C", str(cwd), *variables, *map(str, arguments)]
        return private.run(["sh", "-c", self._before, "sh", *command], self.etc)


class Environment:
    """A virtual environment that can import Keras and the package and does not arm the hook."""

    def __init__(self, where: Path, base: str | os.PathLike[str] = sys.executable) -> None:
        command = [base, "-m", "venv", "--without-pip", where]
        subprocess.run(command, check=True, env=self.env())
        self.python = where / "bin" / "python"
        [self.site] = (where / "lib").glob("python3.*/site-packages")
        # Two plain directories: the start-up files in them are not read.
        paths = f"{PACKAGE_HOME}\n{sysconfig.get_path('purelib')}\n"
        (self.site / "paths.pth").write_text(paths)
        self.customization = self.site / "sitecustomize.py"

    @staticmethod
    def env(**extra: str) -> dict[str, str]:
        inherited = {n: v for n, v in os.environ.items() if not n.startswith(("KERAS_", "PYTHON"))}
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        return {**inherited, **quiet, "XDG_CONFIG_HOME": "/nonexistent", **extra}

    def run(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, *arguments],
            env=self.env(**extra),
            cwd=self.site.parent,
            capture_output=True,
            check=False,
            text=True,
            timeout=300,
        )

    def cli(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "keras_integrity_hook.cli", *arguments, **extra)

    def is_armed(self, *flags: str, **extra: str) -> bool:
        done = self.run(*flags, "-c", ARMED, **extra)
        assert done.stderr == ""
        return done.stdout.strip() == "True"


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("site") / "venv")
    done = environment.run("-I", "-c", "import sitecustomize; print(sitecustomize.__file__)")
    if done.returncode == 0:
        pytest.skip(f"this Python comes with {done.stdout.strip()}, which is not ours to change")
    return environment


@pytest.fixture
def environment(blank: Environment) -> Any:
    """The environment without a sitecustomize, before and after."""
    yield blank
    blank.customization.unlink(missing_ok=True)
    shutil.rmtree(blank.site / "__pycache__", ignore_errors=True)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


class TestBlock:
    @pytest.mark.parametrize("text", THEIRS.values(), ids=THEIRS)
    def test_uninstall_restores_the_file_byte_for_byte(
        self, environment: Environment, text: bytes
    ) -> None:
        environment.customization.write_bytes(text)
        environment.customization.chmod(0o640)
        assert not environment.is_armed()
        done = environment.cli("site", "install")
        assert done.returncode == 0, done.stderr
        assert environment.is_armed()
        assert stat.S_IMODE(environment.customization.stat().st_mode) == 0o640
        assert environment.cli("site", "uninstall").returncode == 0
        assert environment.customization.read_bytes() == text
        assert stat.S_IMODE(environment.customization.stat().st_mode) == 0o640

    def test_a_file_made_for_the_block_goes_with_it(self, environment: Environment) -> None:
        before = sorted(environment.site.iterdir())
        assert environment.cli("site", "install").returncode == 0
        assert stat.S_IMODE(environment.customization.stat().st_mode) == 0o644
        assert environment.is_armed()
        assert environment.cli("site", "uninstall").returncode == 0
        shutil.rmtree(environment.site / "__pycache__", ignore_errors=True)
        assert sorted(environment.site.iterdir()) == before

    def test_shadow_package_on_the_path_does_not_disarm_the_block(
        self, environment: Environment, tmp_path: Path
    ) -> None:
        beside = environment.site / "keras_integrity_hook"
        beside.symlink_to(Path(PACKAGE_HOME) / "keras_integrity_hook")
        shadow = tmp_path / "keras_integrity_hook"
        shadow.mkdir()
        (shadow / "__init__.py").touch()
        try:
            assert environment.cli("site", "install").returncode == 0
            assert environment.is_armed(PYTHONPATH=str(tmp_path))
        finally:
            beside.unlink()

    def test_what_was_added_to_our_file_since_stays(self, environment: Environment) -> None:
        assert environment.cli("site", "install").returncode == 0
        with open(environment.customization, "a") as file:
            file.write("added = 1\n")
        assert environment.cli("site", "uninstall").returncode == 0
        assert environment.customization.read_text() == "added = 1\n"

    def test_installing_twice_changes_nothing(self, environment: Environment) -> None:
        assert environment.cli("site", "install").returncode == 0
        first = environment.customization.read_bytes(), environment.customization.stat()
        done = environment.cli("site", "install", "--json")
        assert document(done)["changed"] is False
        assert environment.customization.read_bytes() == first[0]
        assert environment.customization.stat().st_ino == first[1].st_ino

    def test_the_block_of_another_version_is_renewed(self, environment: Environment) -> None:
        old = block.BLOCK.replace(b"could not be armed", b"is broken") + b"mine = 1\n"
        environment.customization.write_bytes(old)
        assert document(environment.cli("site", "status", "--json"))["sitecustomize"]["block"] == (
            "outdated"
        )
        assert environment.cli("site", "install").returncode == 0
        assert environment.customization.read_bytes() == block.BLOCK + b"mine = 1\n"

    @pytest.mark.parametrize("flag", ["-I", "-E", "-s", "-P"])
    def test_isolation_flags_do_not_skip_it(self, environment: Environment, flag: str) -> None:
        assert environment.cli("site", "install").returncode == 0
        assert environment.is_armed(flag)
        assert not environment.is_armed(flag, "-S")

    def test_a_failing_sitecustomize_of_others_does_not_disarm_it(
        self, environment: Environment
    ) -> None:
        environment.customization.write_text("raise RuntimeError('theirs')\n")
        assert environment.cli("site", "install").returncode == 0
        done = environment.run("-c", ARMED)
        assert done.stdout.strip() == "True"
        assert "theirs" in done.stderr

    def test_a_sitecustomize_of_others_runs_behind_it(self, environment: Environment) -> None:
        environment.customization.write_text(
            f"{ARMED}\nsys.theirs = 'kept'\n_keras = '_keras_integrity_hook' in globals()\n"
        )
        assert environment.cli("site", "install").returncode == 0
        done = environment.run("-c", "import sys, sitecustomize as s; print(sys.theirs, s._keras)")
        assert done.stdout.split() == ["True", "kept", "False"]

    def test_a_broken_uninstall_is_silent(self, environment: Environment) -> None:
        assert environment.cli("site", "install").returncode == 0
        (environment.site / "paths.pth").rename(environment.site / "paths.off")
        try:
            done = environment.run("-c", "print('fine')")
            (environment.site / "keras_integrity_hook").mkdir()  # what rm leaves: a bare directory
            again = environment.run("-c", "print('fine')")
        finally:
            (environment.site / "keras_integrity_hook").rmdir()
            (environment.site / "paths.off").rename(environment.site / "paths.pth")
        assert (done.stdout, done.stderr) == ("fine\n", "")
        assert (again.stdout, again.stderr) == ("fine\n", "")

    def test_a_broken_package_is_told_and_theirs_still_runs(self, environment: Environment) -> None:
        environment.customization.write_text("import sys\nsys.theirs = 'kept'\n")
        assert environment.cli("site", "install").returncode == 0
        broken = environment.site / "a" / "keras_integrity_hook"
        broken.mkdir(parents=True)
        (broken / "__init__.py").write_text("raise OSError('disk')\n")
        done = environment.run("-c", "import sys; print(sys.theirs)", PYTHONPATH=str(broken.parent))
        shutil.rmtree(broken.parent)
        assert done.stdout == "kept\n"
        assert done.stderr.splitlines() == [
            "keras-integrity-hook could not be armed: OSError('disk')"
        ]

    @pytest.mark.parametrize("text", [b"x = (\n", block.BEGIN + b"\n", block.BLOCK * 2])
    def test_a_file_that_cannot_take_it_is_left_alone(
        self, environment: Environment, text: bytes
    ) -> None:
        environment.customization.write_bytes(text)
        done = environment.cli("site", "install", "--json")
        assert done.returncode == 1
        assert document(done)["error"]["code"] == "site"
        assert environment.customization.read_bytes() == text

    def test_a_symbolic_link_is_refused_unless_forced(
        self, environment: Environment, tmp_path: Path
    ) -> None:
        real = tmp_path / "elsewhere.py"
        real.write_text("mine = 1\n")
        environment.customization.symlink_to(real)
        done = environment.cli("site", "install")
        assert done.returncode == 1
        assert "--force" in done.stderr
        assert real.read_text() == "mine = 1\n"
        assert environment.cli("site", "install", "--force").returncode == 0
        assert environment.customization.is_symlink()
        assert environment.is_armed()
        assert environment.cli("site", "uninstall").returncode == 1
        assert environment.cli("site", "uninstall", "--force").returncode == 0
        assert environment.customization.is_symlink()
        assert real.read_text() == "mine = 1\n"

    def test_a_file_that_cannot_be_written_is_refused_with_the_remedy(
        self, environment: Environment, tmp_path: Path
    ) -> None:
        # Read-only, because root may write what has only the wrong permissions.
        folder = environment.site
        closed = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}"
        done = _site(Machine(tmp_path, closed), environment, "install", "--lock", "--json")
        error = document(done)["error"]
        assert error["code"] == "site"
        assert "You are root: the file system is mounted read-only" in error["remedy"]
        assert not environment.customization.exists()
        assert not list(tmp_path.rglob("policy.toml"))  # all or nothing

    def test_status_and_doctor_tell_what_hides_it(
        self, environment: Environment, tmp_path: Path
    ) -> None:
        assert environment.cli("site", "install").returncode == 0
        other = tmp_path / "sitecustomize.py"
        other.touch()
        status = environment.cli("site", "status", PYTHONPATH=str(tmp_path))
        assert f"{other}, without our block (hides the one above)" in status.stdout
        doctor = environment.cli("doctor", PYTHONPATH=str(tmp_path))
        assert f"{other} hides {environment.customization}" in doctor.stdout
        assert "NOT protected" in doctor.stdout


@pytest.fixture
def debian(tmp_path: Path) -> tuple[Machine, Environment]:
    """Debian's own Python, whose sitecustomize is a link in its library to a file in /etc."""
    link = next(Path("/usr/lib").glob("python3.*/sitecustomize.py"), None)
    if link is None or not link.is_symlink() or DEBIAN.resolve().name != link.parent.name:
        pytest.skip("this is no Debian with a Python of its own")
    if tuple(map(int, link.parent.name.removeprefix("python").split("."))) < (3, 11):
        pytest.skip("Debian's Python is too old")
    # No compiled file may be left beside the library either.
    hide = f"mount -t tmpfs tmpfs {link.parent}/__pycache__"
    machine = Machine(tmp_path, hide)
    return machine, Environment(tmp_path / "venv", DEBIAN)


class TestDebian:
    def test_the_file_that_hides_site_packages_gets_the_block(
        self, debian: tuple[Machine, Environment]
    ) -> None:
        machine, environment = debian

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return machine.run(environment.python, *arguments, env=Environment.env())

        cli = ("-m", "keras_integrity_hook.cli", "site")
        refused = run(*cli, "install")
        assert refused.returncode == 1
        told = " ".join(refused.stderr.split())
        assert "every virtual environment made from it" in told
        assert "--force changes it for all of them" in told
        assert "--policy-only" in told
        assert "as root" not in told  # it is root who has asked
        [file] = machine.etc.rglob("sitecustomize.py")
        original = file.read_bytes()
        done = run(*cli, "install", "--force")
        assert done.returncode == 0, done.stderr
        assert file.read_bytes() == block.insert(original) != original
        kept = run(*cli, "uninstall")
        assert kept.returncode == 1
        assert "'site uninstall --force'" in " ".join(kept.stderr.split())
        assert run("-I", "-c", ARMED).stdout == "True\n"
        assert run(*cli, "uninstall", "--force").returncode == 0
        assert file.read_bytes() == original
        assert run("-I", "-c", ARMED).stdout == "False\n"
        assert not environment.customization.exists()

    def test_a_policy_needs_no_change_to_the_file_that_everybody_loads(
        self, debian: tuple[Machine, Environment]
    ) -> None:
        machine, environment = debian

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            cli = ("-m", "keras_integrity_hook.cli", "site")
            return machine.run(environment.python, *cli, *arguments, env=Environment.env())

        [file] = machine.etc.rglob("sitecustomize.py")
        before = file.read_bytes()
        done = run("install", "--lock", "--policy-only")
        assert done.returncode == 0, done.stderr
        assert "is in force" in done.stdout
        assert (machine.policy.exists(), file.read_bytes()) == (True, before)
        done = run("uninstall", "--policy-only")
        assert done.returncode == 0, done.stderr
        assert (machine.policy.exists(), file.read_bytes()) == (False, before)


@pytest.fixture(scope="session")
def tampered(blank: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a sealed model, one bit of which was flipped afterwards."""
    folder = tmp_path_factory.mktemp("tampered")
    code = f"import keras_integrity_hook; keras_integrity_hook.activate()\n{SAVE}"
    done = subprocess.run(
        [blank.python, "-c", code], cwd=folder, env=blank.env(), check=False, text=True
    )
    assert done.returncode == 0
    model = folder / "legacy.h5"
    seal = keras_integrity_hook.inspect(model).seal
    assert seal is not None
    kernel = max(seal.regions, key=lambda region: region.size)
    data = bytearray(model.read_bytes())
    data[seal.block_size + kernel.offset + 3] ^= 0x40
    model.write_bytes(data)
    return folder


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def python(environment: Environment, machine: Machine, tampered: Path) -> Run:
    """Run Python with the block installed, on the machine, beside the tampered model."""
    assert environment.cli("site", "install").returncode == 0

    def run(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        env = environment.env(**extra)
        return machine.run(environment.python, *arguments, env=env, cwd=tampered)

    return run


def cli(python: Run, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "keras_integrity_hook.cli", *arguments, **extra)


class TestLock:
    def test_without_a_lock_opting_out_works(self, python: Run) -> None:
        done = python("-c", LOAD, KERAS_INTEGRITY="off")
        assert done.stdout == "loaded\n", done.stderr

    @pytest.mark.parametrize("flags", [(), ("-I",)], ids=["plain", "isolated"])
    def test_opt_out_by_environment_in_an_enforced_fleet(
        self, python: Run, flags: tuple[str, ...]
    ) -> None:
        assert cli(python, "site", "install", "--lock").returncode == 0
        done = python(*flags, "-c", LOAD, KERAS_INTEGRITY="off")
        assert done.returncode == 1
        assert "ChecksumMismatchError" in done.stderr
        assert "loaded" not in done.stdout

    def test_an_attempt_to_opt_out_is_recorded(
        self, python: Run, machine: Machine, tmp_path: Path
    ) -> None:
        log = tmp_path / "audit.jsonl"
        machine.write_policy(f'allow_opt_out = false\nlock = ["audit_log"]\naudit_log = "{log}"\n')
        done = python("-c", "import keras", KERAS_INTEGRITY="off", KERAS_INTEGRITY_AUDIT_LOG="/x")
        assert done.returncode == 0, done.stderr
        events = [json.loads(line) for line in log.read_text().splitlines()]
        told = [(event["event"], event["outcome"]) for event in events]
        assert told == [("opt-out", "refused")]
        assert events[0]["user"] == "root"

    def test_the_lock_is_roots_whatever_the_umask(self, python: Run, machine: Machine) -> None:
        machine.policy.parent.rmdir()
        code = "import os; os.umask(0o077); from keras_integrity_hook.cli import main; main()"
        done = python("-c", code, "site", "install", "--lock")
        assert done.returncode == 0, done.stderr
        assert stat.S_IMODE(machine.policy.stat().st_mode) == 0o644
        assert stat.S_IMODE(machine.policy.parent.stat().st_mode) == 0o755

    def test_status_tells_what_opting_out_would_do(self, python: Run, machine: Machine) -> None:
        before = document(cli(python, "site", "status", "--json"))
        assert (before["policy"]["state"], before["opt_out_has_effect"]) == ("missing", True)
        assert cli(python, "site", "install", "--lock").returncode == 0
        after = document(cli(python, "site", "status", "--json"))
        assert (after["policy"]["state"], after["policy"]["locked"]) == ("valid", ["mode"])
        assert after["opt_out_has_effect"] is False
        machine.policy.chmod(0o666)
        insecure = document(cli(python, "site", "status", "--json"))
        assert (insecure["ok"], insecure["policy"]["state"]) == (False, "insecure")
        assert insecure["opt_out_has_effect"] is False
        machine.write_policy("mode = enforce\n")
        invalid = document(cli(python, "site", "status", "--json"))
        assert (invalid["ok"], invalid["policy"]["state"]) == (False, "invalid")

    def test_doctor_explains_a_lock(self, python: Run) -> None:
        assert cli(python, "site", "install", "--lock").returncode == 0
        done = cli(python, "doctor", "--json", KERAS_INTEGRITY="off")
        assert done.returncode == 0, done.stdout
        told = document(done)
        assert told["facts"]["policy"]["locked"] == ["mode"]
        [finding] = [f for f in told["findings"] if "KERAS_INTEGRITY=off" in f["text"]]
        assert "no effect" in finding["text"]

    def test_doctor_says_what_to_do_about_an_insecure_policy(
        self, python: Run, machine: Machine
    ) -> None:
        machine.write_policy("allow_opt_out = false\n")
        machine.policy.chmod(0o666)
        done = cli(python, "doctor")
        assert done.returncode == 1
        assert "chmod go-w /etc/keras-integrity/policy.toml" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr


class TestPolicyFile:
    POLICY = 'unsealed = "reject"\nlock = ["unsealed"]\n'

    def test_a_policy_is_checked_before_anything_is_changed(
        self, machine: Machine, environment: Environment, tmp_path: Path
    ) -> None:
        wrong = tmp_path / "policy.toml"
        wrong.write_text('unsaeled = "reject"\n')
        done = _site(machine, environment, "install", "--policy", str(wrong))
        assert done.returncode == 2
        assert "line 1" in done.stderr
        assert "unsealed" in done.stderr
        assert not machine.policy.exists()
        assert not environment.customization.exists()

    def test_another_policy_is_replaced_only_when_asked(
        self, machine: Machine, environment: Environment, tmp_path: Path
    ) -> None:
        new = tmp_path / "policy.toml"
        new.write_text(self.POLICY)
        machine.write_policy("allow_opt_out = false\n")
        refused = _site(machine, environment, "install", "--policy", str(new))
        assert refused.returncode == 1
        assert "--replace-policy" in refused.stderr
        assert machine.policy.read_text() == "allow_opt_out = false\n"
        assert not environment.customization.exists()
        arguments = ("install", "--policy", str(new), "--replace-policy")
        assert _site(machine, environment, *arguments).returncode == 0
        assert machine.policy.read_text() == self.POLICY
        again = _site(machine, environment, "install", "--policy", str(new), "--json")
        assert document(again)["policy_written"] is False

    def test_the_way_back_from_a_policy_is_the_one_before_it(
        self, machine: Machine, environment: Environment, tmp_path: Path
    ) -> None:
        new = tmp_path / "policy.toml"
        new.write_text(self.POLICY)
        machine.write_policy("allow_opt_out = false\n")
        forward = ("install", "--policy-only", "--replace-policy", "--policy")
        assert _site(machine, environment, *forward, str(new)).returncode == 0
        previous = machine.policy.with_name("policy.toml.previous")
        assert previous.read_text() == "allow_opt_out = false\n"
        back = _site(machine, environment, *forward, "/etc/keras-integrity/policy.toml.previous")
        assert back.returncode == 0, back.stderr
        assert machine.policy.read_text() == "allow_opt_out = false\n"
        assert previous.read_text() == self.POLICY
        assert stat.S_IMODE(machine.policy.stat().st_mode) == 0o644
        assert _site(machine, environment, "uninstall", "--policy-only").returncode == 0
        assert not machine.policy.parent.exists()

    def test_a_policy_only_installation_without_a_policy_is_a_mistake(
        self, environment: Environment
    ) -> None:
        done = environment.cli("site", "install", "--policy-only")
        assert done.returncode == 2
        assert "--policy FILE or --lock" in done.stderr

    def test_a_policy_in_a_directory_of_others_is_not_written(
        self, machine: Machine, environment: Environment
    ) -> None:
        machine.policy.parent.chmod(0o777)
        done = _site(machine, environment, "install", "--lock", "--json")
        assert document(done)["error"]["code"] == "insecure-permissions"
        assert list(machine.policy.parent.iterdir()) == []

    def test_uninstall_removes_the_policy_only_when_asked(
        self, machine: Machine, environment: Environment
    ) -> None:
        assert _site(machine, environment, "install", "--lock").returncode == 0
        assert _site(machine, environment, "uninstall").returncode == 0
        assert machine.policy.exists()
        assert _site(machine, environment, "uninstall", "--policy").returncode == 0
        assert not machine.policy.parent.exists()


def _site(
    machine: Machine, environment: Environment, *arguments: str
) -> subprocess.CompletedProcess[str]:
    command = ("-m", "keras_integrity_hook.cli", "site", *arguments)
    return machine.run(environment.python, *command, env=environment.env())
