# SPDX-License-Identifier: Apache-2.0
"""A machine with files of its administrator's in ``/etc``, and a ``/var/lib`` of its own, for one
command and nobody else."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

_BIND = """
set -e
mount --make-rprivate /
mount --bind "$0" /etc
mount --bind "$0-var-lib" /var/lib
exec "$@"
"""


@functools.cache
def _unshare() -> tuple[str, ...] | None:
    """How a private mount namespace is had here, None where it is not."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return None
    for way in (("unshare", "-m"), ("unshare", "-rm")):
        trial = [*way, "sh", "-c", "mount --make-rprivate / && mount --bind /etc /etc"]
        if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            return way
    return None


def run(
    command: Sequence[str],
    etc: Path,
    *,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` where ``etc`` is ``/etc``."""
    way = _unshare()
    assert way is not None
    etc.with_name(f"{etc.name}-var-lib").mkdir(exist_ok=True)
    return subprocess.run(
        [*way, "sh", "-c", _BIND, str(etc), *command],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def make_etc(directory: Path, files: Mapping[str, str]) -> Path:
    """A copy of ``/etc`` with ``files``, by their paths below ``keras-integrity/``, each root's.

    Skips the test where no private ``/etc`` can be had.
    """
    if _unshare() is None:
        pytest.skip("needs root and private mounts (unshare -m)")
    etc = directory / "etc"
    shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
    home = etc / "keras-integrity"
    home.mkdir(mode=0o755)
    for name, text in files.items():
        (home / name).write_text(text)
        (home / name).chmod(0o644)
    return etc
