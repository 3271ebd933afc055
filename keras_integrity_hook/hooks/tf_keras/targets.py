# SPDX-License-Identifier: Apache-2.0
"""What of tf_keras (Keras 2) is wrapped.

As in Keras 3 the innermost functions, in the modules that define them. Many of them insist on paths
and open them on the way, so ``h5py`` and ``zipfile`` are guarded as these modules see them. Weights
in TensorFlow's own format go through TensorFlow's checkpoints.
"""

from __future__ import annotations

from keras_integrity_hook.files import location
from keras_integrity_hook.hooks.decorators import with_fallback
from keras_integrity_hook.hooks.keras3 import downloads, inline
from keras_integrity_hook.hooks.keras3 import guards as keras3_guards
from keras_integrity_hook.hooks.table import Host, Target
from keras_integrity_hook.hooks.tf_keras import guards

_SAVING = "tf_keras.src.saving"
_API = f"{_SAVING}.saving_api"
_LIB = f"{_SAVING}.saving_lib"
_LEGACY = f"{_SAVING}.legacy.save"
_HDF5 = f"{_SAVING}.legacy.hdf5_format"
_MODEL = f"{_SAVING}.legacy.saved_model"
_DATA = "tf_keras.src.utils.data_utils"

TARGETS = (
    Target(_API, "load_model", with_fallback(guards.refuse_early, reader=location.TF_KERAS)),
    Target(_API, "load_weights", guards.load_weights),
    # .keras archives
    Target(_LIB, "load_model", with_fallback(guards.load_archive)),
    Target(_LIB, "save_model", keras3_guards.save_archive),
    # .weights.h5, and the weights of a .keras
    Target(_LIB, "load_weights_only", keras3_guards.load_weights),
    Target(_LIB, "save_weights_only", keras3_guards.save_weights_only),
    # legacy .h5 and .hdf5
    Target(
        _HDF5,
        "load_model_from_hdf5",
        with_fallback(keras3_guards.load_legacy, reader=location.PYTHON),
    ),
    Target(_HDF5, "save_model_to_hdf5", keras3_guards.save_legacy),
    # legacy weights: HDF5, or a checkpoint of TensorFlow's
    Target(_LEGACY, "load_weights", guards.load_legacy_weights),
    Target(_LEGACY, "save_weights", guards.save_legacy_weights),
    # what is opened inline
    Target(_LIB, "h5py:File", inline.open_hdf5),
    Target(_LIB, "zipfile:ZipFile", guards.open_archive),
    Target(_HDF5, "h5py:File", inline.open_hdf5),
    Target(_LEGACY, "h5py:File", inline.open_hdf5),
    # SavedModels: TensorFlow's, with a file of Keras's own in them
    Target(f"{_MODEL}.load", "load", guards.load_saved_model),
    Target(f"{_MODEL}.save", "save", guards.save_saved_model),
    # what get_file downloads
    Target(_DATA, "get_file", downloads.get_file, copied=True),
    Target(_DATA, "urlretrieve", downloads.urlretrieve),
)

HOST = Host("tf_keras", TARGETS, "tf_keras.src", oldest=(2, 16))
