# SPDX-License-Identifier: Apache-2.0
"""The service of a registry as a process, and what asks it."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from keras_integrity_hook.registry import signed
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.store import open_store
from keras_integrity_hook.signing import signers
from tests.support.processes import environment
from tests.support.registries import Cast

JSON = {"content-type": "application/json"}
LINES = {"content-type": "application/x-ndjson"}


class Reply(NamedTuple):
    """What was answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Running(NamedTuple):
    """A service that runs.

    Attributes:
        url: as it says itself.
        database: URL of what it serves.
        cast: who may act in that registry.
    """

    process: subprocess.Popen[str]
    url: str
    database: str
    cast: Cast

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> Reply:
        """One request on a connection of its own."""
        connection = self._connection(tls)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, headers=headers)

    def post(self, *events: SignedEvent) -> Reply:
        """Hand events in."""
        body = b"\n".join(map(signed.encode, events))
        return self.ask("POST", "/v1/events", body, JSON if len(events) == 1 else LINES)

    def raw(self, data: bytes) -> bytes:
        """What is answered to bytes that need not be HTTP, until the service hangs up."""
        address = urlsplit(self.url)
        with socket.create_connection((address.hostname, address.port), timeout=60) as plain:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                plain.sendall(data)
            parts = []
            with contextlib.suppress(ConnectionResetError):
                while part := plain.recv(65536):
                    parts.append(part)
        return b"".join(parts)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Tell the service to end; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def _connection(self, tls: ssl.SSLContext | None) -> http.client.HTTPConnection:
        if self.url.startswith("unix:"):
            connection = http.client.HTTPConnection("localhost", timeout=60)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(60)
            connection.sock.connect(self.url.removeprefix("unix:"))
            return connection
        address = urlsplit(self.url)
        host, port = address.hostname or "", address.port
        if tls is not None:
            return http.client.HTTPSConnection(host, port, timeout=60, context=tls)
        return http.client.HTTPConnection(host, port, timeout=60)


def found_registry(database: str, cast: Cast) -> None:
    """Make the tables, and the first event."""
    with open_store(database, create=True) as store:
        key = signers.find(cast.service)
        store.append(cast.founding(), service_key=key, now=datetime.now(UTC))


@contextlib.contextmanager
def serving(database: str, cast: Cast, *options: str, home: Path) -> Iterator[Running]:
    """``registry serve`` at a free port, until the end of the block.

    Args:
        home: a directory for what it prints.
    """
    command = [sys.executable, "-m", "keras_integrity_hook.cli", "registry", "serve"]
    command += ["--registry", database, "--service-key", cast.service, "--port", "0", *options]
    with (home / "serve.err").open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment()
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("serving"), line + (home / "serve.err").read_text()
        yield Running(process, line.split()[1], database, cast)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
