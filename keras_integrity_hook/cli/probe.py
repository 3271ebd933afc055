# SPDX-License-Identifier: Apache-2.0
"""What a fresh interpreter looks like. ``doctor`` runs this text with ``python -c``.

It imports nothing of ours, or it would prove only that it can be imported. It prints one marked
JSON line as found at start and one after importing Keras, so that a crash in between still
leaves the first.
"""

from __future__ import annotations

import json
import os
import site
import sys
from typing import Any

PACKAGE = "keras_integrity_hook"
MARK = "keras-integrity-doctor:"
# What users call and what is itself wrapped: saves are guarded further in, where each format ends.
PUBLIC = ("saving.load_model", "saving.load_weights", "models.load_model")


def say(facts: dict[str, Any]) -> None:
    print(MARK + json.dumps(facts), flush=True)


def site_directories() -> list[str]:
    folders = list(site.getsitepackages())
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    return list(dict.fromkeys(os.path.realpath(folder) for folder in folders))


def listing(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def at_start() -> dict[str, Any]:
    loaded = sys.modules.get(PACKAGE)
    finders = [type(finder).__module__.partition(".")[0] for finder in sys.meta_path]
    folders = site_directories()
    installed = [os.path.join(f, n) for f in folders for n in listing(f)]
    return {
        "python": sys.version.split()[0],
        "executable": sys.executable,
        "armed": PACKAGE in finders,
        "keras_loaded": "keras" in sys.modules,
        "loaded_from": getattr(loaded, "__file__", None),
        "version": getattr(loaded, "__version__", None),
        "startup_files": [
            path
            for path in installed
            if os.path.basename(path) in (PACKAGE + ".pth", PACKAGE + ".start")
        ],
        "distributions": [
            path
            for path in installed
            if os.path.basename(path).startswith(PACKAGE + "-") and path.endswith(".dist-info")
        ],
        # Programs that are run as 'python -m' or '-c' find what lies here; we are not one of them.
        "copies": [
            place
            for place in dict.fromkeys(map(os.path.realpath, (os.curdir, *sys.path)))
            if os.path.isfile(os.path.join(place, PACKAGE, "__init__.py"))
        ],
    }


def target_states() -> list[list[str]]:
    hooks = sys.modules.get(PACKAGE + ".hooks")
    return [[target.name, str(target.state)] for target in hooks.report()] if hooks else []


def not_supported() -> list[list[str]]:
    hooks = sys.modules.get(PACKAGE + ".hooks")
    return [list(row) for row in hooks.NOT_SUPPORTED] if hooks else []


def is_wrapped(keras: Any, dotted: str) -> bool | None:
    value = keras
    for name in dotted.split("."):
        value = getattr(value, name, None)
    # type() sees the wrapper itself; every other question is answered by what it wraps.
    return None if value is None else type(value).__module__.startswith(PACKAGE)


def with_keras() -> dict[str, Any]:
    try:
        import keras
    except BaseException as error:
        # Ours is one fact a line, and has a form that is not.
        text = getattr(error, "in_one_line", error.__str__)()
        return {
            "keras": None,
            "absent": error.name if isinstance(error, ModuleNotFoundError) else None,
            "error": f"{type(error).__name__}: {' '.join(text.split())}",
        }
    return {
        "keras": keras.__version__,
        "targets": target_states(),
        "not_supported": not_supported(),
        "public": {"keras." + dotted: is_wrapped(keras, dotted) for dotted in PUBLIC},
    }


if __name__ == "__main__":
    say(at_start())
    say(with_keras())
