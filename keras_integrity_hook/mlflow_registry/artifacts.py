# SPDX-License-Identifier: Apache-2.0
"""The artifacts of a model version as a directory whose path names model and version."""

from __future__ import annotations

import os
import shutil
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keras_integrity_hook.errors import UnreadableFileError
from keras_integrity_hook.files import temporary

_SCHEME = "mlflow-artifacts"


@contextmanager
def at_hand(uri: str, name: str, version: str) -> Iterator[str]:
    """The artifacts at ``uri``, in ``.../mlflow/NAME/VERSION`` as long as the context lasts.

    One rule of a policy (``path = "**/mlflow/churn/**"``) holds for a registered model wherever
    its versions are stored. That is why also what lies on this machine is copied: a link to it
    would be under the rules for the place where it lies.

    Raises:
        UnreadableFileError: they are not to be had.
        InsecurePermissionsError: others could put something else in their place.
    """
    with temporary.private_folder(for_children=True) as top:
        around = os.path.join(top, "mlflow", _as_entry(name))
        here = os.path.join(around, _as_entry(version))
        try:
            os.makedirs(around)
            _bring(uri, here)
        except Exception as error:
            cause = f"the artifacts at {uri} cannot be read ({error})"
            raise UnreadableFileError(cause, path=f"models:/{name}/{version}") from error
        yield here


def _bring(uri: str, here: str) -> None:
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    repository, path = _repository(uri)
    if isinstance(repository, LocalArtifactRepository):
        # MLflow's own copy follows links, wherever they lead.
        shutil.copytree(repository.download_artifacts(path), here, symlinks=True)
        return
    os.mkdir(here)
    repository.download_artifacts(path, here)


def _repository(uri: str) -> tuple[Any, str]:
    """Where the artifacts are, and by which path there.

    A server that hands out artifacts for its clients knows itself where they are: it must not ask
    itself over the network, with credentials that it does not have.
    """
    from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    destination = os.environ.get(ARTIFACTS_DESTINATION_ENV_VAR)
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme != _SCHEME or not destination:
        return get_artifact_repository(uri), ""
    path = urllib.parse.unquote(parts.path).strip("/")
    if ".." in path.split("/"):
        raise ValueError("the path leads out of the artifacts")
    return get_artifact_repository(destination), path


def _as_entry(text: str) -> str:
    """``text`` as the name of one directory entry: as it is, since rules spell it so, but for what
    no entry can be called."""
    quoted = str(text).replace("/", "%2F").replace("\0", "%00")
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")
