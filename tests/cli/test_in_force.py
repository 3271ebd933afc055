# SPDX-License-Identifier: Apache-2.0
"""What ``status``, ``doctor`` and ``policy check`` say of what is in force, tried out for real: a
log that is written or not, keys on a disk, people in a trust file."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from keras_integrity_hook.audit import destination, log_file
from keras_integrity_hook.cli import main
from keras_integrity_hook.cli.diagnosis import Verdict, diagnose, verdict
from keras_integrity_hook.isolation import availability
from tests.support.fleets import Fleet
from tests.support.processes import ARM, cli, document, environment
from tests.support.signers import let_trust, make_key


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, [*arguments])


def found(*arguments: str) -> list[str]:
    """The texts of what ``status --json`` finds fault with."""
    told = json.loads(run("status", "--json", *arguments).output)
    return [one["text"] for one in told["findings"] if one["fatal"]]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    pytest.importorskip("sqlalchemy", reason="a registry needs sqlalchemy")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Fleet(tmp_path / "fleet")


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write the project's policy."""

    def write(text: str) -> Path:
        path = tmp_path / "policy.toml"
        path.write_text(text)
        monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(path))
        return path

    return write


class TestAuditLog:
    def test_one_that_can_be_written_is_not_touched(self, policy: Any, tmp_path: Path) -> None:
        log = tmp_path / "audit.jsonl"
        policy(f'audit_log = "{log}"\n')
        assert found() == []
        assert not log.exists()
        log.write_text("a line\n")
        before = log.stat()
        assert found() == []
        assert log.stat() == before

    @pytest.mark.parametrize("where", ["missing/audit.jsonl", "", "file/audit.jsonl", "link"])
    def test_one_that_cannot_be_written_is_a_problem(
        self, policy: Any, tmp_path: Path, where: str
    ) -> None:
        (tmp_path / "file").touch()
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
        log = tmp_path / where
        policy(f'audit_log = "{log}"\n')
        with pytest.raises(OSError, match=r"\w"):
            log_file.append(str(log), b"{}\n", limit=1000, kept=1)
        [text] = found()
        assert f"{log} cannot be written" in text
        assert "events are lost" in text

    def test_a_log_that_is_required_says_what_it_costs(self, policy: Any, tmp_path: Path) -> None:
        policy(f'audit_log = "{tmp_path}/no/log"\naudit_required = true\n')
        [text] = found()
        assert "nothing is loaded or saved" in text
        policy("audit_required = true\n")
        [text] = found()
        assert "there is no audit_log" in text

    def test_a_container_without_a_log_daemon_is_told(
        self, policy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)  # the name of a socket has 107 bytes at most
        policy('audit_log = "syslog:daemon"\n')
        [text] = found()
        assert "No log daemon listens there" in text
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
            daemon.bind("daemon")
            assert found() == []
            daemon.setblocking(False)
            with pytest.raises(BlockingIOError):
                daemon.recv(1)  # nothing was sent

    def test_a_directory_of_others_is_found_by_their_user(self, public_folder: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("needs root, to be another user")
        pid = os.fork()
        if pid == 0:
            os.setresuid(65534, 65534, 65534)
            try:
                destination.try_out(str(public_folder / "audit.jsonl"))
            except PermissionError:
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


class TestKey:
    def test_a_key_that_signs_is_no_finding(self, policy: Any, tmp_path: Path) -> None:
        make_key(tmp_path / "key")
        policy(f'key = "{tmp_path}/key"\n')
        assert found() == []

    def test_a_key_that_is_not_there_or_open_to_others_is_a_problem(
        self, policy: Any, tmp_path: Path
    ) -> None:
        policy(f'key = "{tmp_path}/key"\n')
        [text] = found()
        assert "No such file" in text
        make_key(tmp_path / "key")
        (tmp_path / "key").chmod(0o644)
        [text] = found()
        assert "others may use the key file (mode 0644)" in text

    @pytest.mark.parametrize(
        ("reference", "expected"),
        [
            ("env:NO_SUCH_VARIABLE", "holds no key"),
            ("nobody:17", "no signer is known"),
        ],
    )
    def test_a_reference_that_leads_nowhere_is_a_problem(
        self, policy: Any, reference: str, expected: str
    ) -> None:
        policy(f'key = "{reference}"\n')
        [text] = found()
        assert expected in text


class TestSigners:
    def test_somebody_who_is_in_no_trust_file_is_a_problem(
        self, policy: Any, tmp_path: Path
    ) -> None:
        let_trust("alice", make_key(tmp_path / "alice"))
        policy('require = "signed"\nsigners = ["alice", "alcie"]\n')
        [text] = found()
        assert "alcie is in no trust file" in text
        assert "keras-integrity trust add alcie" in text

    def test_nobody_trusted_at_all_means_that_nothing_is_loaded(self, policy: Any) -> None:
        policy('require = "signed"\n')
        [text] = found()
        assert "no model is loaded" in text

    def test_expired_and_revoked_keys_do_not_make_up_a_threshold(
        self, policy: Any, tmp_path: Path
    ) -> None:
        for name in ("alice", "bob", "carol"):
            make_key(tmp_path / name)
            dates = ("--not-after", "2020-01-01") if name == "bob" else ()
            assert run("trust", "add", name, f"{tmp_path / name}.pub", *dates).exit_code == 0
        policy('require = "signed"\nsigners = ["alice", "bob", "carol"]\nthreshold = 2\n')
        assert found() == []
        done = run("revoke", "key", "carol", "--reason", "laptop stolen")
        assert done.exit_code == 0, done.output
        [text] = found()
        assert "2 good signatures must be there" in text
        told = run("status").output
        assert "laptop stolen" in told
        assert "2020-01-01" in told

    def test_a_key_that_ends_soon_is_told_in_time(self, policy: Any, tmp_path: Path) -> None:
        make_key(tmp_path / "alice")
        ends = f"{datetime.now(UTC) + timedelta(days=7):%Y-%m-%d}"
        added = run("trust", "add", "alice", f"{tmp_path}/alice.pub", "--not-after", ends)
        assert added.exit_code == 0
        policy('require = "signed"\n')
        done = run("status", "--json")
        [one] = json.loads(done.output)["findings"]
        assert one["level"] == "note"
        assert "of alice count until" in one["text"]


class TestRegistry:
    def test_one_that_answers_is_no_finding(self, policy: Any, fleet: Fleet) -> None:
        policy(fleet.policy.read_text())
        assert found() == []

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"registry": ""}, "and no registry is named: no model is loaded"),
            ({"registry_id": ""}, "there is no registry_id"),
            ({"registry_id": "00" * 32}, "this is another registry"),
            ({"registry": "http://127.0.0.1:{port}"}, "cannot be reached"),
        ],
    )
    def test_one_that_cannot_be_asked_is_a_problem(
        self, policy: Any, fleet: Fleet, changed: dict[str, str], said: str
    ) -> None:
        values = {"registry": fleet.url, "registry_id": fleet.id, **changed}
        lines = [f'{name} = "{value}"' for name, value in values.items() if value]
        text = "\n".join([*lines, 'require = "registered"'])
        with socket.socket() as held:  # nobody listens there, and nobody else can
            held.bind(("127.0.0.1", 0))
            policy(text.replace("{port}", str(held.getsockname()[1])))
            [told] = found()
        assert said in told


