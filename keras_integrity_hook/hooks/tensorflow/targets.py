# SPDX-License-Identifier: Apache-2.0
"""What of TensorFlow's SavedModel API is wrapped.

The innermost Python functions: ``tf.saved_model.load`` and ``save``, Keras's ``export`` and
``TFSMLayer`` come through them. Loaders in C++ (TensorFlow Serving, TFLite's interpreter) read the
disk themselves and cannot be guarded from Python; ``keras-integrity verify`` checks for them.
"""

from __future__ import annotations

from keras_integrity_hook.hooks.decorators import with_fallback
from keras_integrity_hook.hooks.inputs.attaching import with_contract
from keras_integrity_hook.hooks.table import Host, Target
from keras_integrity_hook.hooks.tensorflow import saved_model as guards

_LITE = "tensorflow.lite.python.lite"
_MODEL = "tensorflow.python.saved_model"
_LOAD = with_fallback(
    with_contract(guards.load_saved_model, of=lambda loaded: loaded["root"]),
    "export_dir",
    returned=lambda model: {"root": model},
)

TARGETS = (
    Target(f"{_MODEL}.load", "load_partial", _LOAD),
    Target(f"{_MODEL}.save", "save_and_return_nodes", guards.save_saved_model),
    # TensorFlow 1's ways, still there as tf.compat.v1.saved_model
    Target(f"{_MODEL}.loader_impl", "SavedModelLoader.__init__", guards.init_v1_loader),
    Target(f"{_MODEL}.builder_impl", "_SavedModelBuilder.__init__", guards.init_v1_builder),
    Target(f"{_MODEL}.builder_impl", "_SavedModelBuilder.save", guards.save_v1_builder),
    # The converter to TFLite, of TensorFlow 2 and of TensorFlow 1
    Target(_LITE, "TFLiteConverterV2.from_saved_model", guards.convert_saved_model),
    Target(_LITE, "TFLiteConverter.from_saved_model", guards.convert_saved_model),
)

HOST = Host("tensorflow", TARGETS, "tensorflow.python.framework.versions")
