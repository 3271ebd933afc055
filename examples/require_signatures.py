# SPDX-License-Identifier: Apache-2.0
"""Sign what you save, and load nothing that nobody you trust has signed.

The key has no passphrase and lies beside the script, for the sake of the example: docs/signing.md
has what a real one needs.
"""

import os
import subprocess
import sys

import keras

import keras_integrity_hook

COMMAND = [sys.executable, "-m", "keras_integrity_hook.cli"]

subprocess.run([*COMMAND, "keygen", "--no-passphrase", "release"], check=True)
subprocess.run([*COMMAND, "trust", "add", "release-team", "release.pub"], check=True)

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
model.save("unsigned.keras")

# Where models are saved. Usually these variables are set outside, or stand in a policy file.
os.environ["KERAS_INTEGRITY_KEY"] = "release"
model.save("signed.keras")

# Where they are loaded.
os.environ["KERAS_INTEGRITY_REQUIRE"] = "signed"
keras.models.load_model("signed.keras")
print("loaded, signed by", *keras_integrity_hook.verify("signed.keras").signers)
try:
    keras.models.load_model("unsigned.keras")
except keras_integrity_hook.NotSignedError as error:
    print("refused:", error)