class TestVetters:
    @pytest.mark.parametrize("require", ["vetted", "signed+vetted"])
    def test_nobody_whose_word_counts_means_that_nothing_is_loaded(
        self, policy: Any, tmp_path: Path, require: str
    ) -> None:
        # A signer is no vetter.
        let_trust("alice", make_key(tmp_path / "alice"))
        path = policy(f'require = "{require}"\n')
        [text] = found()
        assert "a trusted vetter must say that a model passed" in text
        assert "keras-integrity trust add --vetter NAME" in text
        checked = json.loads(run("policy", "check", "--json", str(path)).output)
        assert [one["text"] for one in checked["here"]] == [text]
        make_key(tmp_path / "lab")
        added = run("trust", "add", "lab", f"{tmp_path}/lab.pub", "--vetter")
        assert added.exit_code == 0, added.output
        assert found() == []

    @pytest.mark.parametrize("how", ["expired", "revoked"])
    def test_vetters_who_do_not_count_now_are_told(
        self, policy: Any, tmp_path: Path, how: str
    ) -> None:
        dates = ("--not-after", "2020-01-01") if how == "expired" else ()
        make_key(tmp_path / "lab")
        added = run("trust", "add", "lab", f"{tmp_path}/lab.pub", "--vetter", *dates)
        assert added.exit_code == 0, added.output
        if how == "revoked":
            done = run("revoke", "key", "lab", "--reason", "laptop stolen")
            assert done.exit_code == 0, done.output
        policy('[[rules]]\npath = "/models/**"\nrequire = "vetted"\n')
        [text] = found()
        assert "nobody trusted can: no model is loaded" in text
        assert {"expired": "2020-01-01", "revoked": "laptop stolen"}[how] in run("status").output

    def test_where_the_machine_fixes_it_vetters_of_the_user_do_not_count(
        self, tmp_path: Path
    ) -> None:
        make_key(tmp_path / "lab")
        added = run("trust", "add", "lab", f"{tmp_path}/lab.pub", "--vetter")
        assert added.exit_code == 0, added.output
        path = tmp_path / "policy.toml"
        path.write_text('require = "vetted"\nlock = ["require"]\n')
        done = run("policy", "check", "--json", "--for", "machine", str(path))
        [one] = json.loads(done.output)["here"]
        assert "Vetters of this user or project do not count here" in one["text"]
        assert "--vetter --machine NAME" in one["text"]


