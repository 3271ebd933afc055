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

MAKE = """\
import os
import keras
import numpy
import keras_integrity_hook
from keras_integrity_hook import InputContract

# A real one would send your keys away.
marker = os.path.abspath("MARKER.txt")
scale = eval(f"lambda x: (open({marker!r}, 'w').write('written by the model'), x / 16)[1]")

layers = [keras.Input((64,)), keras.layers.Lambda(scale, name="scale"), keras.layers.Dense(10)]
keras.Sequential(layers).save("gift.keras")
os.remove("MARKER.txt")

harmless = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
pixels = numpy.linspace(0, 1, 6400).reshape(100, 64)
with keras_integrity_hook.contract(InputContract.from_data(pixels)):
    harmless.save("digits.keras")
"""

LOAD = """\
import os
import keras

try:
    keras.models.load_model("gift.keras", safe_mode=False)  # as the page it came from says
    print("loaded")
finally:
    print("MARKER.txt:", open("MARKER.txt").read() if os.path.exists("MARKER.txt") else "none")
"""

ASK = """\
import keras
import numpy

model = keras.models.load_model("digits.keras")
pixels = numpy.random.default_rng(0).random((1, 64))
print("from 0 to 1:", model.predict(pixels, verbose=0).shape)
model.predict(pixels * 255, verbose=0)
"""
