# SPDX-License-Identifier: Apache-2.0
"""The libraries that people use Keras with: what they save is sealed, what they load is checked.

A process for each, as its user runs it, with the hook and without (``tox -e ecosystem``).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from tests.support.processes import ARM, environment

SCRIPTS = Path(__file__).parent / "scripts"
BOUNDED = ("dvc_cache", "keras_tuner", "mlflow_flavor", "scikeras_joblib", "tf2onnx_convert")
"""Those that every change runs; the others are long, or large to install."""

NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py") if path.stem != "__init__")
BROKEN = {"autokeras_search": "AutoKeras 3.0.0 does not run with Keras 3.15, hook on or off"}
EACH = [
    pytest.param(
        name,
        marks=[
            *([] if name in BOUNDED else [pytest.mark.nightly]),
            *([pytest.mark.xfail(reason=BROKEN[name])] if name in BROKEN else []),
        ],
    )
    for name in NAMES
]
REFUSAL = re.compile(r"the content does not match\s+its\s+seal")


def run(name: str, tmp_path: Path, mode: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a home of its own, or skip where its libraries are not installed."""
    for needed in import_module(f"tests.ecosystem.scripts.{name}").USES:
        try:
            version(needed)
        except PackageNotFoundError:
            pytest.skip(f"{needed} is not installed")
    startup, work = tmp_path / "startup", tmp_path / "work"
    startup.mkdir()
    work.mkdir()
    (startup / "sitecustomize.py").write_text(ARM)
    home = {"HOME": str(tmp_path), "KERAS_INTEGRITY": mode}
    return subprocess.run(
        [sys.executable, str(SCRIPTS.parent / "driver.py"), name, str(work)],
        cwd=tmp_path,
        env=_without_mlflows(environment(str(startup), **home, PYTHONWARNINGS="ignore")),
        capture_output=True,
        check=False,
        text=True,
    )


def _without_mlflows(variables: dict[str, str]) -> dict[str, str]:
    """Without MLflow's: where a test before this one has set the address of a server that is gone,
    MLflow has put it into the environment."""
    return {name: text for name, text in variables.items() if not name.startswith("MLFLOW_")}


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The line of JSON that the driver printed among what the library says."""
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"versions"')]
    assert lines, done.stdout + done.stderr
    (line,) = lines
    return dict(json.loads(line))


@pytest.mark.parametrize("name", EACH)
def test_what_it_saves_is_sealed_and_damage_is_refused_for_all_to_see(
    name: str, tmp_path: Path
) -> None:
    done = run(name, tmp_path, "enforce")
    facts = told(done)
    assert facts["models"]
    for model in facts["models"]:
        assert kih.inspect(tmp_path / "work" / model).state == "sealed", model
    assert facts["damaged"]
    assert done.returncode != 0
    assert "loaded all the same" not in done.stdout
    assert REFUSAL.search(done.stderr), done.stderr


@pytest.mark.parametrize("name", EACH)
def test_with_the_hook_off_it_works_as_ever(name: str, tmp_path: Path) -> None:
    done = run(name, tmp_path, "off")
    assert done.returncode == 0, done.stdout + done.stderr
    for model in told(done)["models"]:
        assert kih.inspect(tmp_path / "work" / model).state == "unsealed", model


def test_every_script_is_bounded_or_for_the_night() -> None:
    assert set(BOUNDED) < set(NAMES)
    assert os.path.isfile(SCRIPTS.parent / "driver.py")
