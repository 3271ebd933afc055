# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as uvicorn speaks it, with a limit for each way to keep a connection busy.

uvicorn closes a connection that is idle between two requests. One that sends a head letter by
letter, or does not take its answer, it would keep for ever; and one that begins with TLS for as
long as asyncio does, a minute.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry.service import problems

_HEAD_SECONDS = 10.0
_TAKE_SECONDS = 30.0


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose servers do not wait long for TLS: no connection counts before that."""

    async def create_server(self, *args: Any, **keywords: Any) -> asyncio.Server:
        """As asyncio's."""
        if keywords.get("ssl") is not None:
            keywords["ssl_handshake_timeout"] = LIMITS.handshake
            keywords["ssl_shutdown_timeout"] = LIMITS.handshake
        return await super().create_server(*args, **keywords)


class Protocol(H11Protocol):
    """One connection."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > LIMITS.connections:
            transport.abort()
        else:
            self._restrict(_HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._release()  # the head is there
        elif self._timer is None and self.timeout_keep_alive_task is None:
            self._restrict(_HEAD_SECONDS)  # it has begun

    def pause_writing(self) -> None:
        super().pause_writing()
        self._restrict(_TAKE_SECONDS)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._release()

    def connection_lost(self, exc: Exception | None) -> None:
        self._release()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, or has a head that is too long, gets a problem document too."""
        problem = problems.of_status(HTTPStatus.BAD_REQUEST, msg)
        headers = [*problem.lines(), ("connection", "close")]
        start = h11.Response(status_code=problem.status, headers=headers, reason=b"Bad Request")
        for event in (start, h11.Data(data=problem.body()), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _restrict(self, seconds: float) -> None:
        self._release()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
