# SPDX-License-Identifier: Apache-2.0
"""The example of MLflow: a model is checked when it is logged, registered, promoted and loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ARM, environment

for needed in ("mlflow", "tensorflow", "sqlalchemy"):
    pytest.importorskip(needed, reason="the example needs it")

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "mlflow_registry.py"


def test_each_step_is_checked(tmp_path: Path) -> None:
    startup, work = tmp_path / "startup", tmp_path / "work"
    startup.mkdir()
    work.mkdir()
    (startup / "sitecustomize.py").write_text(ARM)
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        cwd=work,
        env=environment(str(startup), HOME=str(tmp_path), PYTHONWARNINGS="ignore"),
        capture_output=True,
        check=False,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ours = ("version", "production", "refused", "loaded", "recalled")
    lines = [line for line in done.stdout.splitlines() if line.startswith(ours)]
    signed, production, alias, first, second, loaded, unknown, recalled = lines
    assert signed == "version 1: signed by release-team"
    assert production == "production is version 1"
    assert "the content does not match its seal" in alias
    assert first == "version 1: registered production"
    assert second == "version 2: not registered"
    assert loaded == "loaded: 1.0"
    assert unknown.startswith("refused: ")
    assert "a leak in its data" in recalled
