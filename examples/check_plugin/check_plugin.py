# SPDX-License-Identifier: Apache-2.0
"""A check of a company's own: no model of a Keras that it no longer maintains.

It is called with every model before it is loaded, and by 'keras-integrity scan'.
"""

import json
from collections.abc import Iterator

from keras_integrity_hook import Finding, InspectedModel, Verdict

OLDEST = (3, 12)


def check(model: InspectedModel) -> Iterator[Finding]:
    """What is to be said of ``model``; nothing where all is well."""
    if "metadata.json" not in model.files:
        return  # weights alone, or another format
    version = json.loads(model.read("metadata.json"))["keras_version"]
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        yield Finding(
            rule="old-keras",
            verdict=Verdict.REVIEW,
            file="metadata.json",
            place="keras_version",
            construct=version,
            why="nobody here tests models of that version any more",
        )
