# SPDX-License-Identifier: Apache-2.0
"""``verify`` of many models: one summary at the end, and reports for CI servers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from keras_integrity_hook.cli import ci_reports
from tests.support import sarif
from tests.support.models import hdf5_bytes
from tests.support.processes import cli, document, environment

MANY = 300


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A directory of many models without a seal."""
    folder = tmp_path / "models"
    folder.mkdir()
    content = hdf5_bytes()
    for number in range(MANY):
        (folder / f"{number:03}.weights.h5").write_bytes(content)
    return folder


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Two damaged models, a sealed one, an unsealed one, and a link to another directory."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    sealed = [folder / f"{name}.weights.h5" for name in ("bad <&>", "bad2", "good")]
    for path in sealed:
        path.write_bytes(hdf5_bytes())
    assert cli("seal", "--quiet", folder).stdout == ""
    for path in sealed[:2]:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    (folder / "open.weights.h5").write_bytes(hdf5_bytes())
    (folder / "elsewhere").symlink_to(tmp_path)
    return folder


def test_many_unsealed_models_end_with_one_summary(many: Path) -> None:
    done = cli("verify", "models", cwd=many.parent)
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(lines) == MANY + 2
    size = f"{MANY * len(hdf5_bytes()) / 1e6:.1f} MB"
    assert re.fullmatch(rf"300 models: 300 unsealed; {size} in (less than )?[0-9.]+ s", lines[MANY])
    assert lines[-1].strip() == (
        "300 have no seal, so a change would go unnoticed. Seal what you trust: "
        "keras-integrity seal models"
    )


def test_the_command_of_the_summary_can_be_copied(many: Path, tmp_path: Path) -> None:
    shutil.move(many, tmp_path / "it's mine")
    done = cli("verify", "it's mine", cwd=tmp_path)
    command = done.stdout.splitlines()[-1].partition("trust: keras-integrity ")[2]
    run = f"{sys.executable} -m keras_integrity_hook.cli {command}"
    subprocess.run(["sh", "-c", run], cwd=tmp_path, env=environment(), check=True)
    assert cli("verify", "it's mine", cwd=tmp_path).stdout.count("sealed  ") == MANY


def test_the_summary_names_for_sealing_only_what_has_no_seal(mixed: Path) -> None:
    damaged, good, unsealed = "bad2.weights.h5", "good.weights.h5", "open.weights.h5"
    done = cli("verify", damaged, good, unsealed, cwd=mixed)
    assert done.stdout.endswith(f" keras-integrity seal {unsealed}\n")
    done = cli("verify", damaged, good, ".", cwd=mixed)
    assert done.stdout.endswith(" keras-integrity seal .\n")


def test_advice_about_one_model_names_it(mixed: Path) -> None:
    done = cli("verify", "open.weights.h5", "--junit", "j", "--sarif", "s", cwd=mixed)
    advice = "'keras-integrity seal open.weights.h5' adds one."
    assert advice in done.stdout
    for report in ("j", "s"):
        assert advice in (mixed / report).read_text()


def test_the_command_of_the_summary_takes_no_path_for_an_option(many: Path) -> None:
    many.rename(many.with_name("-models"))
    done = cli("verify", "--", "-models", cwd=many.parent)
    assert done.stdout.rstrip().endswith("keras-integrity seal ./-models")


@pytest.mark.parametrize("name", ["-{}", "a\nb{}", "it's {}"])
def test_what_to_do_is_said_once_however_the_files_are_called(name: str, tmp_path: Path) -> None:
    names = [f"{name.format(number)}.weights.h5" for number in range(3)]
    for one in names:
        (tmp_path / one).write_bytes(hdf5_bytes())
    done = cli(
        "verify", "--", *names, cwd=tmp_path, env=environment(KERAS_INTEGRITY_UNSEALED="reject")
    )
    assert done.returncode == 1
    assert done.stdout.count("keras-integrity seal ") == 1


def test_what_is_wrong_with_many_is_explained_once(many: Path) -> None:
    done = cli("verify", many, env=environment(KERAS_INTEGRITY_UNSEALED="reject"))
    assert done.returncode == 1
    assert done.stdout.count("one is required") == 1
    assert "300 refused" in done.stdout
    assert "--only-refused" in done.stdout
    assert len(done.stdout.splitlines()) == MANY + 5


def test_only_what_is_refused_is_listed_on_demand(mixed: Path) -> None:
    done = cli("verify", "--only-refused", mixed)
    listed = [line for line in done.stdout.splitlines() if line.startswith(("damaged", "sealed"))]
    assert done.returncode == 1
    assert len(listed) == 2
    assert "open.weights.h5" not in done.stdout
    assert "2 damaged" in done.stdout
    assert "1 sealed" in done.stdout


def test_quiet_prints_nothing_and_the_status_tells(mixed: Path) -> None:
    for path, status in ((mixed, 1), (mixed / "good.weights.h5", 0)):
        done = cli("verify", "-q", path)
        assert (done.stdout, done.stderr, done.returncode) == ("", "", status)


@pytest.mark.parametrize("command", ["seal", "unseal"])
def test_commands_that_write_can_be_quiet(mixed: Path, command: str) -> None:
    done = cli(command, "--quiet", mixed / "open.weights.h5", mixed / "good.weights.h5")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_quiet_still_tells_that_a_setting_is_wrong(mixed: Path) -> None:
    done = cli("verify", "-q", mixed, env=environment(KERAS_INTEGRITY_UNSEALED="rejcet"))
    assert done.returncode == 2
    assert "rejcet" in done.stderr


