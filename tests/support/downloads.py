# SPDX-License-Identifier: Apache-2.0
"""Real web servers on this machine, one with TLS and one without, for the tests of downloads."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

GetFile = Callable[..., Path]


class Site(ThreadingHTTPServer):
    """Serves ``pages`` (path to content) and ``moved`` (path to the URL it redirects to).

    Attributes:
        connections: how many were made, whether or not anything was asked.
        requests: the paths asked for, and the Authorization headers.
    """

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        self.connections = 0
        self.requests: list[tuple[str, str | None]] = []
        self._scheme = "https" if context else "http"
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def url(self, path: str) -> str:
        """The URL of a path that begins with a slash."""
        return f"{self._scheme}://localhost:{self.server_port}{path}"

    def verify_request(self, request: Any, client_address: Any) -> bool:
        self.connections += 1
        return True


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Authorization")))
        path = self.path.partition("?")[0]
        if path in self.server.moved:
            self.send_response(302)
            self.send_header("Location", self.server.moved[path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = self.server.pages.get(path)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Answer requests in a thread, for as long as the block runs."""
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        site.server_close()
        thread.join()
