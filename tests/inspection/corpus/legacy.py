# SPDX-License-Identifier: Apache-2.0
"""Attacks in the older formats: HDF5 files, Keras 2, the metadata that tf_keras reads."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.inspection.corpus import configs, formats
from tests.inspection.corpus.case import Case
from tests.inspection.corpus.configs import (
    Json,
    Object,
    function,
    legacy,
    legacy_dense,
    legacy_lambda,
    legacy_sequential,
)
from tests.inspection.corpus.constructs import ELSEWHERE, REVIEW
from tests.inspection.corpus.protobuf import message

_SYSTEM = function("os", "system")
_CODE = legacy_lambda()


def _wrapped(inner: Object) -> Object:
    return legacy("TimeDistributed", "wrapper", layer=inner)


def _functional(inner: Object) -> Object:
    nodes = [
        {**configs.legacy_input(), "name": "input", "inbound_nodes": []},
        {**inner, "name": "gadget", "inbound_nodes": [[["input", 0, 0, {}]]]},
    ]
    config = {"name": "model", "layers": nodes, "input_layers": [["input", 0, 0]]}
    return {
        "class_name": "Functional",
        "config": {**config, "output_layers": [["gadget", 0, 0]]},
    }


def sequential_with_code() -> Object:
    """A model of Keras 2 with code in a layer."""
    return legacy_sequential(_CODE)


def _in_models() -> Iterator[tuple[str, Object]]:
    yield "lambda", legacy_sequential(_CODE)
    yield "lambda in a functional model", _functional(_CODE)
    yield "lambda in a wrapper", legacy_sequential(_wrapped(_CODE))
    yield "lambda in a wrapper of a wrapper", legacy_sequential(_wrapped(_wrapped(_CODE)))
    yield "lambda in a model in a model", legacy_sequential(legacy_sequential(_functional(_CODE)))
    yield "lambda of Keras 3", legacy_sequential(legacy("Lambda", function=configs.code()))
    yield (
        "lambda in a list of layers",
        {"class_name": "Sequential", "config": [configs.legacy_input(), _CODE]},
    )
    yield "vocabulary", legacy_sequential(legacy("StringLookup", vocabulary=ELSEWHERE))
    yield "TFSMLayer", legacy_sequential(legacy("TFSMLayer", filepath=ELSEWHERE))
    yield "custom layer", legacy_sequential(legacy("my_pkg>Mine"))
    yield "custom layer, bare", legacy_sequential(legacy("Mine"))
    yield "custom activation", legacy_sequential(legacy_dense(activation="my_pkg>activate"))
    yield (
        "newer object in an older one",
        legacy_sequential(legacy_dense(activation=_SYSTEM)),
    )
    yield (
        "newer layer in an older model",
        legacy_sequential(configs.calling(_SYSTEM)),
    )
    yield (
        "passive serialization",
        legacy_sequential(
            legacy_dense(extra={**_CODE, "__passive_serialization__": True}),
        ),
    )
    # Keras looks legacy names up in the module of its layers, where there are functions, too.
    yield (
        "deserialize as a layer",
        legacy_sequential({"class_name": "deserialize", "config": {"config": _SYSTEM}}),
    )
    yield (
        "a module as a layer",
        legacy_sequential({"class_name": "serialization_lib", "config": {}}),
    )


_TRAINING: dict[str, Json] = {
    "loss": "mse",
    "metrics": None,
    "loss_weights": None,
    "optimizer_config": {"class_name": "Adam", "config": {"learning_rate": 0.001}},
}


def _trainings() -> Iterator[tuple[str, dict[str, Json]]]:
    yield "loss", {"loss": _SYSTEM}
    yield "losses by name", {"loss": {"a": _SYSTEM}}
    yield "metric", {"metrics": [_SYSTEM]}
    yield "weighted metric", {"weighted_metrics": [[_SYSTEM]]}
    yield "optimizer", {"optimizer_config": configs.obj("os", "system", {})}
    yield (
        "learning rate",
        {"optimizer_config": {"class_name": "Adam", "config": {"learning_rate": _SYSTEM}}},
    )
    yield "lambda as loss", {"loss": configs.code()}


def hdf5_cases() -> Iterator[Case]:
    """HDF5 files with an attack in the configuration of the model, or of its training."""
    for name, config in _in_models():
        advisory = "CVE-2025-9905" if "lambda" in name else ""
        yield Case(f"{name}/hdf5", "model.h5", formats.hdf5(config), REVIEW, advisory)
    harmless = legacy_sequential(legacy_dense())
    for name, changed in _trainings():
        write = formats.hdf5(harmless, {**_TRAINING, **changed})
        yield Case(f"training {name}/hdf5", "model.h5", write, REVIEW)
    yield Case(
        "lambda by another name/hdf5",
        "model.hdf5",
        formats.hdf5(legacy_sequential(_CODE)),
        REVIEW,
        "CVE-2024-3660",
    )
    yield Case(
        "lambda in a file named keras/hdf5",
        "model.keras",
        formats.hdf5(legacy_sequential(_CODE)),
        REVIEW,
        "CVE-2025-9905",
    )


def metadata(*nodes: Object) -> bytes:
    """``keras_metadata.pb`` of a SavedModel: JSON for each layer (saved_metadata.proto)."""
    version = message({1: 1, 2: 1})
    return b"".join(
        message(
            {
                1: message(
                    {
                        2: number,
                        3: b"root" if not number else f"root.layer-{number}".encode(),
                        4: b"_tf_keras_sequential" if not number else b"_tf_keras_layer",
                        5: json.dumps(node).encode(),
                        6: version,
                    }
                )
            }
        )
        for number, node in enumerate(nodes)
    )


def saved_model_metadata() -> Iterator[tuple[str, bytes]]:
    """``keras_metadata.pb`` with attacks, by the name of the case."""
    for name, config in _in_models():
        node = {"name": "sequential", **config, "batch_input_shape": None, "is_graph_network": True}
        yield name, metadata(node, {"name": "dense", **legacy_dense()})
    yield "lambda as a node", metadata({"name": "sequential"}, {"name": "gadget", **_CODE})
    training = {
        "name": "m",
        **legacy_sequential(),
        "training_config": {**_TRAINING, "loss": _SYSTEM},
    }
    yield "training", metadata(training)
