# SPDX-License-Identifier: Apache-2.0
"""The service as a process: where it listens, how it is told to end, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import uvicorn
from fastapi import FastAPI

from keras_integrity_hook.errors import ConfigurationError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry.service.protocol import Loop, Protocol

_BACKLOG = 1024
_IDLE_SECONDS = 30
_END_SECONDS = 30
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all fine
_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {
        "requests": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "stream": "ext://sys.stdout",
        },
        "trouble": {"class": "logging.StreamHandler", "formatter": "line"},
    },
    "loggers": {
        "uvicorn.access": {"handlers": ["requests"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"handlers": ["trouble"], "level": "WARNING", "propagate": False},
        __package__: {"handlers": ["trouble"], "level": "WARNING", "propagate": False},
    },
}


class Listening(NamedTuple):
    """Where the service is found.

    Attributes:
        unix: path of a socket, instead of ``host`` and ``port``.
        port: 0 for any that is free.
        certificate, key: PEM files for TLS, or empty.
    """

    host: str = "127.0.0.1"
    port: int = 8750
    unix: str = ""
    certificate: str = ""
    key: str = ""

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return bool(self.unix) or self.host in ("127.0.0.1", "::1", "localhost")


def bind(listening: Listening) -> socket.socket:
    """The socket, bound; raises ConfigurationError where that cannot be.

    One that systemd opened for us (``LISTEN_FDS``, see ``sd_listen_fds(3)``) comes first.
    """
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=3)
    try:
        return _unix(listening.unix) if listening.unix else _tcp(listening)
    except OSError as error:
        where = listening.unix or f"{listening.host}:{listening.port}"
        raise ConfigurationError(
            f"the service cannot listen at {where} ({error.strerror or error})",
            remedy="Choose another address with --host, --port or --unix.",
        ) from None


def serve(
    service: FastAPI,
    listening: Listening,
    bound: socket.socket,
    ready: Callable[[], None],
    *,
    log_requests: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT; what is being answered then is answered still.

    A second SIGINT ends it at once; an event for which somebody got a receipt is on the disk.

    Args:
        ready: called once requests are answered.

    Raises:
        ConfigurationError: the certificate and its key cannot be used.
    """
    config = uvicorn.Config(
        service,
        http=Protocol,
        ws="none",
        lifespan="on",
        access_log=log_requests,
        log_config=_LOGGING,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_END_SECONDS,
        h11_max_incomplete_event_size=LIMITS.request_head,
        ssl_certfile=listening.certificate or None,
        ssl_keyfile=listening.key or None,
        ssl_ciphers=_CIPHERS,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        cause = f"the certificate and its key cannot be used ({error.strerror or error})"
        remedy = "--tls-cert and --tls-key are PEM files that belong together."
        raise ConfigurationError(cause, path=listening.certificate, remedy=remedy) from None
    server = _Server(config, ready)
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(server.serve(sockets=[bound]))


def url_of(listening: Listening, bound: socket.socket) -> str:
    """How clients call it; ``unix:PATH`` for a Unix socket."""
    scheme = "https" if listening.certificate else "http"
    if bound.family == socket.AF_UNIX:
        return f"unix:{bound.getsockname()}"
    host, port = bound.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


class _Server(uvicorn.Server):
    """Ends with status 0 when it is told to end, and says to systemd how it is."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again afterwards, as if it had not been heard.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready()
        _notify("READY=1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        _notify("STOPPING=1")
        await super().shutdown(sockets=sockets)


def _tcp(listening: Listening) -> socket.socket:
    found = socket.getaddrinfo(listening.host, listening.port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def _unix(path: str) -> socket.socket:
    """A socket that its owner's group may use, too; one that a dead service left is replaced."""
    made = socket.socket(socket.AF_UNIX)
    try:
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            made.connect(path)
            raise OSError("another process listens there")
        made.close()
        made = socket.socket(socket.AF_UNIX)
        _remove_socket(path)
        before = os.umask(0o117)
        try:
            made.bind(path)
        finally:
            os.umask(before)
    except OSError:
        made.close()
        raise
    return made


def _remove_socket(path: str) -> None:
    import stat

    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)


def _notify(state: str) -> None:
    """Tell systemd, where it asked to be told (``sd_notify(3)``)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        sender.sendall(state.encode())
