# SPDX-License-Identifier: Apache-2.0
"""What of Keras 3 is wrapped.

The innermost functions that open a path are wrapped, in the modules that define them. Every public
alias, callback and late importer goes through them by attribute at call time, so none needs a
wrapper of its own and activating late covers as much as activating early. The one exception is
``get_file``, which alone knows whether a hash was given.
"""

from __future__ import annotations

from keras_integrity_hook.files import location
from keras_integrity_hook.hooks import generation
from keras_integrity_hook.hooks.decorators import with_fallback
from keras_integrity_hook.hooks.inputs.attaching import with_contract, with_contract_of_weights
from keras_integrity_hook.hooks.keras3 import (
    archived_weights,
    backup,
    downloads,
    editor,
    guards,
    inline,
    orbax,
    orbax_remote,
    sets,
)
from keras_integrity_hook.hooks.keras3.remote_sets import with_directories
from keras_integrity_hook.hooks.remote_files import from_anywhere
from keras_integrity_hook.hooks.table import Host, Target

_API = "keras.src.saving.saving_api"
_LIB = "keras.src.saving.saving_lib"
_EDITOR = "keras.src.saving.file_editor"
_LEGACY = "keras.src.legacy.saving.legacy_h5_format"
_ORBAX = "keras.src.callbacks.orbax_checkpoint"
_BACKUP = "keras.src.callbacks.backup_and_restore"
_FILES = "keras.src.utils.file_utils"

TARGETS = (
    # Outer functions: an early, clear refusal; and load_weights opens legacy HDF5 and
    # Orbax checkpoints inline.
    Target(
        _API,
        "load_model",
        with_fallback(from_anywhere(with_directories(guards.refuse_early)), reader=location.KERAS),
    ),
    Target(
        _API,
        "load_weights",
        with_contract_of_weights(from_anywhere(orbax.load_weights, reader=location.KERAS_WEIGHTS)),
    ),
    # .keras archives
    Target(
        _LIB,
        "load_model",
        with_fallback(from_anywhere(with_contract(guards.load_archive)), reader=location.KERAS),
    ),
    Target(_LIB, "save_model", guards.save_archive),
    # .weights.h5, sharded weights, and the weights of a .keras
    Target(
        _LIB,
        "load_weights_only",
        with_contract_of_weights(
            from_anywhere(sets.load_weights_only, reader=location.KERAS_WEIGHTS)
        ),
    ),
    Target(_LIB, "save_weights_only", sets.save_weights_only),
    # every HDF5 file a store opens by path: weights, shards, KerasFileEditor, LoRA
    Target(_LIB, "H5IOStore._get_h5_file", guards.open_store, since=(3, 10)),
    Target(_LIB, "is_memory_sufficient", archived_weights.fits_in_memory, since=(3, 10)),
    # what is opened inline
    Target(_API, "h5py:File", inline.open_hdf5),
    Target(_LIB, "h5py:File", inline.open_hdf5, until=(3, 10)),
    Target(_LIB, "zipfile:ZipFile", inline.open_archive, until=(3, 10)),
    Target(_LIB, "file_utils:File", inline.take_archive, until=(3, 2)),
    # KerasFileEditor
    Target(
        _EDITOR,
        "KerasFileEditor.__init__",
        from_anywhere(editor.open_file, reader=editor.READER),
        since=(3, 6),
    ),
    Target(
        _EDITOR,
        "KerasFileEditor._generate_filepath_info",
        editor.say_what_is_open,
        since=(3, 6),
    ),
    Target(_EDITOR, "KerasFileEditor.save", editor.save_file, since=(3, 6)),
    Target(_EDITOR, "zipfile:ZipFile", editor.open_archive, since=(3, 6)),
    # unzipped directories; the hub's download and upload go through them
    Target(_LIB, "_load_model_from_dir", with_contract(sets.load_directory), since=(3, 4)),
    Target(_LIB, "_save_model_to_dir", sets.save_directory, since=(3, 4)),
    # legacy .h5 and .hdf5
    Target(
        _LEGACY,
        "load_model_from_hdf5",
        with_fallback(from_anywhere(with_contract(guards.load_legacy)), reader=location.KERAS),
    ),
    Target(_LEGACY, "save_model_to_hdf5", guards.save_legacy),
    # checkpoints of Orbax
    Target(
        _API, "_load_model_from_orbax_checkpoint", with_contract(orbax.load_model), since=(3, 14)
    ),
    Target(_ORBAX, "OrbaxCheckpoint.__init__", orbax_remote.with_urls),
    Target(_ORBAX, "OrbaxCheckpoint._save_checkpoint", orbax.save_step),
    Target(_ORBAX, "OrbaxCheckpoint.wait_until_finished", orbax.finish),
    Target(_ORBAX, "OrbaxCheckpoint.on_train_end", orbax.finish),
    # the metadata of a backup; its weights are a .weights.h5
    Target(_BACKUP, "BackupAndRestore.on_train_begin", backup.resume),
    Target(_BACKUP, "BackupAndRestore._load_model", backup.load_pair, since=(3, 8)),
    Target(_BACKUP, "BackupAndRestore._save_model", backup.save_pair),
    # what get_file downloads: keras.applications, data sets, presets, the user's own
    Target(_FILES, "get_file", downloads.get_file, copied=True),
    Target(_FILES, "urlretrieve", downloads.urlretrieve),
)

HOST = Host(
    "keras",
    TARGETS,
    "keras.src.version",
    oldest=(3, 0, 5),
    is_present=generation.is_keras_3,
)
