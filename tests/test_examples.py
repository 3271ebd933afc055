# SPDX-License-Identifier: Apache-2.0
"""Every example runs, in a directory and a home of its own, and prints what it is there to show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.models import archive_bytes, write_model
from tests.support.processes import ARM, cli, environment

EXAMPLES = Path(__file__).parent.parent / "examples"
TESTED = {
    "alarm_plugin",
    "check_plugin",
    "mlflow_registry.py",  # which tests/mlflow_registry runs, where MLflow is
    "policy_with_fallback.py",
    "require_signatures.py",
    "save_and_load.py",
    "sidecar.py",
    "verify_in_ci.py",
}

pytestmark = pytest.mark.usefixtures("home")


def run(
    tmp_path: Path, script: Path, *arguments: object, path: str = "", code: int = 0
) -> list[str]:
    """The lines that ``script`` prints."""
    startup, folder = tmp_path / "startup", tmp_path / "empty"
    startup.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    (startup / "sitecustomize.py").write_text(ARM)
    done = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        cwd=folder,
        env=environment(str(startup), *([path] if path else []), HOME=str(tmp_path)),
        capture_output=True,
        check=False,
        text=True,
        timeout=240,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_every_example_is_run_here() -> None:
    there = {
        path.name for path in EXAMPLES.iterdir() if path.name not in ("README.md", "__pycache__")
    }
    assert there == TESTED
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"[{name}" in listed for name in TESTED)


def test_save_and_load(tmp_path: Path) -> None:
    loaded, refused, remedy = run(tmp_path, EXAMPLES / "save_and_load.py")
    assert loaded == "loaded what was saved: sealed"
    assert refused.startswith("refused: model.keras the content does not match its seal")
    assert "reseal" in remedy


def test_require_signatures(tmp_path: Path) -> None:
    lines = run(tmp_path, EXAMPLES / "require_signatures.py")
    assert "loaded, signed by release-team" in lines
    assert any(line.startswith("refused: unsigned.keras: ") for line in lines)


def test_policy_with_fallback(tmp_path: Path) -> None:
    serving, warning, *rest = run(tmp_path, EXAMPLES / "policy_with_fallback.py")
    assert serving == "serving churn"
    assert warning.startswith("FallbackWarning: ")
    assert "last-good/churn.keras" in warning
    assert rest == []


def test_sidecar(tmp_path: Path) -> None:
    written, sealed, loaded, refused, *_ = run(tmp_path, EXAMPLES / "sidecar.py")
    assert written == "written: model.keras model.keras.seal"
    assert "old.weights.h5 old.weights.h5.seal" in sealed
    assert loaded == "loaded: sealed"
    assert refused.startswith("refused: moved.keras: ")


def test_alarm_plugin(tmp_path: Path) -> None:
    run(tmp_path, EXAMPLES / "save_and_load.py", path=installed(tmp_path, "alarm_plugin"))
    (alarm,) = map(json.loads, (tmp_path / "empty" / "alarms.jsonl").read_text().splitlines())
    assert (alarm["path"], alarm["error"]) == ("model.keras", "checksum-mismatch")


def test_check_plugin(tmp_path: Path) -> None:
    """A strict policy stops what it finds; others are told."""
    site = installed(tmp_path, "check_plugin")
    model = write_model(tmp_path, "old.keras")
    data = model.read_bytes()
    model.write_bytes(archive_bytes(metadata=b'{"keras_version": "3.3.3"}'))
    done = cli("scan", "--strict", model, env=environment(site))
    assert done.returncode == 1
    assert "our-rules:old-keras: 3.3.3 in keras_version of metadata.json" in done.stdout
    model.write_bytes(data)
    assert cli("scan", "--strict", model, env=environment(site)).returncode == 0


def installed(tmp_path: Path, name: str) -> str:
    """Where the plug-in ``name`` is installed as a user would, a directory of the test's."""
    plugins = tmp_path / "plugins"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--target", str(plugins), str(copy_of(name, tmp_path))),
        ],
        check=True,
    )
    return str(plugins)


def copy_of(name: str, tmp_path: Path) -> Path:
    """The plug-in where a build may leave its litter."""
    target = tmp_path / name
    target.mkdir()
    for file in ("pyproject.toml", f"{name}.py"):
        (target / file).write_text((EXAMPLES / name / file).read_text())
    return target


def test_verify_in_ci(tmp_path: Path) -> None:
    import keras_integrity_hook as kih

    models = tmp_path / "models"
    models.mkdir()
    for name in ("good.keras", "bad.keras"):
        kih.seal(write_model(models, name))
    script = EXAMPLES / "verify_in_ci.py"
    assert run(tmp_path, script, models) == ["2 of 2 models pass"]

    data = bytearray((models / "bad.keras").read_bytes())
    data[len(data) // 2] ^= 1
    (models / "bad.keras").write_bytes(data)
    annotation, summary = run(tmp_path, script, models, code=1)
    assert annotation.startswith(f"::error file={models / 'bad.keras'}::")
    assert summary == "1 of 2 models pass"
    run(tmp_path, script, "--misspelt", code=2)
