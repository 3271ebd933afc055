# SPDX-License-Identifier: Apache-2.0
"""Where no process can be confined, nothing is run under that name, and it is said why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from keras_integrity_hook.isolation import availability, reachable
from tests.support.confined import needs_sandbox
from tests.support.processes import environment

OLD_KERNEL = """
import errno, pyseccomp
rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "landlock_create_ruleset")
rules.load()
"""
TRIED = """
from keras_integrity_hook import sandbox
from keras_integrity_hook.errors import SandboxUnavailableError
try:
    sandbox.load_model("m.keras")
except SandboxUnavailableError as error:
    print(error.in_one_line())
"""


def said(code: str, cwd: Path) -> str:
    """What ``code`` prints in a process of its own."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, check=True
    )
    return done.stdout


@needs_sandbox
def test_a_kernel_without_landlock_has_no_sandbox(tmp_path: Path) -> None:
    assert "this kernel has no Landlock" in said(OLD_KERNEL + TRIED, tmp_path)


@needs_sandbox
def test_without_its_packages_there_is_no_sandbox(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['landlockpy'] = None"
    told = said(hidden + TRIED, tmp_path)
    assert "landlockpy is not installed ('pip install landlockpy')" in told


@needs_sandbox
def test_what_is_there_is_said(tmp_path: Path) -> None:
    facts = availability.facts()
    assert facts["missing"] == []
    assert facts["seccomp"] is True
    assert facts["landlock"] >= 1


def test_packages_that_are_links_can_be_read_where_they_lead(tmp_path: Path) -> None:
    """Some installers link packages, and environments lend one another theirs."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "elsewhere")
    found = list(reachable._linked([str(tmp_path), str(tmp_path / "missing")]))
    assert found == [str(tmp_path / "linked")]
