# SPDX-License-Identifier: Apache-2.0
"""What the tests of containers share."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest


@pytest.fixture
def memory_store() -> Iterator[str]:
    """The URL of an empty directory in memory, which is empty again afterwards."""
    fsspec = pytest.importorskip("fsspec")
    name = f"d{secrets.token_hex(6)}"
    yield f"memory://{name}"
    memory = fsspec.filesystem("memory")
    if memory.exists(f"/{name}"):
        memory.rm(f"/{name}", recursive=True)
