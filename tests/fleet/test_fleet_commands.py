# SPDX-License-Identifier: Apache-2.0
"""``keras-integrity fleet`` as it is used: real workers, a real S3 server, and what people see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_integrity_hook import api
from keras_integrity_hook.fleet import results
from keras_integrity_hook.fleet.findings import Outcome, State
from tests.support.buckets import Bucket, s3_server
from tests.support.models import write_model

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")


def run(
    *arguments: str, cwd: Path, status: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keras_integrity_hook.cli", "fleet", *arguments]
    variables = {**os.environ, **environment}
    done = subprocess.run(
        command, cwd=cwd, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with s3_server(tmp_path_factory.mktemp("s3")) as (endpoint, log):
        yield Bucket(endpoint, "fleet", log)


def test_a_bucket_is_audited_sealed_and_each_byte_of_it_read_once(
    bucket: Bucket, tmp_path: Path
) -> None:
    sealed = write_model(tmp_path, "good.keras")
    api.seal(sealed)
    good, data = sealed.read_bytes(), bytearray(sealed.read_bytes())
    data[3000] ^= 1
    bucket.write("a/good.keras", good)
    bucket.write("a/b/bad.keras", bytes(data))
    bucket.write("c/plain.weights.h5", write_model(tmp_path, "plain.weights.h5").read_bytes())
    stored = {name: len(bucket.read(name)) for name in bucket.names()}
    bucket.requests()
    done = run(
        *("scan", bucket.url, "--workers", "2", "--out", "out", "--json"),
        cwd=tmp_path,
        status=1,
        **bucket.environment,
    )
    told = json.loads(done.stdout)
    asked = [one for one in bucket.requests() if one.method == "GET"]
    read = {
        name: sum(one.sent for one in asked if one.path.endswith(f"/{name}")) for name in stored
    }
    assert read == stored
    assert told["bytes_read"] == sum(stored.values())
    assert told["outcomes"] == {"passed": 2, "refused": 1}
    assert told["refusals"] == {"checksum-mismatch": 1}
    assert (told["command"], told["ok"]) == ("fleet scan", False)
    run("seal", bucket.url, "--out", "out", "-q", cwd=tmp_path, status=1, **bucket.environment)
    last = results.runs(str(tmp_path / "out"))[-1]
    found = {one.location: one for one in results.findings_of(str(tmp_path / "out"), last)}
    plain = found[f"{bucket.url}/c/plain.weights.h5"]
    assert (plain.state, plain.outcome) == (State.SEALED, Outcome.PASSED)
    assert len(bucket.read("c/plain.weights.h5")) > stored["c/plain.weights.h5"]
    assert bucket.read("a/b/bad.keras") == bytes(data)


def test_what_is_printed_names_what_needs_somebody(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for number in range(3):
        api.seal(write_model(folder, f"{number}.keras"))
    (folder / "b\x1b[2Jad.keras").write_text("no model")
    done = run("scan", "models", "--workers", "1", "--out", "out", cwd=tmp_path, status=1)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["refused", "models/b\\x1b[2Jad.keras"]
    assert "neither a Keras archive nor HDF5" in lines[1]
    assert ["passed", "3", "models"] in [line.split() for line in lines]
    assert any(line.split() == ["1", "not-a-model"] for line in lines)
    assert lines[-1].startswith("Results: out/run-")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scan", "x"], "Missing option '--out'"),
        (["scan", "--out", "out"], "Missing argument"),
        (["scan", "x", "--out", "out", "--workers", "0"], "--workers"),
        (["scan", "x", "--out", "out", "--workers", "1", "--scheduler", "tcp://a:1"], "give one"),
        (["scan", "x", "--out", "out", "--policy", "none.toml"], "the policy is not there"),
        (["scan", "x", "--out", "out", "--policy", "bad.toml"], "nonsense"),
        (["sign", "x", "--out", "out"], "Missing option '--key'"),
    ],
)
def test_wrong_command_lines_and_policies_are_told_before_anything_begins(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "bad.toml").write_text("nonsense = 1\n")
    done = run(*arguments, cwd=tmp_path, status=2)
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


def test_results_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    done = run("scan", "x", "--out", "out", cwd=tmp_path, status=1)
    assert "directory of results cannot be made" in done.stderr


def test_what_is_not_there_is_a_finding(tmp_path: Path) -> None:
    run("scan", "none.keras", "--workers", "1", "--out", "out", "-q", cwd=tmp_path, status=1)
    (last,) = results.runs(str(tmp_path / "out"))
    (found,) = results.findings_of(str(tmp_path / "out"), last)
    assert (found.location, found.outcome) == ("none.keras", Outcome.FAILED)
