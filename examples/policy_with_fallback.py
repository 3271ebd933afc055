# SPDX-License-Identifier: Apache-2.0
"""A policy with a rule for one path: a service goes on with its last good model.

``keras-integrity policy check policy.toml`` finds mistakes in such a file.
"""

import os
import shutil
import warnings
from pathlib import Path

import keras

import keras_integrity_hook

POLICY = """
unsealed = "reject"

[[rules]]
path = "models/churn.keras"
require = "sealed"
on_failure = "fallback"
fallback = "last-good/churn.keras"
"""

Path("policy.toml").write_text(POLICY)
os.environ["KERAS_INTEGRITY_POLICY"] = str(Path("policy.toml").resolve())
for folder in ("models", "last-good"):
    Path(folder).mkdir()

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="churn")
model.save("models/churn.keras")
shutil.copy("models/churn.keras", "last-good/churn.keras")

# A copy that broke off.
os.truncate("models/churn.keras", 2000)

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", keras_integrity_hook.FallbackWarning)
    served = keras.models.load_model("models/churn.keras")
print("serving", served.name)
print(*(f"{entry.category.__name__}: {entry.message}" for entry in caught), sep="\n")
