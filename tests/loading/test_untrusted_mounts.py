# SPDX-License-Identifier: Apache-2.0
"""Models on file systems that serve what they like: the signed values, or a refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook import IntegrityError
from keras_integrity_hook.containers.kinds import KERAS_SHARDS, Place
from keras_integrity_hook.loading import pipeline as load
from tests.support import mounts
from tests.support.attacks import Publisher

GOOD, EVIL = np.float32(1).tobytes() * 500, np.float32(666).tobytes() * 500


def build(value: float) -> Any:
    import keras

    model = keras.Sequential([keras.Input((500,)), keras.layers.Dense(3000, use_bias=False)])
    model.set_weights([np.full((500, 3000), value, "float32")])
    return model


def forged(path: Path) -> Path:
    data = path.read_bytes()
    assert GOOD in data
    evil = path.with_name("evil")
    evil.write_bytes(data.replace(GOOD, EVIL))
    return evil


@pytest.mark.parametrize("verify", ["strict", "pipelined"])
@pytest.mark.parametrize("direct", [True, False], ids=["no page cache", "page cache"])
@pytest.mark.parametrize("name", ["m.weights.h5", "m.keras"])
def test_file_system_in_user_space_that_changes_its_mind_serves_no_unsigned_value(
    keras: Any,
    publisher: Publisher,
    signed_policy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    direct: bool,
    verify: str,
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_VERIFY", verify)
    path = tmp_path / name
    save = keras.Model.save_weights if name.endswith(".h5") else keras.Model.save
    save(build(1.0), path)
    kih.sign(path, key=str(publisher.key))
    model = build(0.0)
    with mounts.turncoat(name, path, forged(path), tmp_path / "mount", direct=direct) as at:
        try:
            if name.endswith(".h5"):
                model.load_weights(at / name)
            else:
                model = keras.saving.load_model(at / name)
        except IntegrityError:
            model = None
    if model is not None:
        assert {float(value) for value in np.unique(model.get_weights()[0])} <= {0.0, 1.0}


def test_large_file_of_a_set_without_a_lease_is_handed_over_as_a_copy(
    keras: Any, home: Path, tmp_path: Path
) -> None:
    """On a merged overlay, of whose layers anybody may write to the lower."""
    folders = {name: tmp_path / name for name in ("lower", "upper", "work")}
    for folder in folders.values():
        folder.mkdir()
    build(1.0).save_weights(folders["lower"] / "w.weights.json", max_shard_size=0.007)
    shard = next(folders["lower"].glob("*.h5"))
    options = ",".join(f"{name}dir={folder}" for name, folder in folders.items())
    for merged in mounts.mounted("-t", "overlay", "overlay", "-o", options, at=tmp_path / "merged"):
        place = Place(KERAS_SHARDS, str(merged), "w.weights.json")
        with load.verified_set(place.path, place) as checked:
            assert checked is not None
            good = shard.read_bytes()
            with open(shard, "r+b") as writer:
                writer.write(bytes(len(good)))
            assert Path(checked.path, shard.name).read_bytes() == good
