# SPDX-License-Identifier: Apache-2.0
"""What of KerasHub is wrapped.

Its presets are directories of configurations, tokenizer assets and weights, read file by file. The
weights come through Keras's own functions; the rest is guarded here, one public method at a time:
each opens one preset. Those on hubs (``kaggle://``, ``hf://``) and behind URLs are gathered by what
their seals list; of one without a seal the weights alone are looked at.
"""

from __future__ import annotations

from keras_integrity_hook.hooks.inputs.attaching import with_contract
from keras_integrity_hook.hooks.keras_hub import guards
from keras_integrity_hook.hooks.table import Host, Target

_SRC = "keras_hub.src"
_PRESETS = (
    (f"{_SRC}.models.backbone", "Backbone"),
    (f"{_SRC}.models.task", "Task"),
    (f"{_SRC}.models.preprocessor", "Preprocessor"),
    (f"{_SRC}.tokenizers.tokenizer", "Tokenizer"),
    (f"{_SRC}.layers.preprocessing.image_converter", "ImageConverter"),
    (f"{_SRC}.layers.preprocessing.audio_converter", "AudioConverter"),
    (f"{_SRC}.layers.preprocessing.video_converter", "VideoConverter"),
)

TARGETS = (
    *(
        Target(module, f"{name}.from_preset", with_contract(guards.load_preset))
        for module, name in _PRESETS
    ),
    *(Target(module, f"{name}.save_to_preset", guards.save_preset) for module, name in _PRESETS),
    Target(f"{_SRC}.models.backbone", "Backbone.save_lora_weights", guards.save_lora),
    Target(f"{_SRC}.models.backbone", "Backbone.load_lora_weights", guards.load_lora),
)

HOST = Host("keras_hub", TARGETS, f"{_SRC}.version")
