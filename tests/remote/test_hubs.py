# SPDX-License-Identifier: Apache-2.0
"""``load_model("hf://…")``: what the hub's client downloaded is checked, and called by its URL.

The client alone is replaced: by one that has the files already.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih

URL = "hf://somebody/model"


@pytest.fixture
def model(keras: Any) -> Any:
    if not hasattr(keras.src.saving.saving_lib, "_load_model_from_dir"):
        pytest.skip("this version of Keras knows no hub")
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")])


@pytest.fixture
def snapshot(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the client says that it has put the model."""
    client = pytest.importorskip("huggingface_hub")
    folder = tmp_path / "cache" / "models--somebody--model" / "snapshots" / "1"
    folder.parent.mkdir(parents=True)
    model.save(folder, zipped=False)
    monkeypatch.setattr(client, "snapshot_download", lambda **options: str(folder))
    return folder


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_model_on_a_hub_is_checked(keras: Any, model: Any, snapshot: Path) -> None:
    loaded = keras.models.load_model(URL)
    pairs = zip(loaded.get_weights(), model.get_weights(), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_damaged_model_on_a_hub_is_refused_by_its_url(
    keras: Any, snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(snapshot / "model.weights.h5")
    log = tmp_path / "audit.jsonl"
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(log))
    with pytest.raises(kih.ChecksumMismatchError) as caught:
        keras.models.load_model(URL)
    assert caught.value.path == URL
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert {event["path"] for event in events if event["event"] == "refusal"} == {URL}


def test_rules_of_a_policy_are_for_models_on_hubs(
    keras: Any, snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[[rules]]\npath = "hf://somebody/**"\nunsealed = "reject"\n')
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(policy))
    os.unlink(snapshot / "keras_integrity.seal")
    monkeypatch.setenv("KERAS_INTEGRITY_HISTORY", "off")  # it was saved where it lies
    with pytest.raises(kih.UnsealedModelError, match=URL):
        keras.models.load_model(URL)
    monkeypatch.delenv("KERAS_INTEGRITY_POLICY")
    with pytest.warns(kih.UnsealedModelWarning, match=URL):
        keras.models.load_model(URL)
