# SPDX-License-Identifier: Apache-2.0
"""A seal beside the file, for files that must stay byte for byte what Keras wrote."""

import os
import zipfile

import keras

import keras_integrity_hook

os.environ["KERAS_INTEGRITY_STORE"] = "sidecar"

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
model.save("model.keras")
print("written:", *sorted(os.listdir()))

# A file that is there already gets one the same way.
model.save_weights("old.weights.h5")
keras_integrity_hook.unseal("old.weights.h5")
keras_integrity_hook.seal("old.weights.h5", store="sidecar")
print("sealed:", *sorted(os.listdir()))

# Move the two together, or the model is left without its seal.
for end in ("", ".seal"):
    os.rename("model.keras" + end, "moved.keras" + end)
keras.models.load_model("moved.keras")
print("loaded:", keras_integrity_hook.verify("moved.keras").state)

with zipfile.ZipFile("moved.keras", "a") as archive:
    archive.writestr("notes.txt", "a careless edit")
try:
    keras.models.load_model("moved.keras")
except keras_integrity_hook.IntegrityError as error:
    print("refused:", error)
