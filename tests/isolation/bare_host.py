# SPDX-License-Identifier: Apache-2.0
"""A package that loads "models" in a confined process without Keras: code that a test gives.

It runs where code of a model would run, a few milliseconds after the start.
"""

from __future__ import annotations

import textwrap
from types import SimpleNamespace
from typing import Any

__version__ = "1"


class _Model:
    name = "bare"

    def __init__(self, path: str, code: str) -> None:
        self.path = path
        self.names: dict[str, Any] = {"path": path, "__name__": "model"}
        exec(textwrap.dedent(code), self.names)

    def predict(self, inputs: Any, verbose: int = 0, **options: Any) -> Any:
        """What the code says of its inputs."""
        return self.names["predict"](inputs)

    predict_on_batch = predict

    def summary(self, line_length: int, print_fn: Any) -> None:
        """What the code says of itself."""
        print_fn(str(self.names["text"]))


def _load_model(path: str, code: str) -> _Model:
    return _Model(path, code)


models = SimpleNamespace(load_model=_load_model)
