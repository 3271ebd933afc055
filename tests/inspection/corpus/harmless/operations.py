# SPDX-License-Identifier: Apache-2.0
"""Functional models of every operation of ``keras.ops`` that takes a tensor, or two, or three."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.inspection.corpus.harmless.writing import write_config


def _inputs() -> dict[str, Any]:
    import keras

    return {
        "matrix": keras.Input(batch_shape=(4, 4)),
        "image": keras.Input(batch_shape=(2, 8, 8, 3)),
        "whole": keras.Input(batch_shape=(4, 4), dtype="int32"),
        "truth": keras.Input(batch_shape=(4, 4), dtype="bool"),
    }


def _attempts(inputs: dict[str, Any]) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Arguments that some operation might take; the first that it takes are used."""
    matrix, image, whole = inputs["matrix"], inputs["image"], inputs["whole"]
    yield [matrix], {}
    yield [matrix, matrix], {}
    yield [[matrix, matrix]], {}
    yield [whole], {}
    yield [whole, whole], {}
    yield [matrix, 1], {}
    yield [matrix, (2, 8)], {}
    yield [matrix, whole, matrix], {}
    yield [inputs["truth"], matrix, matrix], {}
    yield [image], {}
    yield [image, (4, 4)], {}
    yield [image, 2], {}
    yield [matrix, 0, 1], {}


def _called(operation: Any, inputs: dict[str, Any]) -> Any:
    """What ``operation`` gives symbolically, and of what; None where it takes none of these."""
    import keras

    for arguments, keywords in _attempts(inputs):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = operation(*arguments, **keywords)
            used = [one for one in keras.tree.flatten(arguments) if hasattr(one, "shape")]
            model = keras.Model(list({id(one): one for one in used}.values()), result)
            model.get_config()  # some operations cannot be saved
        except Exception:  # whatever an operation makes of arguments that are not its own
            continue
        return model
    return None


def write(folder: Path) -> None:
    """Write a model for each operation."""
    import keras

    inputs = _inputs()
    for name in sorted(dir(keras.ops)):
        operation = getattr(keras.ops, name)
        if not inspect.isfunction(operation):
            continue
        model = _called(operation, inputs)
        if model is not None:
            write_config(model, folder, name)
