# SPDX-License-Identifier: Apache-2.0
"""The page about an audit says what the results say, and whatever a model says in it is text."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2", reason="Jinja2 is not installed")
pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from keras_integrity_hook import api
from keras_integrity_hook.errors import FleetResultsError
from keras_integrity_hook.fleet.findings import Finding, Observation, Outcome, Refusal, State
from keras_integrity_hook.fleet.html_report import charts
from keras_integrity_hook.fleet.html_report.counts import OTHERS, Tally
from keras_integrity_hook.fleet.html_report.page import page, percent
from keras_integrity_hook.fleet.html_report.summary import Summary, summary_of
from keras_integrity_hook.fleet.results import Writer, folder_of, runs
from keras_integrity_hook.limits import LIMITS
from tests.support import audits
from tests.support.models import write_model
from tests.support.processes import cli, document, environment

NOW = datetime(2026, 11, 28, tzinfo=UTC)
NASTY = (
    "</code><script>document.title = 'taken'</script>\"'><img src=x onerror=alert(1)>\u202e\x1b[2J"
)


def write(directory: Path, *findings: Finding, begun: datetime = audits.BEGUN) -> str:
    """Results of one run with these findings."""
    run = replace(audits.a_run(), begun=begun)
    writer = Writer(str(directory), run)
    writer.add(findings)
    writer.end(len(findings))
    return str(directory)


def summary(directory: str) -> Summary:
    return summary_of(directory, runs(directory)[-1], NOW)


def good(**different: Any) -> Finding:
    """A finding of a model with which all is well."""
    model = Finding(
        location="/srv/models/good.keras",
        state=State.SEALED,
        outcome=Outcome.PASSED,
        examined=audits.BEGUN,
        container="keras-zip",
        assurance="signed",
        signers=("release",),
        algorithm="sha256",
        sealed_at=NOW - timedelta(days=30),
    )
    return replace(model, **different)


class TestSummary:
    def test_every_kind_of_finding_is_counted_where_it_belongs(self, tmp_path: Path) -> None:
        """Sixty findings, ten of each kind that audits write."""
        audits.write_audit(tmp_path, count=60, nights=1)
        told = summary(str(tmp_path))
        assert told.models == 60
        assert {one.value: told.state(one) for one in State} == {
            "sealed": 30,
            "unsealed": 10,
            "damaged": 10,
            "unknown": 10,
        }
        lists = (told.damaged, told.dangerous, told.refused, told.failed, told.unsealed)
        assert [one.count for one in lists] == [10] * 5
        assert told.reasons.by_name() == {
            "checksum-mismatch": 10,
            "dangerous-model": 10,
            "not-signed": 20,
        }
        assert told.troubles.by_name() == {"unreadable": 10}
        assert told.signers.by_name()["release"] == 10
        assert (told.signed, told.unsigned, told.unregistered) == (10, 20, 10)

    def test_a_model_with_one_reason_twice_counts_once(self, tmp_path: Path) -> None:
        refusal = Refusal("not-signed", "nobody has signed", "Sign it.")
        observation = Observation("gadget", "refuse", "runs")
        found = good(
            outcome=Outcome.REFUSED,
            refusals=(refusal, refusal),
            observations=(observation, observation),
        )
        told = summary(write(tmp_path, found, good()))
        assert told.reasons.by_name() == {"not-signed": 1}
        assert told.rules.by_name() == {"gadget": 1}

    def test_what_could_not_be_examined_is_no_refusal(self, tmp_path: Path) -> None:
        refusal = Refusal("unreadable", "it is gone", "Check the path.")
        gone = good(state=State.UNKNOWN, outcome=Outcome.FAILED, refusals=(refusal,))
        told = summary(write(tmp_path, gone))
        assert told.failed.count == 1
        assert told.refused.count == 0
        assert not told.reasons.by_name()

    def test_the_oldest_seals_come_first_and_ended_ones_are_counted(self, tmp_path: Path) -> None:
        days = [5, 900, 40, 2, 700]
        models = [
            good(
                location=str(number),
                sealed_at=NOW - timedelta(days=number),
                expires=NOW + timedelta(days=10 - number),
            )
            for number in days
        ]
        told = summary(write(tmp_path, *models))
        assert [row.location for row in told.oldest] == ["900", "700", "40", "5", "2"]
        assert (told.expired, told.expiring) == (3, 2)

    def test_results_without_a_single_model_make_a_page(self, tmp_path: Path) -> None:
        assert "0 models" in page(write(tmp_path))

    def test_times_that_no_calendar_has_do_no_harm(self, tmp_path: Path) -> None:
        """A program that is not ours may have written them."""
        directory = write(tmp_path, good())
        (part,) = Path(folder_of(directory, runs(directory)[0])).glob("*.parquet")
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pq.read_table(part)
        for name in ("sealed_at", "expires"):
            column = pa.array([2**62], pa.int64()).cast(table.schema.field(name).type)
            table = table.set_column(table.schema.get_field_index(name), name, column)
        pq.write_table(table, part)
        assert "good.keras" in page(directory)


class TestTallies:
    def test_names_without_number_are_counted_together(self) -> None:
        tally = Tally()
        for number in range(LIMITS.report_names + 10):
            tally.add(f"name-{number}")
        tally.add("name-7", 100)
        shares = tally.shares(whole=10_000)
        assert len(shares) == LIMITS.report_groups + 1
        assert shares[0].name == "name-7"
        assert shares[-1].name == OTHERS
        assert sum(one.count for one in shares) == LIMITS.report_names + 110

    def test_one_damaged_model_among_a_million_can_be_seen(self) -> None:
        sealed, damaged = charts.segments([("sealed", 999_999), ("damaged", 1)])
        assert damaged.width > 0.5
        assert sealed.width + damaged.width == pytest.approx(100)

    def test_nearly_all_are_not_said_to_be_all(self) -> None:
        assert [percent(one) for one in (0, 0.0001, 50, 33.33, 99.9999, 100)] == [
            *("0 %", "< 0.1 %", "50 %", "33.3 %", "> 99.9 %", "100 %")
        ]


class TestPage:
    def test_no_field_of_a_finding_can_put_markup_into_the_page(self, tmp_path: Path) -> None:
        """Text of strangers in every field; the page has the tags that it has without it."""
        made = page(write(tmp_path / "nasty", saying(NASTY)))
        assert tags(made) == tags(page(write(tmp_path / "tame", saying("x"))))
        assert made.count("&lt;script&gt;") >= 10
        assert "\x1b" not in made
        assert "\u202e" not in made

    def test_what_a_run_says_of_itself_is_text_too(self, tmp_path: Path) -> None:
        run = replace(audits.a_run(), verb=NASTY, locations=(NASTY,), policy=NASTY, hook=NASTY)
        Writer(str(tmp_path), run).end(0)
        assert "<script" not in page(str(tmp_path))

    def test_the_page_asks_nobody_for_anything(self, tmp_path: Path) -> None:
        audits.write_audit(tmp_path)
        made = page(str(tmp_path))
        assert "<script" not in made
        assert not re.search(r'(?:src|href|action)="(?!#|data:,)', made)
        assert "url(" not in made
        assert "@import" not in made
        assert " style=" not in made
        policy = re.search(r'Content-Security-Policy" content="([^"]+)"', made)
        assert policy is not None
        assert policy[1].startswith("default-src &#39;none&#39;; style-src &#39;sha256-")

    def test_runs_over_time_are_drawn_and_the_one_that_was_killed_says_so(
        self, tmp_path: Path
    ) -> None:
        written = audits.write_audit(tmp_path, nights=3)
        last, earlier = page(str(tmp_path)), page(str(tmp_path), run=written[1].run)
        assert "has not come to its end" in last
        assert "has not come to its end" not in earlier
        assert last.count("<polyline") == 3
        assert "in 3 runs" in last
        assert "in 2 runs" in earlier

    def test_each_step_that_is_due_is_named_with_its_command(self, tmp_path: Path) -> None:
        audits.write_audit(tmp_path, nights=1)
        made = page(str(tmp_path))
        for title in ("Restore 10 damaged", "Keep 10 dangerous", "Seal 10 unsealed", "Sign 20"):
            assert title in made
        assert "keras-integrity fleet seal s3://models/ /srv/models --out" in made

    def test_where_all_is_well_nothing_is_asked_for(self, tmp_path: Path) -> None:
        made = page(write(tmp_path, good(), good(location="/srv/models/other.keras")))
        assert "All 2 models pass" in made
        assert "Nothing is to be done" in made


def saying(text: str) -> Finding:
    """A finding that says ``text`` wherever it can."""
    return good(
        location=text,
        state=State.DAMAGED,
        outcome=Outcome.REFUSED,
        version=text,
        container=text,
        assurance=text,
        signers=(text,),
        algorithm=text,
        root=text,
        model=text,
        model_version=text,
        inspection=text,
        observations=(Observation(text, text, text),),
        refusals=(Refusal(text, text, text),),
        damaged_parts=(text,),
    )


def tags(made: str) -> list[str]:
    """The names of all tags of a page, in order, as a browser's parser finds them."""
    from html.parser import HTMLParser

    found: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            found.append(f"{tag} {sorted(name for name, _ in attrs)}")

    Parser().feed(made)
    return found


