# SPDX-License-Identifier: Apache-2.0
"""What of TensorFlow's checkpoints is wrapped.

``TrackableSaver`` writes and reads them for ``tf.train.Checkpoint`` and for Keras. The outer
``restore`` methods read one value after it returns, so they are guarded as a whole. Operations that
are given a path when a graph runs (``tf.raw_ops.RestoreV2``) are not guarded, and what TensorFlow
1's ``Saver`` saves has no seal until it is given one.
"""

from __future__ import annotations

from keras_integrity_hook.hooks.table import Host, Target
from keras_integrity_hook.hooks.tensorflow import checkpoints as guards
from keras_integrity_hook.hooks.tensorflow import unguarded

_CHECKPOINT = "tensorflow.python.checkpoint.checkpoint"
_MANAGEMENT = "tensorflow.python.checkpoint.checkpoint_management"
_UTILITIES = "tensorflow.python.training.checkpoint_utils"
_SAVER = "tensorflow.python.training.saver"
_READER = "tensorflow.python.training.py_checkpoint_reader"

TARGETS = (
    Target(_CHECKPOINT, "TrackableSaver.save", guards.save),
    Target(_CHECKPOINT, "TrackableSaver.restore", guards.restore),
    Target(_CHECKPOINT, "Checkpoint.restore", guards.restore_outer),
    Target(_CHECKPOINT, "CheckpointV1.restore", guards.restore_outer),
    # TensorFlow 1's way, still there as tf.compat.v1.train.Saver
    Target(_SAVER, "Saver.restore", guards.restore_by_name),
    Target(_SAVER, "import_meta_graph", unguarded.import_meta_graph),
    Target(_UTILITIES, "init_from_checkpoint", unguarded.init_from_checkpoint),
    # what looks into a checkpoint without restoring an object
    Target(_READER, "NewCheckpointReader", guards.open_reader),
    Target(_UTILITIES, "load_variable", guards.read_at_once),
    Target(_UTILITIES, "list_variables", guards.read_at_once),
    # CheckpointManager's rotation
    Target(_MANAGEMENT, "_delete_file_if_exists", guards.delete),
)

HOST = Host("tensorflow", TARGETS, "tensorflow.python.framework.versions")
