# SPDX-License-Identifier: Apache-2.0
"""Connections to a registry's service, kept for the next question; each wait on one has an end.

A time-out of a socket is for one read of it. Here the time is for a whole answer: a server that
always says a little more is given up all the same.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from http.client import HTTPConnection
else:  # for those who look annotations up at run time
    HTTPConnection = object

_Result = TypeVar("_Result")

_IDLE_SECONDS = 20.0  # the service ends what was idle for 30
_HTTPS = 443
_MOST = 4  # that are kept for one registry
_kept: dict[tuple[str, int], list[Connection]] = {}


class Connection:
    """An open connection.

    Attributes:
        is_good: whether another question can follow.
    """

    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection
        with _given_up_after(connection):
            connection.connect()
        self._socket = _Socket(connection.sock)
        connection.sock = self._socket
        self.is_good = False
        self._used = time.monotonic()

    def ask(  # noqa: PLR0913
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        limit: int,
        until: float,
    ) -> tuple[int, bytes]:
        """The status and the body of an answer; one byte more than ``limit`` where it is too long.

        Args:
            until: when all of it has to be there, on the monotonic clock; else TimeoutError.
        """
        self.is_good = False
        self._socket.until = until
        self._connection.request(method, target, body, dict(headers))
        with self._connection.getresponse() as response:
            data = response.read(limit + 1)
            self.is_good = response.isclosed() and not response.will_close
        self._used = time.monotonic()
        return response.status, data

    @property
    def is_alive(self) -> bool:
        """Whether the server has it open still, as far as can be seen here."""
        if time.monotonic() - self._used > _IDLE_SECONDS:
            return False
        try:
            # There is nothing that it could have to say now but that it has ended.
            return not select.select([self._socket.plain], [], [], 0)[0]
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def _given_up_after(connection: HTTPConnection) -> Iterator[None]:
    """Let what is said before a connection is there take no longer than its time-out: with a proxy,
    as many reads as that likes."""
    if connection.default_port != _HTTPS:
        yield
        return

    def give_up() -> None:
        with contextlib.suppress(OSError):  # it has ended
            # A TLS socket's own method takes from the reader what it reads with.
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    timer = threading.Timer(connection.timeout or 0, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def used(
    url: str, made: Callable[[], HTTPConnection], use: Callable[[Connection], _Result]
) -> _Result:
    """What ``use`` returns of a connection to ``url``: one that was kept, or a new one.

    It is called again with a new one where the server has ended the kept one meanwhile.
    """
    from http.client import HTTPException

    idle = _idle(url)
    while idle:
        try:
            connection = idle.pop()
        except IndexError:  # another thread was faster
            break
        if not connection.is_alive:
            connection.close()
            continue
        try:
            return _used(connection, idle, use)
        except TimeoutError:
            raise
        except (HTTPException, OSError):
            break
    return _used(Connection(made()), idle, use)


def _used(
    connection: Connection, idle: list[Connection], use: Callable[[Connection], _Result]
) -> _Result:
    try:
        result = use(connection)
    except BaseException:
        connection.close()
        raise
    if connection.is_good and len(idle) < _MOST:
        idle.append(connection)
    else:
        connection.close()
    return result


def _idle(url: str) -> list[Connection]:
    """Those that this process has; a forked one has copies of its parent's, and lets go of them."""
    process = os.getpid()
    for which in [which for which in tuple(_kept) if which[1] != process]:
        for connection in _kept.pop(which, ()):
            connection.close()
    return _kept.setdefault((url, process), [])


class _Socket:
    """What an HTTP connection needs of a socket, whose every wait ends at one time.

    Attributes:
        until: when, on the monotonic clock.
    """

    def __init__(self, plain: socket.socket) -> None:
        self.plain = plain
        self.until = 0.0

    def sendall(self, data: bytes) -> None:
        self.restrict()
        self.plain.sendall(data)

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(_Reading(self, self.plain.makefile("rb", buffering=0)))

    def restrict(self) -> None:
        """Let the next wait take no longer than what is left; raises TimeoutError."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.plain.settimeout(left)

    def close(self) -> None:
        self.plain.close()


class _Reading(io.RawIOBase):
    """What is read from a socket; that stays open until this is closed, too."""

    def __init__(self, socket: _Socket, file: io.RawIOBase) -> None:
        super().__init__()
        self._socket, self._file = socket, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.restrict()
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()
