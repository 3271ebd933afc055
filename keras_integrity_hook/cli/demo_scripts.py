# SPDX-License-Identifier: Apache-2.0
"""The demo's user scripts, as a user would write them: not one line about integrity."""

from __future__ import annotations

TRAIN = """\
import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x / 16, y, test_size=0.25, random_state=0)

keras.utils.set_random_seed(7)
model = keras.Sequential([
    keras.Input((64,)),
    keras.layers.Dense(64, activation="relu"),
    keras.layers.Dense(10),
])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile("adam", loss, metrics=["accuracy"])
model.fit(x_train, y_train, epochs=15, verbose=0)

model.save("model.keras")
model.save_weights("model.weights.h5")
print(f"accuracy {model.evaluate(x_test, y_test, verbose=0)[1]:.1%}")
"""

EVALUATE = """\
import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

x, y = load_digits(return_X_y=True)
_, x_test, _, y_test = train_test_split(x / 16, y, test_size=0.25, random_state=0)

model = keras.models.load_model("model.keras")
model.load_weights("model.weights.h5")
print(f"accuracy {model.evaluate(x_test, y_test, verbose=0)[1]:.1%}")
"""
