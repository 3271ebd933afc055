# SPDX-License-Identifier: Apache-2.0
"""Dask: worker processes load the model; what they raise comes back to the client."""

from pathlib import Path
from typing import Any

USES = ["dask", "distributed"]


def _units(path: str) -> int:
    import keras

    return int(keras.saving.load_model(path).layers[0].units)


def save(model: Any, data: Any, where: Path) -> None:
    model.save(where / "model.keras")


def load(where: Path) -> None:
    from distributed import Client, LocalCluster

    path = str(where / "model.keras")
    cluster = LocalCluster(1, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster) as client:
        assert client.submit(_units, path, pure=False).result() == 16