class TestSandbox:
    def test_one_that_is_to_be_had_is_no_finding(self, policy: Any) -> None:
        policy('sandbox = "always"\n')
        missing = availability.reasons()
        assert [all(why in text for why in missing) for text in found()] == [True] * bool(missing)

    def test_without_one_everybody_who_asks_is_told(
        self, policy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A Python in which the package is not installed, as far as anybody can tell from inside.
        monkeypatch.setitem(sys.modules, "landlockpy", None)
        path = policy('[[rules]]\npath = "/models/**"\nsandbox = "unsigned"\n')
        [text] = found()
        assert "no sandbox is to be had here" in text
        assert "pip install landlockpy" in text
        checked = json.loads(run("policy", "check", "--json", str(path)).output)
        assert [one["text"] for one in checked["here"]] == [text]

    def test_doctor_says_whether_there_is_one_and_what_is_not_loaded_without(
        self, policy: Any, tmp_path: Path
    ) -> None:
        policy('sandbox = "always"\n')
        (tmp_path / "sitecustomize.py").write_text(
            f"{ARM}\nimport sys\nsys.modules['landlockpy'] = None\n"
        )
        told = cli("doctor", env=environment(str(tmp_path))).stdout
        [row] = [line for line in told.splitlines() if line.split()[0] == "sandbox"][:1]
        assert "not to be had here: the package landlockpy is not installed" in row
        assert "no sandbox is to be had here: the package landlockpy" in told
        assert "but there is 1 problem" in told


class TestOfRules:
    def test_what_a_rule_names_is_tried_out_too(self, policy: Any) -> None:
        policy('[[rules]]\npath = "/models/**"\nrequire = "signed"\nsigners = ["nobody"]\n')
        texts = found()
        assert any("nobody is in no trust file" in text for text in texts)

    def test_a_rule_that_is_never_used_is_told_and_not_tried_out(self, policy: Any) -> None:
        policy(
            '[[rules]]\npath = "/**"\nrequire = "sealed"\n'
            '[[rules]]\npath = "/models/**"\nrequire = "signed"\nsigners = ["nobody"]\n'
        )
        told = json.loads(run("status", "--json").output)
        [one] = told["findings"]
        assert one["level"] == "note"
        assert "/models/**" in one["text"]
        assert "is never used" in one["text"]
        assert told["ok"] == told["armed"]

    def test_a_fallback_and_a_function_that_are_not_there_are_problems(
        self, policy: Any, tmp_path: Path
    ) -> None:
        policy(f'on_failure = "fallback"\nfallback = "{tmp_path}/old.keras"\n')
        assert "old.keras is not there" in found()[0]
        policy('on_failure = "call"\ncall = "nowhere_to_be_found:answer"\n')
        assert "nowhere_to_be_found:answer" in found()[0]


def test_policy_check_tries_out_what_the_file_names(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        'require = "signed"\nsigners = ["alice"]\naudit_log = "/no/where/log"\n'
        '[[rules]]\npath = "**"\nunsealed = "reject"\n'
        '[[rules]]\npath = "/models/**"\nunsealed = "warn"\n'
    )
    done = run("policy", "check", "--json", str(path))
    told = json.loads(done.output)
    assert done.exit_code == 0  # another machine may have them all
    assert any("never used" in note for note in told["notes"])
    here = " ".join(one["text"] for one in told["here"])
    assert "alice is in no trust file" in here
    assert "/no/where/log cannot be written" in here
    text = run("policy", "check", str(path)).output
    assert "3 settings, 2 rules" in text


def test_policy_check_counts_one_rule_as_one(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('unsealed = "reject"\n[[rules]]\npath = "/a"\nunsealed = "warn"\n')
    assert "1 setting, 1 rule\n" in run("policy", "check", str(path)).output


FACTS: dict[str, Any] = {
    "python": "3.11.9",
    "executable": "/usr/bin/python3",
    "armed": True,
    "keras_loaded": False,
    "startup_files": ["/site/keras_integrity_hook.pth"],
    "copies": ["/site"],
    "policy": {"path": "/etc/p.toml", "state": "missing", "locked": [], "error": None},
    "exit_status": 0,
}


@pytest.mark.parametrize(
    ("absent", "expected"),
    [
        ("keras", "not installed here; there is nothing to protect yet"),
        ("tensorflow", "pip install tensorflow"),
        ("optree", "module optree is not installed"),
    ],
)
def test_an_armed_python_in_which_something_is_missing_is_not_called_unprotected(
    absent: str, expected: str
) -> None:
    facts = {**FACTS, "keras": None, "absent": absent, "error": "ModuleNotFoundError"}
    findings = list(diagnose(facts))
    assert expected in findings[0].text
    assert not any(one.fatal for one in findings)
    assert verdict(facts, findings) is Verdict.ARMED


def test_doctor_of_a_keras_without_a_backend_says_armed_and_what_is_missing(
    tmp_path: Path,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        # A Python in which TensorFlow is not installed, as far as anybody can tell from inside.
        f"{ARM}\nimport sys\nsys.modules['tensorflow'] = None\n"
    )
    done = cli("doctor", env=environment(str(tmp_path)))
    lines = done.stdout.splitlines()
    assert lines[0] == lines[-1] == "A fresh Python is armed; Keras cannot be imported here yet."
    assert "KERAS_BACKEND" in done.stdout
    assert done.returncode == 0, done.stdout


def test_doctor_runs_nothing_that_lies_in_the_directory_it_is_called_in(tmp_path: Path) -> None:
    for name in ("json", "keras", "keras_integrity_hook"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'a').close()\nraise SystemExit\n")
    command = [sys.executable, "-P", "-m", "keras_integrity_hook.cli", "doctor"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, check=False, timeout=300
    )
    assert b"A fresh Python" in done.stdout
    assert not (tmp_path / "ran").exists()


def test_doctor_lists_functions_only_when_asked_and_cuts_no_name(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(ARM)
    armed = {**environment(str(tmp_path)), "COLUMNS": "40"}
    done = cli("doctor", "--verbose", env=armed)
    lines = done.stdout.splitlines()
    assert lines[0] == lines[-1] == "A fresh Python is protected."
    names = [line.split()[-1] for line in lines if line.startswith("wrapped ")]
    assert "keras.src.saving.saving_api.load_model" in names
    assert len(names) == len(set(names))
    facts = document(cli("doctor", "--json", env=armed))["facts"]
    assert sorted(names) == sorted(name for name, state in facts["targets"] if state == "wrapped")
    assert facts["settings"]["mode"]["value"] == "enforce"


def test_status_says_who_set_what(policy: Any, home: Path, tmp_path: Path) -> None:
    path = policy('unsealed = "reject"\n')
    let_trust("alice", make_key(tmp_path / "alice"))
    told = json.loads(run("status", "--json").output)
    assert told["settings"]["unsealed"] == {
        "value": "reject",
        "origin": f"{path}, line 1",
        "locked": False,
    }
    assert told["policy_files"] == [str(path)]
    assert told["trust_files"] == [str(home / "trust.toml")]
    lines = run("status").output.splitlines()
    assert f"{path}, line 1" in next(line for line in lines if "unsealed" in line)


def test_status_wraps_on_a_narrow_terminal_and_nowhere_else(policy: Any) -> None:
    policy('require = "signed"\n')
    width = 60
    shell = f"unset COLUMNS; stty cols {width}; {sys.executable} -m keras_integrity_hook.cli status"
    command = ["script", "-qec", shell, "/dev/null"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        pytest.skip("needs script (util-linux)")
    problems = click.unstyle(done.stdout).replace("\r", "").partition("\nproblem ")[2].splitlines()
    assert len(problems) > 1
    # What is to be copied is not broken, and a path may be longer than a line.
    assert all(len(line) <= width or " " not in line.strip() for line in problems[1:])
    assert all(line.startswith(" " * 16) for line in problems[1:] if line)
    piped = cli("status", env=dict(os.environ)).stdout
    assert sum(line.startswith("problem") for line in piped.splitlines()) == 1
    assert piped.splitlines()[-1].startswith("problem")
