# SPDX-License-Identifier: Apache-2.0
"""What an audit writes: whole files that other programs read, and no text that can hurt them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook.errors import FleetResultsError
from keras_integrity_hook.fleet import findings, results, targets
from keras_integrity_hook.fleet.findings import Finding, Observation, Outcome, Refusal, State
from keras_integrity_hook.fleet.targets import Target
from keras_integrity_hook.limits import LIMITS
from tests.support.audits import a_run, some_findings, write_audit

pq = pytest.importorskip("pyarrow.parquet")


def test_findings_come_back_from_parquet_as_they_were(tmp_path: Path) -> None:
    for run in write_audit(tmp_path, count=30):
        assert list(results.findings_of(str(tmp_path), run)) == list(some_findings(run, 30))


def test_a_finding_of_nothing_but_a_failure_comes_back_as_it_was() -> None:
    bare = Finding("x.keras", State.UNKNOWN, Outcome.FAILED, datetime(2026, 1, 1, tzinfo=UTC))
    (row,) = findings.table([bare]).to_pylist()
    assert Finding.from_row(row) == bare


def test_runs_are_listed_by_time_and_one_that_was_killed_has_no_end(tmp_path: Path) -> None:
    written = write_audit(tmp_path, nights=4)
    assert results.runs(str(tmp_path)) == written
    assert [run.ended is None for run in written] == [False, False, False, True]


def test_the_ids_of_runs_sort_by_time_within_a_second_too() -> None:
    made = [results.new_run("scan", ["x"]).run for _ in range(200)]
    assert made == sorted(made)
    assert len(set(made)) == 200


def test_each_file_has_the_schema_whatever_is_in_it(tmp_path: Path) -> None:
    (run,) = write_audit(tmp_path, count=1, nights=1)
    (part,) = results.parts(str(tmp_path), run)
    assert pq.read_schema(part).equals(findings.schema())


def test_what_a_store_makes_up_is_no_end_of_an_audit() -> None:
    target = Target("odd://bucket/\ud800.keras", size=10**30, version="\udfff")
    facts: dict[str, Any] = {
        "location": target.location,
        "size": target.size,
        "version": target.version,
    }
    at = datetime(2026, 1, 1, tzinfo=UTC)
    finding = Finding(state=State.UNKNOWN, outcome=Outcome.FAILED, examined=at, **facts)
    (row,) = findings.table([finding]).to_pylist()
    assert (row["size"], row["location"]) == (2**63 - 1, "odd://bucket/\\ud800.keras")
    assert target.key != replace(target, version="\udffe").key
    assert targets.version_of([(target.location, target.size, target.version)])


def test_a_run_that_is_gone_on_with_writes_beside_what_is_there(tmp_path: Path) -> None:
    run = a_run()
    for _ in range(3):
        with results.Writer(str(tmp_path), run) as writer:
            writer.add(some_findings(run, 6))
            writer.flush()
    assert len(results.parts(str(tmp_path), run)) == 3
    assert len(list(results.findings_of(str(tmp_path), run))) == 18


def test_two_that_go_on_with_one_run_do_not_write_over_each_other(tmp_path: Path) -> None:
    run = a_run()
    with results.Writer(str(tmp_path), run) as first:
        with pytest.raises(FleetResultsError, match="at work"):
            results.Writer(str(tmp_path), run)
        with results.Writer(str(tmp_path), a_run(1)):
            first.add(some_findings(run, 6))
            first.flush()
    with results.Writer(str(tmp_path), run) as second:
        second.add(some_findings(run, 6))
        second.flush()
    assert len(list(results.findings_of(str(tmp_path), run))) == 12


def test_what_somebody_put_beside_the_parts_is_none_of_them(tmp_path: Path) -> None:
    (run,) = write_audit(tmp_path, count=6, nights=1)
    (part,) = results.parts(str(tmp_path), run)
    Path(f"{part}.bak").write_bytes(b"a copy")
    assert results.parts(str(tmp_path), run) == [part]
    results.Writer(str(tmp_path), run).close()  # goes on with it


def test_texts_of_hostile_models_are_bounded_and_unicode(tmp_path: Path) -> None:
    run = a_run()
    (good,) = some_findings(run, 1)
    text = "\ud800" + "x" * 1_000_000
    hostile = replace(
        good,
        location="s3://b/\udcff.keras",
        model=text,
        signers=(text,) * 5_000,
        observations=(Observation(text, text, text),) * 5_000,
        refusals=(Refusal(text, text, text),) * 5_000,
        damaged_parts=(text,) * 5_000,
    )
    with results.Writer(str(tmp_path), run) as writer:
        writer.add([hostile])
        writer.flush()
    (read,) = results.findings_of(str(tmp_path), run)
    assert read.location == "s3://b/\\udcff.keras"
    assert len(read.observations) == len(read.refusals) == LIMITS.finding_items
    assert len(read.refusals[0].cause) <= LIMITS.finding_text + 5
    assert Path(results.parts(str(tmp_path), run)[0]).stat().st_size < 100_000


@pytest.mark.parametrize("facts", ["", "{}", "[", '{"run": 1}', "[" * 100_000])
def test_what_a_run_says_of_itself_is_not_believed_blindly(tmp_path: Path, facts: str) -> None:
    (run,) = write_audit(tmp_path, count=1, nights=1)
    (Path(results.folder_of(str(tmp_path), run)) / "run.json").write_text(facts)
    with pytest.raises(FleetResultsError):
        results.runs(str(tmp_path))


def test_a_part_that_is_no_parquet_is_an_error_with_its_path(tmp_path: Path) -> None:
    (run,) = write_audit(tmp_path, count=1, nights=1)
    (part,) = results.parts(str(tmp_path), run)
    Path(part).write_bytes(b"PAR1 no longer")
    with pytest.raises(FleetResultsError) as caught:
        list(results.findings_of(str(tmp_path), run))
    assert caught.value.path == part


def test_a_directory_that_is_not_there_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(FleetResultsError, match="cannot be read"):
        results.runs(str(tmp_path / "none"))
