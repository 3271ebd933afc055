# SPDX-License-Identifier: Apache-2.0
"""``scan``: what is printed and written of findings, in a process of its own.

The findings are those of a check that a distribution brings, so that every verdict can be had; that
our own rules find what they are for is tested with them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.cli import rules as rules_command
from keras_integrity_hook.inspection import checks
from keras_integrity_hook.inspection.rules import RULES
from tests.support import plugins, sarif
from tests.support.models import archive_bytes, hdf5_bytes, write_model
from tests.support.processes import cli, document, environment

CHECK = """
from keras_integrity_hook.inspection.findings import Finding, Verdict

def check(model):
    for name in sorted(model.files):
        data = model.read(name)
        if b"Payload" in data:
            yield Finding("payload", Verdict.REFUSE, name, "layer 'p'", "our>Payload", "it pays")
        for number in range(data.count(b"Oddity")):
            what = (name, f"layer 'o{number}'", "our>Oddity", "it is odd", "our>Oddity")
            yield Finding("odd", Verdict.REVIEW, *what)
"""
CONFIG = b'{"class_name": "Sequential", "config": {"name": "%s"}}'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where a distribution with a check of its own is installed."""
    folder = tmp_path_factory.mktemp("plugin") / "site"
    return plugins.install(folder, "ours", CHECK, {checks.GROUP: {"ours": "ours:check"}})


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """One model of each verdict, one that is damaged, and weights."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("Plain", "Oddity", "Payload"):
        (folder / f"{name}.keras").write_bytes(archive_bytes(config=CONFIG % name.encode()))
    (folder / "cut.keras").write_bytes(archive_bytes()[:-30])
    (folder / "w.weights.h5").write_bytes(hdf5_bytes())
    return folder


@pytest.fixture
def env(site: str) -> dict[str, str]:
    return environment(site)


def test_each_model_is_told_with_its_verdict_and_why(models: Path, env: dict[str, str]) -> None:
    done = cli("scan", "models", cwd=models.parent, env=env)
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert "fine            models/Plain.keras" in lines
    assert "review          models/Oddity.keras" in lines
    assert "refuse          models/Payload.keras" in lines
    assert "damaged         models/cut.keras" in lines
    assert "fine            models/w.weights.h5" in lines
    found = "ours:payload: our>Payload in layer 'p' of config.json: it pays."
    assert f"{' ' * 16}{found}" in lines
    assert lines[-2] == "5 models: 1 review, 2 fine, 1 refuse, 1 damaged"


def test_what_needs_a_review_is_refused_only_where_that_is_asked_for(
    models: Path, env: dict[str, str], home: Path
) -> None:
    odd = models / "Oddity.keras"
    done = cli("scan", odd, env=env)
    assert done.returncode == 0
    assert "Not refused" in done.stdout
    done = cli("scan", "--strict", odd, env=env)
    assert done.returncode == 1
    assert "allowed_objects" in done.stdout
    assert cli("scan", odd, env=env | {"KERAS_INTEGRITY_INSPECTION": "strict"}).returncode == 1
    assert cli("scan", "--strict", models / "Plain.keras", env=env).returncode == 0


def test_settings_say_what_a_finding_means_here(models: Path, env: dict[str, str]) -> None:
    def status(name: str, **settings: str) -> int:
        ours = {f"KERAS_INTEGRITY_{key}": value for key, value in settings.items()}
        return cli("scan", "--strict", models / f"{name}.keras", env=env | ours).returncode

    assert status("Oddity", ALLOWED_OBJECTS="our>*") == 0
    assert status("Payload", ALLOWED_OBJECTS="our>*") == 1
    assert status("Payload", INSPECTION_RULES="ours:payload=fine") == 0
    assert status("Oddity", INSPECTION_RULES="ours:odd=refuse", INSPECTION="off") == 1


def test_a_scan_that_was_asked_for_looks_whatever_the_loads_of_this_machine_do(
    models: Path, env: dict[str, str]
) -> None:
    for name, value in (("MODE", "off"), ("INSPECTION", "off")):
        variable = "KERAS_INTEGRITY" if name == "MODE" else f"KERAS_INTEGRITY_{name}"
        assert cli("scan", models / "Payload.keras", env=env | {variable: value}).returncode == 1


def test_many_findings_are_counted_and_listed_in_json(tmp_path: Path, env: dict[str, str]) -> None:
    path = tmp_path / "odd.keras"
    path.write_bytes(archive_bytes(config=CONFIG % (b"Oddity" * 30 + b"Payload")))
    lines = cli("scan", path, env=env).stdout.splitlines()
    assert "ours:payload" in lines[1], "the worst comes first"
    assert len(lines) == 11
    assert lines[9].strip() == "and 23 more findings (--json lists all)"
    (result,) = document(cli("scan", "--json", path, env=env))["results"]
    inspection = result["report"]["inspection"]
    assert inspection["verdict"] == result["state"] == "refuse"
    assert len(inspection["findings"]) == 31
    assert 0 < inspection["bytes_read"] < path.stat().st_size + 1
    assert result["error"]["code"] == "dangerous-model"
    assert [one["rule"] for one in result["error"]["evidence"]["findings"]] == ["ours:payload"]


def test_quiet_and_only_refused(models: Path, env: dict[str, str]) -> None:
    done = cli("scan", "-q", models, env=env)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 1)
    done = cli("scan", "--only-refused", models, env=env)
    assert "Payload.keras" in done.stdout
    assert "Oddity.keras" not in done.stdout
    assert "1 review" in done.stdout


def test_what_is_no_model_is_refused_and_a_wrong_setting_is_told(
    tmp_path: Path, env: dict[str, str]
) -> None:
    (tmp_path / "text.keras").write_text("not a model")
    assert cli("scan", tmp_path / "text.keras", env=env).stdout.startswith("not-a-model ")
    done = cli("scan", tmp_path, env=env | {"KERAS_INTEGRITY_INSPECTION": "stirct"})
    assert done.returncode == 2
    assert "stirct" in done.stderr


def test_findings_are_results_of_sarif_where_they_are(models: Path, env: dict[str, str]) -> None:
    log = models.parent / "scan.sarif"
    cli("scan", "models", "--sarif", log, cwd=models.parent, env=env)
    found = {one["ruleId"]: one for one in sarif.results_of(log)}
    assert {rule: one["level"] for rule, one in found.items()} == {
        "ours:odd": "warning",
        "ours:payload": "error",
        "damaged-file": "error",
    }
    (place,) = found["ours:payload"]["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "models/Payload.keras"
    assert place["logicalLocations"] == [{"fullyQualifiedName": "config.json: layer 'p'"}]
    assert found["ours:payload"]["message"]["text"] == "our>Payload in layer 'p': it pays."


def test_findings_of_one_rule_have_fingerprints_of_their_own(
    tmp_path: Path, env: dict[str, str]
) -> None:
    path, log = tmp_path / "odd.keras", tmp_path / "scan.sarif"
    path.write_bytes(archive_bytes(config=CONFIG % (b"Oddity" * 3)))
    for _ in range(2):
        cli("scan", path, "--sarif", log, env=env)
        prints = [one["partialFingerprints"]["finding/v1"] for one in sarif.results_of(log)]
        assert len(set(prints)) == 3


def test_a_finding_in_a_directory_names_the_file_that_it_is_in(
    tmp_path: Path, env: dict[str, str]
) -> None:
    folder, log = tmp_path / "m", tmp_path / "scan.sarif"
    folder.mkdir()
    (folder / "config.json").write_bytes(CONFIG % b"Payload")
    (folder / "metadata.json").write_bytes(b'{"keras_version": "3.15.1"}')
    (folder / "model.weights.h5").write_bytes(hdf5_bytes())
    assert cli("scan", folder, "--sarif", log, env=env).returncode == 1
    (found,) = sarif.results_of(log)
    uri = found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == f"file://{folder}/config.json"


def test_junit_fails_what_is_refused_and_tells_the_rest(models: Path, env: dict[str, str]) -> None:
    path = models.parent / "junit.xml"
    cli("scan", "models", "--junit", path, cwd=models.parent, env=env)
    (suite,) = ElementTree.parse(path).getroot()
    cases = {case.get("name"): case for case in suite}
    failure = cases["models/Payload.keras"].find("failure")
    assert failure is not None
    assert failure.get("type") == "dangerous-model"
    told = cases["models/Oddity.keras"].findtext("system-out") or ""
    assert told.startswith("review. ours:odd: our>Oddity in layer 'o0'")


def test_of_large_weights_little_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.keras"
    path.write_bytes(archive_bytes(weights=hdf5_bytes(rows=1 << 19)))
    assert path.stat().st_size > 64 << 20
    (result,) = document(cli("scan", "--json", path))["results"]
    assert result["state"] == "fine"
    assert result["report"]["inspection"]["bytes_read"] < 1 << 20


def test_scan_needs_neither_keras_nor_h5py(models: Path) -> None:
    code = (
        "import sys\nfrom keras_integrity_hook.cli import main\n"
        "try:\n    main(['scan', *sys.argv[1:]])\nexcept SystemExit as end:\n"
        "    assert end.code == 0, end.code\n"
        "heavy = {'keras', 'tensorflow', 'numpy', 'h5py', 'wrapt', 'cryptography', 'subprocess'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    paths = [str(models / name) for name in ("Plain.keras", "w.weights.h5")]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_sealed_model_is_scanned_and_inspect_tells_the_findings(
    models: Path, env: dict[str, str]
) -> None:
    path = models / "Payload.keras"
    kih.seal(path)
    assert cli("scan", path, env=env).returncode == 1
    done = cli("inspect", path, env=env)
    assert done.returncode == 0, "what is shown is not judged"
    assert "ours:payload: our>Payload in layer 'p' of config.json: it pays." in done.stdout
    (result,) = document(cli("inspect", "--json", path, env=env))["results"]
    assert result["report"]["inspection"]["verdict"] == "refuse"


def test_the_api_tells_what_was_found(tmp_path: Path) -> None:
    path = write_model(tmp_path, "m.keras")
    inspection = kih.scan(path).inspection
    assert inspection is not None
    assert str(inspection.verdict) == "fine"
    assert repr(inspection) == "<InspectionInfo fine, 0 findings>"
    assert kih.verify(path).inspection is None


class TestRules:
    def test_every_rule_is_explained(self) -> None:
        done = cli("rules")
        assert all(f" {word}\n" in done.stdout for word in RULES)
        told: list[dict[str, Any]] = document(cli("rules", "--json"))["rules"]
        assert [one["word"] for one in told] == list(RULES)

    def test_one_rule_is_explained_by_name(self) -> None:
        assert cli("rules", "check-failed").stdout.count("\n") == 3
        done = cli("rules", "no-such-rule")
        assert done.returncode == 2
        assert "no-such-rule" in done.stderr

    def test_no_text_of_a_rule_breaks_the_table(self) -> None:
        lines = rules_command.table().splitlines()
        assert len(lines) == len(RULES) + 2
        assert {line.count("|") for line in lines} == {6}
