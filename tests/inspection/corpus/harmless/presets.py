# SPDX-License-Identifier: Apache-2.0
"""KerasHub: small backbones, tasks with preprocessors, as presets and as ``.keras`` files."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.inspection.corpus.harmless.writing import write_config

_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "eval", "exec", "os"]

# What a backbone takes, small, by the name of the argument.
_SMALL: dict[str, Any] = {
    "vocabulary_size": 9, "num_layers": 1, "num_heads": 2, "num_query_heads": 2,
    "num_key_value_heads": 1, "hidden_dim": 8, "intermediate_dim": 16, "max_sequence_length": 8,
    "dropout": 0.1, "head_dim": 4, "embedding_dim": 8, "bucket_size": 4, "num_mels": 8,
    "max_encoder_sequence_length": 8, "max_decoder_sequence_length": 8, "cross_dim": 8,
    "num_groups": 1, "num_segments": 2, "image_shape": (32, 32, 3),
    "input_conv_filters": [4], "input_conv_kernel_sizes": [3], "stackwise_num_filters": [64, 64],
    "stackwise_num_blocks": [1, 1], "stackwise_num_strides": [1, 2], "block_type": "basic_block",
    "use_pre_activation": False, "stackwise_num_repeats": [1, 1], "growth_rate": 4,
    "compression_ratio": 0.5, "mlp_dim": 16, "num_channels": 3, "patch_size": 8,
    "use_mha_bias": True, "use_mlp_bias": True, "dropout_rate": 0.0,
}  # fmt: skip


def _backbones() -> dict[str, Any]:
    import keras_hub

    made: dict[str, Any] = {}
    for name in sorted(dir(keras_hub.models)):
        kind = getattr(keras_hub.models, name)
        if not (inspect.isclass(kind) and name.endswith("Backbone") and name != "Backbone"):
            continue
        parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
        known = {p.name: _SMALL[p.name] for p in parameters if p.name in _SMALL}
        unknown = [p for p in parameters if p.default is p.empty and p.name not in _SMALL]
        if [p for p in unknown if p.kind is p.POSITIONAL_OR_KEYWORD]:
            continue  # it needs a part of another sort
        try:
            made[name] = kind(**known)
        except Exception:  # what these sizes do not fit
            continue
    return made


def _tasks() -> dict[str, Callable[[], Any]]:
    from keras_hub import models

    def tokenizer() -> Any:
        return models.BertTokenizer(vocabulary=_WORDS)

    def backbone() -> Any:
        return models.BertBackbone(9, 1, 2, 8, 16, max_sequence_length=8)

    def classifier() -> Any:
        prepare = models.BertTextClassifierPreprocessor(tokenizer(), sequence_length=8)
        return models.BertTextClassifier(backbone(), 2, preprocessor=prepare)

    def masked() -> Any:
        prepare = models.BertMaskedLMPreprocessor(
            tokenizer(), sequence_length=8, mask_selection_length=2
        )
        return models.BertMaskedLM(backbone(), preprocessor=prepare)

    def images() -> Any:
        body = models.ResNetBackbone(
            input_conv_filters=[64],
            input_conv_kernel_sizes=[3],
            stackwise_num_filters=[64],
            stackwise_num_blocks=[1],
            stackwise_num_strides=[1],
            block_type="basic_block",
            image_shape=(32, 32, 3),
        )
        return models.ResNetImageClassifier(body, num_classes=2)

    return {"classifier": classifier, "masked": masked, "images": images}


def write(folder: Path) -> None:
    """Write the backbones' configurations, and the tasks as presets and as files."""
    for name, backbone in _backbones().items():
        write_config(backbone, folder, name)
    for name, build in _tasks().items():
        task = build()
        task.save_to_preset(str(folder / f"{name}-preset"))
        task.save(folder / f"{name}.keras")
        task.backbone.save_to_preset(str(folder / f"{name}-backbone-preset"))
