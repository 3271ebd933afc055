# SPDX-License-Identifier: Apache-2.0
"""What is wrapped of the Keras 2 that TensorFlow still ships as ``tensorflow.python.keras``.

It is no public name, but old programs import it and TensorFlow does itself. Its functions are those
of tf_keras before they moved, so tf_keras's guards stand before them; only ``load_weights`` and
``save_weights`` are methods still.
"""

from __future__ import annotations

from keras_integrity_hook.files import location
from keras_integrity_hook.hooks.decorators import with_fallback
from keras_integrity_hook.hooks.inputs.attaching import with_contract, with_contract_of_weights
from keras_integrity_hook.hooks.keras3 import downloads, inline
from keras_integrity_hook.hooks.keras3 import guards as keras3_guards
from keras_integrity_hook.hooks.table import Host, Target
from keras_integrity_hook.hooks.tensorflow import unguarded
from keras_integrity_hook.hooks.tf_keras import guards

_KERAS = "tensorflow.python.keras"
_HDF5 = f"{_KERAS}.saving.hdf5_format"
_TRAINING = f"{_KERAS}.engine.training"
_MODEL = f"{_KERAS}.saving.saved_model"
_DATA = f"{_KERAS}.utils.data_utils"

TARGETS = (
    # .h5 and .hdf5
    Target(
        _HDF5,
        "load_model_from_hdf5",
        with_fallback(with_contract(keras3_guards.load_legacy), reader=location.PYTHON),
    ),
    Target(_HDF5, "save_model_to_hdf5", keras3_guards.save_legacy),
    # weights: HDF5 opened inline, or a checkpoint of TensorFlow's
    Target(_TRAINING, "Model.load_weights", with_contract_of_weights(guards.load_legacy_weights)),
    Target(_TRAINING, "Model.save_weights", guards.save_legacy_weights),
    Target(_TRAINING, "h5py:File", inline.open_hdf5),
    # SavedModels: TensorFlow's, with a file of Keras's own in them
    Target(f"{_MODEL}.load", "load", with_contract(guards.load_saved_model)),
    Target(f"{_MODEL}.save", "save", guards.save_saved_model),
    # reads the model's configuration from an asset before the weights
    Target(
        f"{_KERAS}.saving.saved_model_experimental",
        "load_from_saved_model",
        unguarded.load_from_saved_model,
    ),
    # what get_file downloads
    Target(_DATA, "get_file", downloads.get_file_and_compare, copied=True),
    Target(_DATA, "urlretrieve", downloads.urlretrieve),
)

HOST = Host("tensorflow", TARGETS, "tensorflow.python.framework.versions")
