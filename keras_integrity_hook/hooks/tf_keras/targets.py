# SPDX-License-Identifier: Apache-2.0
"""What of Keras 2 is wrapped: as ``tf_keras``, and as the ``keras`` of TensorFlow 2.15.

As in Keras 3 the innermost functions, in the modules that define them. Many of them insist on paths
and open them on the way, so ``h5py`` and ``zipfile`` are guarded as these modules see them. Weights
in TensorFlow's own format go through TensorFlow's checkpoints.
"""

from __future__ import annotations

from keras_integrity_hook.files import location
from keras_integrity_hook.hooks import generation
from keras_integrity_hook.hooks.decorators import with_fallback
from keras_integrity_hook.hooks.inputs.attaching import with_contract, with_contract_of_weights
from keras_integrity_hook.hooks.keras3 import downloads, inline
from keras_integrity_hook.hooks.keras3 import guards as keras3_guards
from keras_integrity_hook.hooks.remote_files import from_anywhere
from keras_integrity_hook.hooks.table import Host, Target
from keras_integrity_hook.hooks.tf_keras import guards


def _targets(package: str) -> tuple[Target, ...]:
    """The rows for ``package``: but for its name the two are the same source."""
    saving = f"{package}.src.saving"
    api = f"{saving}.saving_api"
    lib = f"{saving}.saving_lib"
    legacy = f"{saving}.legacy.save"
    hdf5 = f"{saving}.legacy.hdf5_format"
    model = f"{saving}.legacy.saved_model"
    data = f"{package}.src.utils.data_utils"
    return (
        Target(
            api,
            "load_model",
            with_fallback(
                from_anywhere(guards.refuse_early, reader=location.TF_KERAS),
                reader=location.TF_KERAS,
            ),
        ),
        Target(
            api,
            "load_weights",
            with_contract_of_weights(from_anywhere(guards.load_weights, reader=location.TF_KERAS)),
        ),
        Target(api, "save_model", guards.save_remote_model),
        Target(api, "save_weights", guards.save_remote_weights),
        # .keras archives
        Target(lib, "load_model", with_fallback(with_contract(guards.load_archive))),
        Target(lib, "save_model", keras3_guards.save_archive),
        # .weights.h5, and the weights of a .keras
        Target(lib, "load_weights_only", with_contract_of_weights(keras3_guards.load_weights)),
        Target(lib, "save_weights_only", keras3_guards.save_weights_only),
        # legacy .h5 and .hdf5
        Target(
            hdf5,
            "load_model_from_hdf5",
            with_fallback(with_contract(keras3_guards.load_legacy), reader=location.PYTHON),
        ),
        Target(hdf5, "save_model_to_hdf5", keras3_guards.save_legacy),
        # legacy weights: HDF5, or a checkpoint of TensorFlow's
        Target(legacy, "load_weights", with_contract_of_weights(guards.load_legacy_weights)),
        Target(legacy, "save_weights", guards.save_legacy_weights),
        # what is opened inline
        Target(lib, "h5py:File", inline.open_hdf5),
        Target(lib, "zipfile:ZipFile", guards.open_archive),
        Target(hdf5, "h5py:File", inline.open_hdf5),
        Target(legacy, "h5py:File", inline.open_hdf5),
        # SavedModels: TensorFlow's, with a file of Keras's own in them
        Target(f"{model}.load", "load", with_contract(guards.load_saved_model)),
        Target(f"{model}.save", "save", guards.save_saved_model),
        # what get_file downloads
        Target(data, "get_file", downloads.get_file, copied=True),
        Target(data, "urlretrieve", downloads.urlretrieve),
    )


HOST = Host("tf_keras", _targets("tf_keras"), "tf_keras.src", oldest=(2, 15))
KERAS_2 = Host(
    "keras", _targets("keras"), "keras.src", oldest=(2, 15), is_present=generation.is_keras_2
)
