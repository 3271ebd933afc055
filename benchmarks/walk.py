# SPDX-License-Identifier: Apache-2.0
"""How far a reader walks to follow one load or save: ``PYTHON benchmarks/walk.py``.

Counts, for one small model, the functions of the package that run, their lines, the modules they
are in, and how often a call leads from one room into another. And of the whole package: how long
modules and functions are. Run it with the interpreters of two environments to compare versions.
"""

from __future__ import annotations

import ast
import functools
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import keras_integrity_hook

HOME = Path(keras_integrity_hook.__file__).parent


def room(code: CodeType) -> str | None:
    """The room that ``code`` belongs to, None where it is not of the package."""
    path = Path(code.co_filename)
    return path.relative_to(HOME).parts[0] if path.is_relative_to(HOME) else None


def walked(action: Callable[[], object]) -> str:
    """What ``action()`` ran of the package."""
    functions: set[CodeType] = set()
    moves = 0

    def watch(frame: FrameType, event: str, _: object) -> None:
        nonlocal moves
        here = room(frame.f_code) if event == "call" else None
        if here is None or frame.f_code.co_name.startswith("<"):
            return
        functions.add(frame.f_code)
        caller = frame.f_back
        while caller is not None and room(caller.f_code) is None:
            caller = caller.f_back
        moves += caller is not None and room(caller.f_code) != here

    sys.setprofile(watch)
    try:
        action()
    finally:
        sys.setprofile(None)
    lines = sum(max(line or 0 for *_, line in code.co_lines()) - code.co_firstlineno + 1
                for code in functions)  # fmt: skip
    modules = {code.co_filename for code in functions}
    return f"| {len(functions)} | {lines} | {len(modules)} | {moves} |"


def functions_of(source: str) -> Iterator[int]:
    """The lines of each function."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def sizes() -> str:
    """How long modules and functions are."""
    sources = [path.read_text() for path in sorted(HOME.rglob("*.py"))]
    modules = [len(text.splitlines()) for text in sources if text.count("\n") > 2]
    functions = sorted(length for text in sources for length in functions_of(text))
    ninth = functions[len(functions) * 9 // 10]
    return (
        f"{len(modules)} modules, {sum(modules)} lines: median {statistics.median(modules):.0f}, "
        f"longest {max(modules)}; {len(functions)} functions: median "
        f"{statistics.median(functions):.0f}, nine in ten at most {ninth}, longest {functions[-1]}"
    )


def main() -> None:
    """Print both."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print(sizes())
    keras_integrity_hook.activate()
    import keras

    model: Any = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    print(
        "| | functions | their lines | modules | moves between rooms |\n|---|---:|---:|---:|---:|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in ("model.keras", "directory"):
            path, zipped = os.path.join(folder, name), name != "directory"
            turns: dict[str, Callable[[], object]] = {
                "save": functools.partial(keras.saving.save_model, model, path, zipped=zipped),
                "load": functools.partial(keras.saving.load_model, path),
            }
            for what, action in turns.items():
                action()  # imports are no part of the walk
                print(f"| {what} {name} {walked(action)}", flush=True)


if __name__ == "__main__":
    main()
