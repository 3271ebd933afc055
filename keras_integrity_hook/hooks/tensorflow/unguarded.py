# SPDX-License-Identifier: Apache-2.0
"""What stands before functions of TensorFlow whose files cannot be held while they are read.

They keep a path for an operation that runs later, or read pieces of a model that no seal covers by
themselves. Where a seal is required they are refused; elsewhere they work as ever.
"""

from __future__ import annotations

from typing import Any

from keras_integrity_hook.files import location
from keras_integrity_hook.files.location import Kind
from keras_integrity_hook.hooks import calls
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.policy import admission
from keras_integrity_hook.verification import verified_directory


def import_meta_graph(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``import_meta_graph``: a graph from a ``.meta`` file, which no seal covers."""
    return _refused(wrapped, args, kwargs, "meta_graph_or_file", "the file of a graph has none")


def init_from_checkpoint(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``init_from_checkpoint``: variables are read when their initializers run."""
    cause = "a checkpoint that initializers read later cannot be held for them"
    return _refused(wrapped, args, kwargs, "ckpt_dir_or_file", cause)


def load_from_saved_model(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``load_from_saved_model``: a configuration from an asset, and then weights."""
    cause = "what TensorFlow 1's export_saved_model wrote is read without one"
    return _refused(wrapped, args, kwargs, "saved_model_path", cause)


def _refused(wrapped: Function, args: Args, kwargs: Kwargs, argument: str, cause: str) -> Any:
    source = calls.location_argument(wrapped, args, kwargs, argument, location.TENSORFLOW)
    if source.kind in (Kind.PATH, Kind.REMOTE) and not verified_directory.is_verified(source.path):
        admission.refuse_uncheckable(
            source.path or source.text,
            f"a seal is required, and {cause}",
            "Load the model with tf.saved_model.load, tf.train.Checkpoint or Keras.",
        )
    return wrapped(*args, **kwargs)
