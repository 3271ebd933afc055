# SPDX-License-Identifier: Apache-2.0
"""Stores behind URLs for tests: an S3 server in a process of its own, and a web server.

Both count what they give out, so that a test can tell what was fetched.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_S3 = """
import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

backend = DomainDispatcherApplication(create_backend_app)
log = open(sys.argv[1], "a", buffering=1)

def counted(environ, start_response):
    asked = ("REQUEST_METHOD", "PATH_INFO", "HTTP_RANGE")
    method, path, ranged = (environ.get(name, "") for name in asked)
    # Written before anything is sent: whoever has the answer finds its line.
    pieces = list(backend(environ, start_response))
    sent = sum(map(len, pieces))
    log.write(f"{method} {path} {ranged or '-'} {sent}\\n")
    return pieces

class Quiet(WSGIRequestHandler):
    def log(self, *arguments):
        pass

server = make_server("127.0.0.1", 0, counted, threaded=True, request_handler=Quiet)
print(server.server_port, flush=True)
server.serve_forever()
"""
_NOBODYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Request:
    """One request to a server.

    Attributes:
        sent: bytes of the answer's body.
    """

    method: str
    path: str
    ranged: str
    sent: int


class Bucket:
    """A bucket of the S3 server, empty at first; ``url`` is its own."""

    def __init__(self, endpoint: str, name: str, log: Path) -> None:
        self.endpoint, self.name, self._log = endpoint, name, log
        self.url = f"s3://{name}"
        self._read = log.stat().st_size
        self.client.create_bucket(Bucket=name)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs that is to find it."""
        return {**_NOBODYS, "AWS_ENDPOINT_URL": self.endpoint}

    @property
    def client(self) -> Any:
        """boto3's, which knows nothing of the hook."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def names(self) -> list[str]:
        """Of the objects in it."""
        found = self.client.list_objects_v2(Bucket=self.name).get("Contents", ())
        return sorted(each["Key"] for each in found)

    def read(self, name: str) -> bytes:
        """An object."""
        return bytes(self.client.get_object(Bucket=self.name, Key=name)["Body"].read())

    def write(self, name: str, data: bytes) -> str:
        """Put an object; its URL."""
        self.client.put_object(Bucket=self.name, Key=name, Body=data)
        return f"{self.url}/{name}"

    def requests(self) -> list[Request]:
        """What was asked of the server since the last time, of whatever bucket."""
        text = self._log.read_text()[self._read :]
        self._read += len(text)
        rows = [line.rsplit(" ", 3) for line in text.splitlines()]
        return [
            Request(head.partition(" ")[0], head.partition(" ")[2], ranged, int(sent))
            for head, ranged, sent in ((" ".join(row[:-2]), row[-2], row[-1]) for row in rows)
        ]


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[tuple[str, Path]]:
    """An S3 server: its endpoint, and the log of its requests."""
    log = folder / "requests.log"
    log.touch()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KERAS_I")}
    with subprocess.Popen(
        [sys.executable, "-c", _S3, str(log)],
        env={**clean, **_NOBODYS, "KERAS_INTEGRITY": "off"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            port = server.stdout.readline().strip()
            yield f"http://127.0.0.1:{port}", log
        finally:
            server.kill()


@dataclass
class Web:
    """Files on a web server, and how it behaves.

    Attributes:
        files: content by path.
        knows_ranges: it answers requests for a part with that part.
        tells_size: answers have a length.
        breaks_off_after: bytes of an answer after which it hangs up; None for never.
        moved: where those are sent who ask for a path.
        refuses: it answers with the status 403.
        is_broken: it answers with the status 500.
        has_no_end: a part goes on and on.
        endless: bytes that were sent so.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    moved: dict[str, str] = field(default_factory=dict)
    knows_ranges: bool = True
    tells_size: bool = True
    breaks_off_after: int | None = None
    refuses: bool = False
    is_broken: bool = False
    has_no_end: bool = False
    endless: int = 0

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        path = handler.path.partition("?")[0]
        data = self.files.get(path)
        if path in self.moved:
            handler.send_response(302)
            handler.send_header("Location", self.moved[path])
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if data is None:
            handler.send_error(404)
            return
        if self.refuses:
            handler.send_error(403)
            return
        if self.is_broken:
            handler.send_error(500)
            return
        status, ranged = 200, handler.headers.get("Range", "")
        if ranged and self.knows_ranges:
            first, _, last = ranged.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last or len(data)), len(data) - 1)
            total, status = len(data), 206
            data = data[start : end + 1]
        handler.send_response(status)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {start}-{end}/{total}")
        if self.knows_ranges:
            handler.send_header("Accept-Ranges", "bytes")
        if self.tells_size and not (ranged and self.has_no_end):
            handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        sent = b"" if handler.command == "HEAD" else data[: self.breaks_off_after]
        self.requests.append(Request(handler.command, path, ranged or "-", len(sent)))
        with contextlib.suppress(ConnectionError):
            handler.wfile.write(sent)
            while ranged and self.has_no_end:
                handler.wfile.write(bytes(1 << 16))
                self.endless += 1 << 16


@contextlib.contextmanager
def web_server(host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """A web server on loopback."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.answer(self)

        def do_HEAD(self) -> None:
            web.answer(self)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer((host, 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        web.url = f"http{'s' if tls else ''}://{host}:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield web
        finally:
            server.shutdown()
