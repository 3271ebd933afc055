# SPDX-License-Identifier: Apache-2.0
"""An audit of many models: each is examined once, and what happens to one stops no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook import api
from keras_integrity_hook.errors import (
    ConfigurationError,
    FleetResultsError,
    FleetWorkersError,
)
from keras_integrity_hook.fleet import audit, results
from keras_integrity_hook.fleet.findings import Finding, Outcome, State
from keras_integrity_hook.fleet.options import Options, Verb
from tests.support.models import archive_bytes, write_model

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")

SLOWLY = str(Path(__file__).with_name("slowly.py"))


def of_last_run(out: Path) -> list[Finding]:
    return list(results.findings_of(str(out), results.runs(str(out))[-1]))


def by_location(found: list[Finding]) -> dict[str, Finding]:
    each = {one.location: one for one in found}
    assert len(each) == len(found), "a model has two findings"
    return each


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A directory of models of each kind: good, plain, damaged, and none at all."""
    folder = tmp_path / "models"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("good.keras", "bad.keras"):
        api.seal(write_model(folder, name))
    data = bytearray((folder / "bad.keras").read_bytes())
    data[3000] ^= 1
    (folder / "bad.keras").write_bytes(data)
    write_model(folder / "deep" / "er", "plain.weights.h5")
    (folder / "deep" / "text.keras").write_text("no model")
    return folder


def test_every_model_has_its_finding(models: Path, tmp_path: Path, scheduler: str) -> None:
    out = tmp_path / "out"
    run, progress = audit.audit([str(models)], Options(), str(out), scheduler=scheduler)
    found = by_location(of_last_run(out))
    assert {Path(path).name: one.state for path, one in found.items()} == {
        "good.keras": State.SEALED,
        "bad.keras": State.DAMAGED,
        "plain.weights.h5": State.UNSEALED,
        "text.keras": State.UNKNOWN,
    }
    assert results.runs(str(out)) == [run]
    assert run.ended is not None
    assert (run.examined, progress.examined) == (4, 4)
    assert progress.outcomes == {Outcome.PASSED: 2, Outcome.REFUSED: 2}
    assert progress.codes == {"checksum-mismatch": 1, "not-a-model": 1}
    assert {one.run for one in found.values()} == {run.run}


def test_a_store_and_a_disk_in_one_run(
    models: Path, tmp_path: Path, scheduler: str, odd: Any
) -> None:
    odd.objects["bucket/x/a.keras"] = (models / "good.keras").read_bytes()
    out = tmp_path / "out"
    audit.audit([str(models), "odd://bucket"], Options(), str(out), scheduler=scheduler)
    found = by_location(of_last_run(out))
    assert found["odd://bucket/x/a.keras"].state is State.SEALED
    assert len(found) == 5


def test_where_no_model_is_found_none_was_refused_and_it_is_no_good_news(
    tmp_path: Path, scheduler: str, odd: Any
) -> None:
    (tmp_path / "empty").mkdir()
    odd.objects["bucket/x/README.md"] = b"x"
    lost = tmp_path / "lost"
    lost.mkdir()
    for name in ("ckpt.index", "ckpt.data-00000-of-00001"):
        (lost / name).write_bytes(b"variables")
    api.seal(lost / "ckpt")
    (lost / "ckpt.index").unlink()
    named = [str(tmp_path / "empty"), "odd://bucket", str(lost)]
    _, progress = audit.audit(named, Options(), str(tmp_path / "out"), scheduler=scheduler)
    found = by_location(of_last_run(tmp_path / "out"))
    for location in named[:2]:
        one = found[location]
        assert (one.state, one.outcome) == (State.UNKNOWN, Outcome.FAILED)
        assert [refusal.code for refusal in one.refusals] == ["not-a-model"]
    left = found[str(lost / "ckpt")]
    assert (left.state, left.outcome) == (State.DAMAGED, Outcome.REFUSED)
    assert (progress.examined, progress.models) == (3, 1)