def test_the_summary_is_in_the_json(mixed: Path) -> None:
    summary = document(cli("verify", "--json", mixed))["summary"]
    assert summary["models"] == 5
    assert summary["refused"] == 2
    assert summary["states"] == {"skipped": 1, "sealed": 1, "unsealed": 1, "damaged": 2}
    assert summary["bytes"] > 4 * len(hdf5_bytes())
    assert summary["seconds"] >= 0


def test_one_model_has_no_summary(mixed: Path) -> None:
    assert len(cli("verify", mixed / "good.weights.h5").stdout.splitlines()) == 1


class TestJUnit:
    def test_each_model_is_a_test_case(self, mixed: Path) -> None:
        done = cli("verify", "mixed", "--junit", "junit.xml", cwd=mixed.parent)
        assert done.returncode == 1
        assert "2 refused" in done.stdout, "the text is there as well"
        (suite,) = ElementTree.parse(mixed.parent / "junit.xml").getroot()
        assert [suite.get(key) for key in ("tests", "failures", "errors", "skipped")] == [
            *("5", "2", "0", "1")
        ]
        cases = {case.get("name"): case for case in suite}
        failure = cases["mixed/bad <&>.weights.h5"].find("failure")
        assert failure is not None
        assert failure.get("type") == "checksum-mismatch"
        assert "trusted copy" in (failure.text or "")
        assert cases["mixed/elsewhere"].find("skipped") is not None
        assert cases["mixed/good.weights.h5"].find("failure") is None

    def test_a_file_name_that_is_no_text_leaves_the_xml_well_formed(self, tmp_path: Path) -> None:
        path = os.fsencode(tmp_path) + b"/caf\xe9\x01\x1b.weights.h5"
        with open(path, "wb") as file:
            file.write(hdf5_bytes())
        cli("verify", tmp_path, "--junit", tmp_path / "j.xml", "--sarif", tmp_path / "s.json")
        ElementTree.parse(tmp_path / "j.xml")
        (run,) = json.loads((tmp_path / "s.json").read_text())["runs"]
        (found,) = run["results"]
        place = found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert place.endswith("/caf%E9%01%1B.weights.h5")


class TestSarif:
    def test_refusals_are_errors_and_missing_seals_notes(self, mixed: Path) -> None:
        cli("verify", "./mixed", "--sarif", "found.sarif", cwd=mixed.parent)
        log = json.loads((mixed.parent / "found.sarif").read_text())
        assert log["version"] == "2.1.0"
        (run,) = log["runs"]
        found = {
            one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]: one["level"]
            for one in run["results"]
        }
        assert found == {
            "mixed/bad%20%3C%26%3E.weights.h5": "error",
            "mixed/bad2.weights.h5": "error",
            "mixed/open.weights.h5": "note",
        }
        rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
        assert rules == {one["ruleId"] for one in run["results"]}
        assert run["invocations"] == [{"executionSuccessful": True, "exitCode": 1}]
        assert len(sarif.results_of(mixed.parent / "found.sarif")) == len(run["results"])


class TestReportFiles:
    def test_a_report_takes_the_place_of_the_last_one(self, mixed: Path) -> None:
        for _ in range(2):
            assert cli("verify", mixed, "--junit", mixed.parent / "junit.xml").returncode == 1

    @pytest.mark.parametrize("option", ["--junit", "--sarif"])
    def test_a_model_in_the_place_of_the_report_is_kept(self, mixed: Path, option: str) -> None:
        model = mixed / "good.weights.h5"
        before = model.read_bytes()
        done = cli("verify", option, model, mixed)
        assert done.returncode == 2
        assert done.stdout == "", "told before the work"
        assert "overwritten" in done.stderr
        assert model.read_bytes() == before

    def test_a_report_that_cannot_be_written_is_told_before_the_work(self, mixed: Path) -> None:
        done = cli("verify", "--junit", mixed / "nowhere/junit.xml", mixed, "--json")
        assert done.returncode == 2
        assert document(done)["error"]["code"] == "configuration"

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root to make another user's link")
    def test_a_report_goes_through_no_link_of_another_user(self, mixed: Path) -> None:
        kept, link = mixed.parent / "kept.xml", mixed.parent / "report.xml"
        kept.write_text("<?xml of root's")
        link.symlink_to(kept)
        os.chown(link, 65534, 65534, follow_symlinks=False)
        done = cli("verify", "--junit", link, mixed)
        assert done.returncode == 2
        assert "cannot be written" in done.stderr
        assert kept.read_text() == "<?xml of root's"

    def test_a_directory_in_the_place_of_a_report_is_told_before_the_work(
        self, mixed: Path
    ) -> None:
        done = cli("verify", mixed, "--sarif", mixed)
        assert (done.returncode, done.stdout) == (2, "")
        assert "Is a directory" in done.stderr

    def test_a_file_that_takes_the_place_of_a_pipe_is_not_overwritten(self, mixed: Path) -> None:
        kept = mixed.parent / "kept"
        kept.write_bytes(b"root's")
        with pytest.raises(OSError, match="meanwhile"):
            ci_reports._hand_over(str(kept), b"a report")
        assert kept.read_bytes() == b"root's"

    def test_a_report_goes_through_a_link_of_ones_own(self, mixed: Path) -> None:
        link = mixed.parent / "report.xml"
        link.symlink_to(mixed.parent / "elsewhere.xml")
        cli("verify", "--junit", link, mixed)
        assert link.is_symlink()
        assert (mixed.parent / "elsewhere.xml").read_bytes().startswith(b"<?xml")

    def test_a_report_can_go_into_a_pipe(self, mixed: Path) -> None:
        done = cli("verify", "-q", "--sarif", "/dev/stdout", mixed)
        assert json.loads(done.stdout)["version"] == "2.1.0"
