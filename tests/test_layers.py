# SPDX-License-Identifier: Apache-2.0
"""The order of the rooms, which packages each lets in, and how light the lowest are."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import keras_integrity_hook

PACKAGE = Path(keras_integrity_hook.__file__).parent
REPOSITORY = Path(__file__).parent.parent

GUESTS = {
    "sealing": {"blake3"},
    "contracts": {"numpy", "tensorflow"},
    "signing": {"cryptography", "securesystemslib", "tomlkit"},
    "verification": {"h5py"},
    "remote": {"aiohttp", "fsspec", "kagglehub", "tensorflow", "yarl"},
    "detached": {"cryptography", "sigstore", "sigstore_models"},
    "isolation": {"landlockpy", "ml_dtypes", "numpy", "pyseccomp"},
    "versions": {"packaging"},
    "distribution": {"securesystemslib", "tuf"},
    "registry": {
        *("alembic", "anyio", "cryptography", "fastapi", "h11", "jinja2"),
        *("prometheus_client", "psycopg", "pydantic", "sqlalchemy", "starlette", "uvicorn"),
    },
    "saving": {"h5py"},
    "hooks": {"h5py", "keras", "tensorflow", "wrapt"},
    "mlflow_registry": {"mlflow"},
    "fleet": {"dask", "distributed", "jinja2", "pyarrow"},
    "cli": {"numpy", "pandas", "click", "keras"},
}
"""Which packages of others a room may import, at its top or in a function; the rest: none."""

LIGHT = ("limits", "errors", "notices", "sealing", "containers")
"""What reads bytes of strangers: it needs neither other people's code nor another process."""

HEAVY = {"asyncio", "email", "importlib.metadata", "logging", "multiprocessing", "socket"} | {
    *("subprocess", "tempfile", "tomllib", "urllib", "zipfile"),
}


def test_a_room_uses_only_what_stands_before_it_and_no_import_goes_in_a_circle() -> None:
    """The contracts of pyproject.toml; imports in functions and for types count like any other."""
    pytest.importorskip("importlinter")
    code = (
        "from importlinter.cli import lint_imports\nraise SystemExit(lint_imports(no_cache=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kept, 0 broken" in done.stdout


def modules_of(room: str) -> list[Path]:
    """The files of a room, which is a package or one module."""
    return sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]


def imported_packages(source: Path) -> Iterator[str]:
    """The first part of every name that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_packages_of_others_are_imported_in_the_rooms_that_are_for_them() -> None:
    ours = {PACKAGE.name, *sys.stdlib_module_names}
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    guests = {
        room: {name for file in modules_of(room) for name in imported_packages(file)} - ours
        for room in rooms - {"__pycache__"}
    }
    assert {room: names for room, names in guests.items() if names - GUESTS.get(room, set())} == {}


def test_parsers_import_nothing_heavy() -> None:
    names = [
        ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        for room in LIGHT
        for file in modules_of(room)
    ]
    code = f"""
import importlib, json, sys
sys.path.insert(0, {str(PACKAGE.parent)!r})
for name in {names}:
    importlib.import_module(name.removesuffix(".__init__"))
print(json.dumps(sorted(sys.modules)))
"""
    # Without site: start-up files of other packages import what they like.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, check=True, text=True, timeout=60
    )
    there = set(json.loads(done.stdout))
    known = {"__main__", PACKAGE.name, *sys.stdlib_module_names}
    assert {name.partition(".")[0] for name in there} <= known
    assert not HEAVY & there
