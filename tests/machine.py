# SPDX-License-Identifier: Apache-2.0
"""A machine whose ``/etc`` is the test's own: commands run as root in a mount namespace.

What they write to ``/etc`` lands in the test's directory and stays for the next command; the real
``/etc`` is never touched.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_MOUNT = (
    'mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" /etc && '
    'before=$2 && shift 2 && eval "$before" && exec "$@"'
)


class Machine:
    """Runs commands that see a private ``/etc``.

    Args:
        where: a directory of the test's.
        before: shell code to run first in each namespace, e.g. further mounts.
    """

    def __init__(self, where: Path, before: str = ":") -> None:
        self._where = where
        self._before = before
        self.etc = where / "upper"
        for name in ("upper", "work"):
            (where / name).mkdir(parents=True)
        self.etc.chmod(0o755)  # it becomes /etc itself, which others must not be able to write

    @property
    def policy(self) -> Path:
        """``/etc/keras-integrity/policy.toml`` of the machine; a test may write it."""
        return self.etc / "keras-integrity" / "policy.toml"

    def write_policy(self, text: str) -> None:
        """Put the policy in place as an admin does, by hand."""
        self.policy.parent.mkdir(exist_ok=True)
        self.policy.parent.chmod(0o755)
        self.policy.write_text(text)
        self.policy.chmod(0o644)

    def run(
        self, *arguments: str | os.PathLike[str], env: dict[str, str], cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there."""
        shell = ["unshare", "-m", "sh", "-c", _MOUNT, "sh", str(self._where), self._before]
        return subprocess.run(
            [*shell, *arguments],
            env=env,
            cwd=cwd,
            capture_output=True,
            check=False,
            text=True,
            timeout=300,
        )


@functools.cache
def why_not() -> str | None:
    """Why there can be no such machine here, or None."""
    if os.geteuid() != 0:
        return "only root can mount a private /etc"
    if shutil.which("unshare") is None:
        return "there is no unshare(1)"
    import tempfile

    with tempfile.TemporaryDirectory() as where:
        done = Machine(Path(where)).run("true", env=dict(os.environ))
    return None if done.returncode == 0 else f"no mount namespace: {done.stderr.strip()}"


def private_machine(where: Path, before: str = ":") -> Machine:
    """A machine, or the test is skipped with the reason."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    return Machine(where, before)
