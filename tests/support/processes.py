# SPDX-License-Identifier: Apache-2.0
"""The command line and scripts in processes of their own, which find the package as it is here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras_integrity_hook

PACKAGE_HOME = str(Path(keras_integrity_hook.__file__).parent.parent)
OURS = ("KERAS_INTEGRITY", "KERAS_INTEGRITY_UNSEALED", "PYTHONPATH")

# sitecustomize stands in for the start-up file, so that these tests also run from a source tree.
ARM = "from keras_integrity_hook.activation import finder\nfinder.arm()\n"


def environment(*path: str, **extra: str) -> dict[str, str]:
    """The variables of a child that finds the package, and ``path`` before it."""
    inherited = {name: value for name, value in os.environ.items() if name not in OURS}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    joined = os.pathsep.join([*path, PACKAGE_HOME])
    return {**inherited, **quiet, "PYTHONPATH": joined, **extra}


def cli(
    *arguments: str | os.PathLike[str],
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    python: str = sys.executable,
) -> subprocess.CompletedProcess[str]:
    """Run ``keras-integrity`` in a process of its own."""
    return subprocess.run(
        [python, "-m", "keras_integrity_hook.cli", *arguments],
        env=env or environment(),
        cwd=cwd,
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON that a command printed, whose ``ok`` is its exit status."""
    parsed = json.loads(done.stdout)
    assert isinstance(parsed, dict)
    assert parsed["schema"] == 1
    assert parsed["ok"] is (done.returncode == 0)
    return parsed
