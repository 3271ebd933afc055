# SPDX-License-Identifier: Apache-2.0
"""Round trips of generated models under generated file names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_integrity_hook as kih

# What a file system and Keras both accept in a base name; control characters have a test elsewhere.
stems = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="/\\:"),
    min_size=1,
    max_size=40,
)
layer_names = st.lists(
    st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,20}", fullmatch=True),
    min_size=1,
    max_size=5,
    unique_by=str.lower,
)


@given(stem=stems, names=layer_names, units=st.integers(1, 40))
@settings(max_examples=max(20, settings().max_examples // 3))
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5"])
def test_generated_models_survive_a_sealed_round_trip(
    keras: Any,
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    stem: str,
    names: list[str],
    units: int,
) -> None:
    layers = [keras.layers.Dense(units, name=name) for name in names]
    model = keras.Sequential([keras.layers.Input((3,)), *layers])
    path = tmp_path_factory.mktemp("generated") / f"{stem}{suffix}"
    if len(path.name.encode()) > 200:
        return
    if suffix == ".weights.h5":
        model.save_weights(path)
        loaded = keras.models.clone_model(model)
        loaded.load_weights(path)
    else:
        model.save(path)
        loaded = keras.models.load_model(path)
    assert kih.verify(path).state == "sealed"
    pairs = zip(model.get_weights(), loaded.get_weights(), strict=True)
    assert all(np.array_equal(mine, theirs) for mine, theirs in pairs)
