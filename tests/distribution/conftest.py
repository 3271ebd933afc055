# SPDX-License-Identifier: Apache-2.0
"""A publisher with keys, a web server that shows what he publishes, and a user who pulls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.distribution.publisher import Publisher
from tests.distribution.web import Web


@pytest.fixture
def publisher(tmp_path: Path, home: Path) -> Publisher:
    return Publisher(tmp_path / "publisher")


@pytest.fixture
def web(publisher: Publisher) -> Iterator[Web]:
    with Web(publisher.repository) as web:
        yield web
