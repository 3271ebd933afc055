# SPDX-License-Identifier: Apache-2.0
"""Stores for audits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def odd() -> Iterator[Any]:
    """A store that does what a test wants (``odd_stores.OddStore``)."""
    pytest.importorskip("fsspec")
    from tests.support.odd_stores import odd_store

    with odd_store() as store:
        yield store


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """The address of a scheduler of Dask's whose workers are threads of this process."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=4, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster.scheduler_address
