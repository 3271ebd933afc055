# SPDX-License-Identifier: Apache-2.0
"""A registry of MLflow whose model versions are checked: put ``keras-integrity+`` before its URI.

MLflow finds :func:`open_store` by the entry points of the group ``mlflow.model_registry_store``,
one for each scheme. Served (``mlflow server --registry-store-uri keras-integrity+sqlite:///...``)
it holds for everybody who uses the server; as a client's registry URI for that client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.store.model_registry.abstract_store import AbstractStore
else:  # for those who look annotations up at run time
    AbstractStore = object

PREFIX = "keras-integrity+"


def open_store(store_uri: str, tracking_uri: str | None = None) -> AbstractStore:
    """The registry behind ``keras-integrity+<URI of a registry>``, guarded.

    A builder in the sense of MLflow, which passes what it knows by name.

    Raises:
        mlflow.exceptions.MlflowException: MLflow knows no registry of that scheme.
    """
    from mlflow.tracking._model_registry.utils import _get_store_registry

    from keras_integrity_hook.mlflow_registry import store

    uri = store_uri.removeprefix(PREFIX)
    # Not get_store(), which hands out one object for each URI: what is opened without our prefix
    # in the same process stays as it is.
    build: Any = _get_store_registry().get_store_builder(uri)
    return store.guarded(build, uri, tracking_uri)
