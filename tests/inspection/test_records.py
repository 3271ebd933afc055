# SPDX-License-Identifier: Apache-2.0
"""What is recorded of an inspection: what stops a load, and what does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "audit.jsonl"
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(path))
    return path


def events(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def saved(keras: Any, path: Path, layer: Any) -> Path:
    keras.Sequential([keras.Input((3,)), layer]).save(path)
    return path


def test_findings_that_do_not_stop_a_load_are_recorded_before_it(
    keras: Any, tmp_path: Path, log: Path
) -> None:
    class Scale(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * 2

    path = saved(keras, tmp_path / "m.keras", Scale())
    keras.models.load_model(path, custom_objects={"Scale": Scale})
    _, found, loaded = events(log)
    assert (found["event"], found["outcome"], found["path"]) == ("inspection", "review", str(path))
    (finding,) = found["facts"]["findings"]
    assert (finding["rule"], finding["verdict"]) == ("custom-object", "review")
    assert finding["object"].endswith("Scale")
    assert (loaded["event"], loaded["outcome"]) == ("load", "ok")


def test_a_refusal_records_what_was_found(keras: Any, tmp_path: Path, log: Path) -> None:
    path = saved(keras, tmp_path / "m.keras", keras.layers.Lambda(lambda x: x * 2))
    with pytest.raises(kih.DangerousModelError):
        keras.models.load_model(path)
    _, refused = events(log)
    assert (refused["event"], refused["outcome"]) == ("refusal", "refused")
    error = refused["facts"]["error"]
    assert error["code"] == "dangerous-model"
    assert "lambda-code" in [one["rule"] for one in error["evidence"]["findings"]]


def test_a_model_in_which_nothing_was_found_leaves_no_line_for_it(
    keras: Any, tmp_path: Path, log: Path
) -> None:
    path = saved(keras, tmp_path / "m.keras", keras.layers.Dense(2))
    keras.models.load_model(path)
    assert [event["event"] for event in events(log)] == ["save", "load"]
