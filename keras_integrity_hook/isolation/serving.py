# SPDX-License-Identifier: Apache-2.0
"""The model in a confined process: what is called there, by which package."""

from __future__ import annotations

import importlib
import os
from typing import Any

from keras_integrity_hook.isolation import structures


class Host:
    """The package that loads, and the model once it is there.

    Args:
        name: ``"keras"``, ``"tf_keras"``, or ``"tensorflow"`` for a SavedModel as such.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._package: Any = importlib.import_module(name)
        self._model: Any = None

    def versions(self) -> dict[str, str]:
        """Which versions these are: of the package, and of what it computes with."""
        found = {self._name: str(self._package.__version__)}
        backend = getattr(getattr(self._package, "backend", None), "backend", None)
        if self._name in ("keras", "tf_keras"):
            name = backend() if callable(backend) else "tensorflow"
            found[name] = str(getattr(importlib.import_module(name), "__version__", ""))
        return found

    def warm_up(self, home: str) -> None:
        """Save and load a model of our own, so that what is done once in a process is done."""
        if self._name not in ("keras", "tf_keras"):
            return
        layers = self._package.layers
        model = self._package.Sequential([layers.Input((4,)), layers.Dense(2)])
        model.compile("adam", "mse")
        path = os.path.join(home, "warm-up.keras")
        model.save(path)
        self._package.models.load_model(path)
        os.unlink(path)

    def load(self, path: str, options: dict[str, Any]) -> None:
        """Load the model at ``path`` with the keyword arguments of ``load_model``.

        Custom objects are named, ``"module:qualified.name"``, and imported here.
        """
        named = options.pop("custom_objects", None)
        if named:
            options["custom_objects"] = {key: _imported(name) for key, name in named.items()}
        if self._name == "tensorflow":
            self._model = _SavedModel(self._package.saved_model.load(path))
        else:
            self._model = self._package.models.load_model(path, **options)

    def run(self, how: str, inputs: Any, options: dict[str, Any]) -> Any:
        """What ``predict`` or ``predict_on_batch`` says of arrays."""
        if how == "predict":
            return self._model.predict(inputs, verbose=0, **options)
        return self._model.predict_on_batch(inputs)

    def description(self) -> dict[str, Any]:
        """Its name, and what goes in and comes out, as far as it says."""
        return {
            "name": str(getattr(self._model, "name", "")),
            "inputs": _described(self._model, "input"),
            "outputs": _described(self._model, "output"),
        }

    def summary(self, columns: int) -> str:
        """What ``summary`` prints."""
        lines: list[str] = []
        self._model.summary(line_length=columns, print_fn=lambda line, **_: lines.append(line))
        return "\n".join(lines)


class _SavedModel:
    """A SavedModel of no Keras, asked by its serving signature."""

    def __init__(self, loaded: Any) -> None:
        self.name = "saved_model"
        self._loaded = loaded  # its variables live as long as it does
        signatures = getattr(loaded, "signatures", {})
        self._function = signatures.get("serving_default")
        if self._function is not None:
            self.input = dict(self._function.structured_input_signature[1])
            self.output = dict(self._function.structured_outputs)

    def predict(self, inputs: Any, verbose: int = 0, batch_size: int | None = None) -> Any:
        """All at once."""
        return self.predict_on_batch(inputs)

    def predict_on_batch(self, inputs: Any) -> Any:
        """What the signature says; of one input it need not be named."""
        if self._function is None:
            raise ValueError("it has no signature called serving_default")
        if not isinstance(inputs, dict):
            inputs = {next(iter(self.input)): inputs}
        return {name: value.numpy() for name, value in self._function(**inputs).items()}

    def summary(self, line_length: int, print_fn: Any) -> None:
        """Its signature."""
        for what in ("input", "output"):
            for name, spec in getattr(self, what, {}).items():
                print_fn(f"{what} {name}: {spec.dtype.name} {spec.shape}")


def _imported(name: str) -> Any:
    module, _, inside = name.partition(":")
    value: Any = importlib.import_module(module)
    for part in inside.split("."):
        value = getattr(value, part)
    return value


def _described(model: Any, what: str) -> Any:
    """The structure of its inputs or outputs, None where it has none yet."""
    inner = getattr(model, "_functional", None) or model  # a Sequential has one once it is built
    try:
        tensors = getattr(inner, f"_{what}s_struct", None)
        tensors = getattr(inner, what) if tensors is None else tensors
    except (AttributeError, ValueError, RuntimeError):
        return None
    return structures.packed(tensors, _tensor)


def _tensor(tensor: Any) -> dict[str, Any]:
    dtype = tensor.dtype
    return {
        "name": str(getattr(tensor, "name", "")),
        "dtype": str(getattr(dtype, "name", dtype)),
        "shape": [None if length is None else int(length) for length in tensor.shape],
    }
