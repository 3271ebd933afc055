# SPDX-License-Identifier: Apache-2.0
"""``history show`` and ``history forget``, and what other commands say, as processes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from tests.support.models import archive_bytes, write_model
from tests.support.signers import let_trust, make_key

CLI = [sys.executable, "-m", "keras_integrity_hook.cli"]


def run(*arguments: object, code: int = 0, **variables: str) -> str:
    done = subprocess.run(
        [*CLI, *map(str, arguments)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def document(*arguments: object) -> Any:
    return json.loads(run(*arguments, "--json"))


@pytest.fixture
def signed(tmp_path: Path, home: Path) -> Path:
    """A signed model of version 1.4, at a path with an escape sequence in it."""
    folder = tmp_path / "models"
    folder.mkdir()
    path = folder / "fraud\x1b[31m.keras"
    path.write_bytes(archive_bytes())
    let_trust("release", make_key(tmp_path / "key"))
    with kih.provenance(name="fraud", version="1.4"):
        kih.seal(path)
    kih.sign(path, key=str(tmp_path / "key"))
    return path


def test_show_says_what_is_remembered(signed: Path) -> None:
    said = run("history", "show")
    assert run("history", "show", signed) == said
    assert "\x1b[31m" not in said
    for words in ("signed   ", "release (key ", "version 1.4 of 'fraud'", "since  "):
        assert words in said
    (entry,) = document("history", "show")["entries"]
    assert entry["path"] == str(signed)
    kind = entry["kinds"]["file"]
    assert list(kind["signers"].values()) == [["release"]]
    assert kind["highest_versions"] == {"fraud": "1.4"}
    assert kind["name"] == "fraud"


def test_what_nobody_saw_is_said_to_be_unknown(tmp_path: Path) -> None:
    assert "Nothing is remembered" in run("history", "show")
    assert "Nothing is remembered of that" in run("history", "show", tmp_path / "m.keras")
    assert document("history", "show")["entries"] == []
    assert "Nothing was remembered" in run("history", "forget", tmp_path / "m.keras")


def test_forget_takes_a_path_a_tree_or_all(tmp_path: Path, signed: Path) -> None:
    others = [write_model(signed.parent, f"{name}.keras") for name in "ab"]
    outside = write_model(tmp_path, "outside.keras")
    for path in (*others, outside):
        kih.seal(path)
    signed.unlink()  # it need not be there any more
    assert document("history", "forget", signed)["forgotten"] == [str(signed)]
    told = document("history", "forget", "-r", signed.parent)["forgotten"]
    assert told == sorted(map(str, others))
    assert document("history", "forget", "--all")["forgotten"] == [str(outside)]
    assert document("history", "show")["entries"] == []


def test_to_forget_needs_a_path_or_all(tmp_path: Path) -> None:
    assert "--all" in run("history", "forget", code=2)
    assert "--all" in run("history", "forget", "--all", tmp_path, code=2)


def test_a_link_to_a_model_is_the_model(tmp_path: Path, signed: Path) -> None:
    link = tmp_path / "latest.keras"
    link.symlink_to(signed)
    assert document("history", "show", link)["entries"][0]["path"] == str(signed)
    assert document("history", "forget", link)["forgotten"] == [str(signed)]


def test_forgetting_is_recorded(tmp_path: Path, signed: Path) -> None:
    log = tmp_path / "audit.jsonl"
    run("history", "forget", signed, KERAS_INTEGRITY_AUDIT_LOG=str(log))
    (event,) = map(json.loads, log.read_text().splitlines())
    assert (event["event"], event["outcome"]) == ("history", "forgotten")


def test_verify_says_it_in_its_result(tmp_path: Path, signed: Path) -> None:
    signed.write_bytes(archive_bytes())
    said = run("verify", signed)
    assert "contradicts what was seen before: it has no seal" in said
    assert "Warning" not in said
    (result,) = document("verify", signed)["results"]
    assert result["report"]["contradiction"].startswith("it has no seal")
    refused = run("verify", signed, code=1, KERAS_INTEGRITY_HISTORY="enforce")
    assert "history forget" in refused
    run("verify", signed, KERAS_INTEGRITY_HISTORY="off")
    run("history", "forget", signed)
    assert "contradicts" not in run("verify", signed)


def test_a_warning_is_in_the_audit_log_each_time(
    tmp_path: Path, signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_integrity_hook.loading import pipeline

    signed.write_bytes(archive_bytes())
    log = tmp_path / "audit.jsonl"
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(log))
    with pytest.warns(kih.HistoryWarning):
        pipeline.open_verified(str(signed)).close()
    pipeline.open_verified(str(signed)).close()
    events = map(json.loads, log.read_text().splitlines())
    told = [one for one in events if one["event"] == "history"]
    assert [one["outcome"] for one in told] == ["warned", "warned"]
    assert told[0]["facts"]["error"]["code"] == "stripped-model"


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_a_terminal(signed: Path, columns: int) -> None:
    reader, writer = pty.openpty()
    env = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    with subprocess.Popen(
        [*CLI, "history", "show"], env=env, stdout=writer, stderr=writer, stdin=writer
    ) as process:
        os.close(writer)
        said = b""
        while True:
            try:
                piece = os.read(reader, 65536)
            except OSError:  # the other end is closed
                break
            said += piece
        assert process.wait(60) == 0
    os.close(reader)
    assert b"\x1b[32m" in said  # a colour of ours, and none of the path's
    assert b"\x1b[31m" not in said
