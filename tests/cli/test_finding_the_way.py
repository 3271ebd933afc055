# SPDX-License-Identifier: Apache-2.0
"""A person who does not know the commands by heart: suggestions, help, completion, man page."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from keras_integrity_hook.cli import main, manual
from tests.support.models import hdf5_bytes
from tests.support.processes import PACKAGE_HOME, cli, environment

SCRIPT = """#!{python}
from keras_integrity_hook.cli import main
main(prog_name="keras-integrity")
"""


@pytest.fixture
def on_path(tmp_path: Path) -> dict[str, str]:
    """An environment whose PATH has the command, as an installation puts it there."""
    script = tmp_path / "bin" / "keras-integrity"
    script.parent.mkdir()
    script.write_text(SCRIPT.format(python=sys.executable))
    script.chmod(0o755)
    return environment(PATH=f"{script.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("verfy", "'verify'"),
        ("VERIFY", "'verify'"),
        ("unsel", "'unseal'"),
        ("trust lst", "'list'"),
        ("policy chek", "'check'"),
        ("site instal", "'install'"),
        ("revoke ky", "'key'"),
        ("bundle veriy", "'verify'"),
        ("help verfy", "'verify'"),
        ("verify --only-refusd x", "--only-refused"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_one_meant(typed: str, meant: str) -> None:
    done = cli(*typed.split())
    assert done.returncode == 2
    assert "Did you mean" in done.stderr
    assert meant in done.stderr
    assert done.stdout == ""


def test_a_name_like_no_other_gets_no_suggestion_and_no_control_of_the_terminal() -> None:
    done = cli("\x1b[2Jxyzzy")
    assert done.returncode == 2
    assert "Did you mean" not in done.stderr
    assert "\x1b" not in done.stderr


def test_help_is_a_command_too() -> None:
    assert cli("help").stdout == cli("--help").stdout
    assert cli("help", "verify").stdout == cli("verify", "--help").stdout
    assert cli("help", "trust", "add").stdout == cli("trust", "add", "--help").stdout
    done = cli("help", "verify", "more")
    assert done.returncode == 2
    assert "'keras-integrity verify' has no commands of its own" in done.stderr


@pytest.mark.parametrize(("typed", "found"), [("ver", "verify"), ("trust l", "list")])
def test_bash_completes_what_was_begun(on_path: dict[str, str], typed: str, found: str) -> None:
    words = ["keras-integrity", *typed.split(" ")]
    script = f"""
        eval "$(_KERAS_INTEGRITY_COMPLETE=bash_source keras-integrity)"
        COMP_WORDS=({" ".join(words)}) COMP_CWORD={len(words) - 1}
        _keras_integrity_completion keras-integrity
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    done = subprocess.run(
        ["bash", "-c", script], env=on_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [found]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script(on_path: dict[str, str], shell: str) -> None:
    env = {**on_path, "_KERAS_INTEGRITY_COMPLETE": f"{shell}_source"}
    done = subprocess.run(["keras-integrity"], env=env, capture_output=True, text=True, check=True)
    assert "keras-integrity" in done.stdout


def test_an_interrupted_command_is_no_refusal(tmp_path: Path) -> None:
    """It waits for a pipe that nobody writes; Ctrl-C ends it."""
    (tmp_path / "a.weights.h5").write_bytes(hdf5_bytes())
    os.mkfifo(tmp_path / "report")
    command = [sys.executable, "-m", "keras_integrity_hook.cli", "verify"]
    process = subprocess.Popen(
        [*command, "a.weights.h5", "--sarif", "report"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background of a shell, it is ignored from there on down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert process.stdout is not None
    process.stdout.readline()  # the result is there, the report is waited for
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted" in told
    assert "Traceback" not in told


class TestManPage:
    def test_the_page_that_is_shipped_is_what_the_commands_say(self) -> None:
        shipped = Path(PACKAGE_HOME, "man", "keras-integrity.1")
        if not shipped.exists():
            pytest.skip("not a source tree")
        told = "python -m keras_integrity_hook.cli.manual > man/keras-integrity.1"
        assert shipped.read_text() == manual.page(), told

    def test_every_command_and_option_is_on_it(self) -> None:
        page = manual.page().replace("\\-", "-")
        for place in manual._commands(click.Context(main, info_name="keras-integrity")):
            assert f".SS {place.command_path.removeprefix('keras-integrity ')}\n" in page
            for option in place.command.params:
                assert not isinstance(option, click.Option) or option.opts[-1] in page

    def test_man_has_nothing_to_complain_of(self) -> None:
        groff = shutil.which("groff")
        if groff is None:
            pytest.skip("there is no groff")
        done = subprocess.run(
            [groff, "-man", "-Tutf8", "-ww", "-W", "break"],
            input=manual.page(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        assert "EXIT STATUS" in re.sub(".\x08", "", done.stdout)  # struck over for bold
