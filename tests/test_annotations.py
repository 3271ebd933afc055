# SPDX-License-Identifier: Apache-2.0
"""Other programs look our annotations up, and some rewrite what is imported: we stay as we are.

beartype, typeguard and pydantic evaluate annotations at run time. A name that is imported for the
type checker alone is a NameError there, and one raised in the middle of a load is no refusal.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import keras_integrity_hook

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(keras_integrity_hook.__path__, "keras_integrity_hook.")
    if not module.name.endswith(("__main__", ".migrations.env"))  # which alembic alone can run
)


def annotated(module: Any) -> Iterator[Any]:
    """The functions, classes and methods that are defined in ``module``."""
    for defined in vars(module).values():
        if getattr(defined, "__module__", None) != module.__name__:
            continue
        if isinstance(defined, FunctionType):
            yield inspect.unwrap(defined)
        elif inspect.isclass(defined):
            yield defined
            for attribute in vars(defined).values():
                method = getattr(attribute, "__func__", attribute)
                method = method.fget if isinstance(method, property) else method
                if isinstance(method, FunctionType) and method.__module__ == module.__name__:
                    yield inspect.unwrap(method)


@pytest.mark.parametrize("name", MODULES)
def test_every_annotation_can_be_looked_up(name: str) -> None:
    for defined in annotated(importlib.import_module(name)):
        typing.get_type_hints(defined)


CHECKED_BY_BEARTYPE = {
    "everything, once Keras is there": """
        import keras
        from beartype.claw import beartype_all
        beartype_all()
    """,
    "this package, before Keras": """
        from beartype.claw import beartype_package
        beartype_package("keras_integrity_hook")
        import keras
    """,
}
REFUSES = """
        import keras_integrity_hook
        keras_integrity_hook.assert_active()
        keras.saving.load_model("good.keras").save("again.keras")
        keras.saving.load_model("again.keras")
        for path in ("damaged.keras", "unsealed.keras"):
            try:
                keras.saving.load_model(path)
            except keras_integrity_hook.IntegrityError as error:
                print(path, type(error).__name__)
"""


@pytest.mark.parametrize("what", CHECKED_BY_BEARTYPE)
def test_under_beartype_a_refusal_is_still_a_refusal(keras: Any, tmp_path: Path, what: str) -> None:
    pytest.importorskip("beartype")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    for name in ("good.keras", "damaged.keras", "unsealed.keras"):
        model.save(tmp_path / name)
    keras_integrity_hook.unseal(tmp_path / "unsealed.keras")
    damaged = bytearray((tmp_path / "damaged.keras").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged.keras").write_bytes(damaged)
    arm = "from keras_integrity_hook.activation import finder\nfinder.arm()\n"
    program = arm + textwrap.dedent(CHECKED_BY_BEARTYPE[what]) + textwrap.dedent(REFUSES)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "KERAS_INTEGRITY_UNSEALED": "reject", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "damaged.keras ChecksumMismatchError",
        "unsealed.keras UnsealedModelError",
    ]
