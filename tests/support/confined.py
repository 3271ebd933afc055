# SPDX-License-Identifier: Apache-2.0
"""Confined processes for tests: with a bare host instead of Keras, and what they need."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest

from keras_integrity_hook.isolation import availability
from keras_integrity_hook.isolation.model_bytes import ModelFiles
from keras_integrity_hook.isolation.process import ConfinedProcess
from keras_integrity_hook.isolation.sandbox_limits import SandboxLimits

BARE = "tests.isolation.bare_host"
ABIS = [pytest.param(None, id="full-abi"), pytest.param(1, id="abi-1")]

needs_sandbox = pytest.mark.skipif(
    bool(availability.reasons()), reason=f"no sandbox here: {availability.reasons()}"
)


@contextlib.contextmanager
def bare(code: str = "", *, abi: int | None = None, **limits: Any) -> Iterator[ConfinedProcess]:
    """A confined process in which ``code`` was run as that of a model; what it tries is told."""
    process = ConfinedProcess(SandboxLimits(**limits), host=BARE, modules=["tests"], abi=abi)
    try:
        process.is_strict = False
        load(process, code)
        yield process
    finally:
        process.close()


def load(process: ConfinedProcess, code: str, content: bytes = b"model") -> Any:
    """What ``process`` says when it loads a model of ``code``."""
    fd = os.memfd_create("model")
    os.write(fd, content)
    files = ModelFiles("model.keras", {"model.keras": fd})
    try:
        return process.load(files, {"code": code}).value
    finally:
        files.close()
