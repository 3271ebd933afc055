# SPDX-License-Identifier: Apache-2.0
"""Run one script as its user would: save, load, load again with one bit of the weights flipped.

A script has ``USES``, names of distributions, ``save(model, data, where)`` and ``load(where)``, and
nothing of ours. ``save`` returns bytes of the weights where it saved another model than the one it
was given. What happened is printed as one line of JSON; a refusal is left to the interpreter, whose
traceback is what the user sees. With the hook off nothing is damaged.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(name: str, where: Path) -> None:
    script = loaded(Path(__file__).parent / "scripts" / f"{name}.py")
    data = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    told: dict[str, Any] = {"versions": versions(script.USES)}
    model = small_model(data)
    weights = script.save(model, data, where)
    needle = weights if isinstance(weights, bytes) else needle_of(model)
    told["models"] = sorted(str(path.relative_to(where)) for path in models_below(where))
    script.load(where)
    if os.environ.get("KERAS_INTEGRITY") == "off":  # what Keras makes of damage is its affair
        print(json.dumps(told), flush=True)
        return
    told["damaged"] = [str(path.relative_to(where)) for path in damage(where, needle, script)]
    print(json.dumps(told), flush=True)
    script.load(where)
    print("loaded all the same", flush=True)


def loaded(path: Path) -> Any:
    """The module at ``path``, in no package: functions of it go to other processes by value."""
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small_model(data: Any) -> Any:
    import keras

    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(16, activation="relu", name="a"), keras.layers.Dense(1, name="b")]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile("adam", "mse")
    model.fit(data, data.sum(1), epochs=1, verbose=0)
    return model


def needle_of(model: Any) -> bytes:
    """Bytes of the first weights, by which their place in a file is found."""
    return bytes(np.asarray(model.layers[0].get_weights()[0]).tobytes()[:64])


def models_below(where: Path) -> list[Path]:
    files = [path for path in where.rglob("*") if path.suffix in (".keras", ".h5", ".hdf5")]
    return files + [path.parent for path in where.rglob("saved_model.pb")]


def damage(where: Path, needle: bytes, script: Any) -> list[Path]:
    """Flip a bit of a weight in every file that holds ``needle``, pickles spared."""
    hit = []
    for path in (path for path in where.rglob("*") if path.is_file() and not path.is_symlink()):
        if path.suffix in getattr(script, "NOT_OURS", ()):
            continue
        data = path.read_bytes()
        at = data.find(needle)
        if at >= 0:
            path.chmod(0o600)
            path.write_bytes(data[: at + 3] + bytes([data[at + 3] ^ 0x40]) + data[at + 4 :])
            hit.append(path)
    return hit


def versions(names: list[str]) -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in names}


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(sys.argv[1], Path(sys.argv[2]))