def test_a_model_to_which_several_locations_lead_is_examined_once(
    tmp_path: Path, scheduler: str, odd: Any
) -> None:
    for number in range(50):
        odd.objects[f"bucket/x/{number}.keras"] = archive_bytes()
    out, urls = tmp_path / "out", ["odd://bucket/x", "odd://bucket", "odd://bucket/x/1.keras"]
    audit.audit(urls, Options(), str(out), scheduler=scheduler)
    assert len(by_location(of_last_run(out))) == 50
    assert all(odd.read[path] == len(data) for path, data in odd.objects.items())


def test_the_policy_that_is_given_is_in_force_for_all(
    models: Path, tmp_path: Path, scheduler: str
) -> None:
    out = tmp_path / "out"
    options = Options(policy='unsealed = "reject"\n')
    audit.audit([str(models)], options, str(out), scheduler=scheduler)
    found = by_location(of_last_run(out))
    plain = found[str(models / "deep/er/plain.weights.h5")]
    assert [one.code for one in plain.refusals] == ["unsealed"]
    assert found[str(models / "good.keras")].outcome is Outcome.PASSED


def test_a_policy_with_a_mistake_begins_nothing(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        audit.audit([str(models)], Options(policy="nonsense = 1"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_scheduler_that_is_not_there_is_an_error(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_integrity_hook.fleet import workers

    monkeypatch.setattr(workers, "_SECONDS_TO_CONNECT", 1)
    with pytest.raises(FleetWorkersError, match="does not answer"):
        audit.audit([str(models)], Options(), str(tmp_path / "out"), scheduler="tcp://127.0.0.1:9")


def test_runs_lie_side_by_side(models: Path, tmp_path: Path, scheduler: str) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        audit.audit([str(models)], Options(), str(out), scheduler=scheduler, resume=True)
    assert [run.examined for run in results.runs(str(out))] == [4, 4]


def test_what_ended_is_not_gone_on_with_and_other_locations_are_refused(
    models: Path, tmp_path: Path, scheduler: str
) -> None:
    out = str(tmp_path / "out")
    results.Writer(
        out, results.new_run("scan", ["elsewhere"])
    ).close()  # as if it had been killed at once
    with pytest.raises(FleetResultsError, match="other locations"):
        audit.audit([str(models)], Options(), out, scheduler=scheduler, resume=True)


def test_what_was_examined_before_is_not_read_again_unless_it_changed(
    tmp_path: Path, scheduler: str, odd: Any
) -> None:
    for number in range(20):
        odd.objects[f"bucket/{number}.keras"] = archive_bytes()
    out, urls = str(tmp_path / "out"), ["odd://bucket"]
    run, _ = audit.audit(urls, Options(), out, scheduler=scheduler)
    from dataclasses import replace

    results.Writer(out, replace(run, ended=None)).close()  # as if it had been killed at its end
    odd.objects["bucket/7.keras"] = archive_bytes(metadata=b'{"keras_version": "3.15.0"}')
    odd.read.clear()
    _, progress = audit.audit(urls, Options(), out, scheduler=scheduler, resume=True)
    assert set(odd.read) == {"bucket/7.keras"}
    assert (progress.before, progress.examined) == (20, 21)


def test_seal_and_sign_change_every_model_that_is_one(
    models: Path, tmp_path: Path, scheduler: str, home: Path
) -> None:
    from tests.support.signers import let_trust, make_key

    key = tmp_path / "release.key"
    let_trust("release", make_key(key))
    out = str(tmp_path / "out")
    audit.audit([str(models)], Options(Verb.SEAL), out, scheduler=scheduler)
    sealed = by_location(of_last_run(tmp_path / "out"))
    assert sealed[str(models / "deep/er/plain.weights.h5")].state is State.SEALED
    audit.audit([str(models)], Options(Verb.SIGN, key=str(key)), out, scheduler=scheduler)
    signed = by_location(of_last_run(tmp_path / "out"))
    assert signed[str(models / "good.keras")].signers == ("release",)
    assert signed[str(models / "bad.keras")].outcome is Outcome.REFUSED
    assert api.verify(models / "deep/er/plain.weights.h5").signers == ("release",)


def _started(out: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "DASK_DISTRIBUTED__WORKER__PRELOAD": SLOWLY}
    command = [sys.executable, "-m", "keras_integrity_hook.cli", "fleet", "scan", "--out", str(out)]
    return subprocess.Popen(
        [*command, "--workers", "2", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )


def test_a_run_that_was_killed_is_gone_on_with_and_finds_each_model_once(tmp_path: Path) -> None:
    folder, out = tmp_path / "models", tmp_path / "out"
    folder.mkdir()
    sealed = write_model(folder, "0.keras")
    api.seal(sealed)
    for name in (*range(1, 199), "held"):
        (folder / f"{name}.keras").write_bytes(sealed.read_bytes())
    first = _started(out, str(folder))
    while not list(out.glob("run-*/part-*.parquet")):
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    (tmp_path / "go-on").touch()
    (killed,) = results.runs(str(out))
    before = len(of_last_run(out))
    assert killed.ended is None
    assert 0 < before < 200
    second = _started(out, "--resume", "--json", str(folder))
    told, trouble = second.communicate(timeout=250)
    assert second.returncode == 0, trouble
    assert len(by_location(of_last_run(out))) == 200
    (run,) = results.runs(str(out))
    assert (run.run, run.examined) == (killed.run, 200)
    assert f'"resumed": {before}'.encode() in told


def test_what_still_goes_on_is_not_gone_on_with_by_another(tmp_path: Path) -> None:
    folder, out = tmp_path / "models", tmp_path / "out"
    folder.mkdir()
    for name in (*range(9), "held"):
        (folder / f"{name}.keras").write_bytes(archive_bytes())
    first = _started(out, str(folder))
    while not list(out.glob("run-*/run.json")):
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    second = _started(out, "--resume", str(folder))
    _, trouble = second.communicate(timeout=250)
    assert (second.returncode, b"at work" in trouble) == (1, True), trouble
    (tmp_path / "go-on").touch()
    _, trouble = first.communicate(timeout=250)
    assert first.returncode == 0, trouble
    assert len(by_location(of_last_run(out))) == 10


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill of this kind")
def test_what_a_killed_run_left_where_temporary_files_go_the_next_one_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out, temporary = tmp_path / "models", tmp_path / "out", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    for number in range(200):
        (folder / f"{number}.keras").write_bytes(archive_bytes())
    first = _started(out, str(folder))
    while not list(out.glob("run-*/part-*.parquet")):
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    first.kill()
    first.communicate()  # and its workers, which have the same ends of its pipes
    assert list(temporary.iterdir())
    done = _started(out, "--resume", str(folder))
    _, trouble = done.communicate(timeout=120)
    assert done.returncode == 0, trouble
    assert not list(temporary.iterdir())


def test_a_model_that_kills_its_worker_is_a_finding_and_the_others_have_theirs(
    tmp_path: Path,
) -> None:
    folder, out = tmp_path / "models", tmp_path / "out"
    folder.mkdir()
    for number in range(8):
        api.seal(write_model(folder, f"{number}.keras"))
    write_model(folder, "killer.keras")
    done = _started(out, str(folder))
    told, trouble = done.communicate(timeout=280)
    assert done.returncode == 1, trouble
    found = by_location(of_last_run(out))
    lost = found.pop(str(folder / "killer.keras"))
    assert (lost.outcome, lost.refusals[0].code) == (Outcome.FAILED, "worker-lost")
    assert {one.outcome for one in found.values()} == {Outcome.PASSED}
    assert len(found) == 8
    assert b"worker-lost" in told