class TestCommand:
    def test_report_writes_one_page(self, tmp_path: Path) -> None:
        audits.write_audit(tmp_path / "audit")
        done = cli("report", "audit", "-o", "report.html", "--json", cwd=tmp_path)
        assert document(done)["bytes"] == (tmp_path / "report.html").stat().st_size
        again = cli("report", "audit", "-o", "report.html", cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        assert again.stdout.split()[:2] == ["written", "report.html"]

    def test_a_model_is_never_overwritten_by_a_page(self, tmp_path: Path) -> None:
        audits.write_audit(tmp_path / "audit")
        (tmp_path / "model.keras").write_bytes(b"PK\3\4 a model")
        done = cli("report", "audit", "-o", "model.keras", cwd=tmp_path)
        assert done.returncode == 2
        assert "would be overwritten" in done.stderr
        assert (tmp_path / "model.keras").read_bytes() == b"PK\3\4 a model"

    def test_what_is_no_audit_is_refused_in_a_sentence(self, tmp_path: Path) -> None:
        done = cli("report", tmp_path, "-o", tmp_path / "report.html")
        assert done.returncode == 1
        assert "there are no results of an audit" in done.stderr
        assert not (tmp_path / "report.html").exists()

    def test_a_run_that_is_not_there_is_answered_with_those_that_are(self, tmp_path: Path) -> None:
        (run,) = audits.write_audit(tmp_path, nights=1)
        with pytest.raises(FleetResultsError) as caught:
            page(str(tmp_path), run="20200101T000000Z-0000")
        assert run.run in caught.value.remedy()

    @pytest.mark.parametrize("content", [b"", b"PAR1 not so PAR1", b"\0" * 100])
    def test_a_damaged_part_is_one_error(self, tmp_path: Path, content: bytes) -> None:
        directory = write(tmp_path, good())
        (part,) = Path(folder_of(directory, runs(directory)[0])).glob("*.parquet")
        part.write_bytes(content)
        with pytest.raises(FleetResultsError):
            page(directory)

    def test_parquet_of_another_program_is_one_error(self, tmp_path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        directory = write(tmp_path, good())
        (part,) = Path(folder_of(directory, runs(directory)[0])).glob("*.parquet")
        pq.write_table(pa.table({"location": [1], "state": [[2]]}), part)
        with pytest.raises(FleetResultsError, match="none of an audit"):
            page(directory)


def test_a_real_audit_is_told_as_it_was(tmp_path: Path) -> None:
    """Sealed, damaged and unsealed files, examined by real workers, and then sealed."""
    pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    models = tmp_path / "models"
    models.mkdir()
    for name in ("good.keras", "damaged.keras", "unsealed.weights.h5"):
        write_model(models, name)
    api.seal(models / "good.keras")
    api.seal(models / "damaged.keras")
    data = (models / "damaged.keras").read_bytes()
    (models / "damaged.keras").write_bytes(data.replace(b"Sequential", b"sequential"))
    for verb in ("scan", "seal"):
        done = cli("fleet", verb, "models", "--workers", "1", "--out", "audit", cwd=tmp_path)
        assert done.returncode == 1, done.stderr
    first = runs(str(tmp_path / "audit"))[0].run
    before, after = page(str(tmp_path / "audit"), run=first), page(str(tmp_path / "audit"))
    assert "1 of 3 models would be refused" in before
    assert "Seal 1 unsealed model that you trust" in before
    assert "Every model has a seal" in after
    assert "<li><code>config.json</code></li>" in after
    assert after.count("damaged.keras") == before.count("damaged.keras") > 0


PEAK = """
import resource, sys
from keras_integrity_hook.fleet.html_report.page import page
made = page(sys.argv[1])
print(len(made), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def size_and_peak(directory: Path, models: int) -> tuple[int, int]:
    """Characters of the page about so many models, and KiB that a process needed for it.

    Every part has the same findings, half of which a person should look at.
    """
    each = 10_000
    run = audits.a_run()
    writer = Writer(str(directory), run)
    writer.add(audits.some_findings(run, each))
    writer.end(each)
    first = Path(folder_of(str(directory), run), "part-000000.parquet")
    for number in range(1, models // each):
        os.link(first, first.with_name(f"part-{number:06d}.parquet"))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, directory],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    characters, peak = map(int, done.stdout.split())
    return characters, peak


@pytest.mark.parametrize("models", [100_000, pytest.param(1_000_000, marks=pytest.mark.nightly)])
def test_memory_and_page_do_not_grow_with_the_number_of_models(tmp_path: Path, models: int) -> None:
    size, peak = size_and_peak(tmp_path / "few", 10_000)
    larger, higher = size_and_peak(tmp_path / "many", models)
    assert larger < 1.1 * size
    assert higher - peak < 64 * 1024
