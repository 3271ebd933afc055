# SPDX-License-Identifier: Apache-2.0
"""A model is sealed when it is saved and checked when it is loaded, without a line about either.

Run it in an empty directory: ``python save_and_load.py``.
"""

from pathlib import Path

import keras

import keras_integrity_hook

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
model.save("model.keras")
keras.models.load_model("model.keras")
print("loaded what was saved:", keras_integrity_hook.verify("model.keras").state)

# One bit of one byte in the middle of the weights.
data = bytearray(Path("model.keras").read_bytes())
data[len(data) // 2] ^= 1
Path("model.keras").write_bytes(data)

try:
    keras.models.load_model("model.keras")
except keras_integrity_hook.IntegrityError as error:
    print("refused:", error.path, error.cause)
    print("what to do:", error.remedy())
