# SPDX-License-Identifier: Apache-2.0
"""A real MLflow server on this machine with a guarded registry, and models registered with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SERVING = re.compile(r"running on (http://127\.0\.0\.1:\d+)")


@contextmanager
def served(home: Path, **variables: str) -> Iterator[str]:
    """The address of a server that keeps everything below ``home``."""
    home.mkdir(parents=True, exist_ok=True)
    database = f"sqlite:///{home}/mlflow.db"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "0"]
    command += ["--workers", "1", "--backend-store-uri", database]
    command += ["--registry-store-uri", f"keras-integrity+{database}"]
    command += ["--artifacts-destination", str(home / "artifacts")]
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=home, env={**os.environ, **variables}, stdout=log, stderr=log
        )
        try:
            yield _address(server, home / "server.log")
        finally:
            server.terminate()
            server.wait(timeout=100)


def register(client: Any, name: str, model: Path, *, tags: dict[str, str] | None = None) -> str:
    """Log the file or directory ``model`` and register it as ``name``; the version's number."""
    run = client.create_run("0")
    client.log_artifact(run.info.run_id, str(model), "model")
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    source = f"{run.info.artifact_uri}/model"
    return str(client.create_model_version(name, source, run.info.run_id, tags).version)


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    """What the server says of itself once it answers, at a port that the system has chosen."""
    while (said := _SERVING.search(log.read_text())) is None:
        assert server.poll() is None, log.read_text()
        time.sleep(0.2)
    return said[1]
