# SPDX-License-Identifier: Apache-2.0
"""What every request passes before its route, and every response after it.

1. No more requests at once than fit, no target that is too long, no body that is too long or too
   slow: each is refused before it costs memory or a thread.
2. Who has to have a token has one.
3. Every response has the headers by which a browser does nothing with it that was not meant.
4. What nobody thought of is a problem document too, and a traceback in the log of the service.
"""

from __future__ import annotations

import asyncio
import logging
import time
from http import HTTPStatus
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.registry.service import problems, tokens
from keras_integrity_hook.registry.service.metrics import Metrics
from keras_integrity_hook.registry.service.options import Options
from keras_integrity_hook.registry.service.problems import Problem

PUBLIC = "/healthz"
"""What asks for it has no token: a load balancer, a container's health check."""

_LINGER_SECONDS, _LINGER_BYTES = 2.0, 64 * MIB
_CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_HSTS = "max-age=31536000"
_CHALLENGE = {"www-authenticate": 'Bearer realm="registry", Basic realm="registry"'}
_log = logging.getLogger(__name__)


class Boundary:
    """ASGI middleware around all routes of the service."""

    def __init__(self, app: ASGIApp, *, options: Options, metrics: Metrics) -> None:
        self._app, self._options, self._metrics = app, options, metrics
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._options)
        begun = time.perf_counter()
        self._open += 1
        self._metrics.begun()
        try:
            await self._answer(scope, exchange)
        finally:
            self._open -= 1
            route = getattr(scope.get("route"), "path", "none")
            seconds = time.perf_counter() - begun
            self._metrics.answered(scope["method"], route, exchange.status, seconds)

    async def _answer(self, scope: Scope, exchange: _Exchange) -> None:
        problem = self._refusal(scope)
        if problem is not None:
            await exchange.refuse(problem)
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception:
            _log.exception("%s %s failed", scope["method"], _target(scope).decode("latin-1"))
            if exchange.status:
                raise  # half of an answer is out: the connection has to break
            await exchange.refuse(problems.of_status(HTTPStatus.INTERNAL_SERVER_ERROR))

    def _refusal(self, scope: Scope) -> Problem | None:
        """Why the request gets no further, as far as its head tells."""
        headers = Headers(scope=scope)
        if self._open > self._options.waiting:
            busy = "too many requests at once"
            return problems.of_status(HTTPStatus.SERVICE_UNAVAILABLE, busy, {"retry-after": "1"})
        if len(_target(scope)) + len(scope["query_string"]) > LIMITS.request_target:
            return problems.of_status(HTTPStatus.REQUEST_URI_TOO_LONG)
        if sum(len(name) + len(value) for name, value in scope["headers"]) > LIMITS.request_head:
            return problems.of_status(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > LIMITS.request_body:
            return problems.of_status(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large())
        return None if self._may_pass(scope["path"], headers) else _unauthorized()

    def _may_pass(self, path: str, headers: Headers) -> bool:
        known = self._options.tokens
        if not known or path == PUBLIC:
            return True
        return tokens.owner(headers.get("authorization", ""), known) is not None


class _Exchange:
    """One request and its response.

    Attributes:
        status: of the response; 0 until it begins.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, options: Options) -> None:
        self._receive, self._send, self._options = receive, send, options
        self.status = 0
        self._read = 0
        headers = Headers(scope=scope)
        self._is_unread = (
            "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        )
        self._until = asyncio.get_running_loop().time() + options.body_seconds

    async def receive(self) -> Message:
        """The next part of the body.

        Raises:
            HTTPException: that makes it too long (413), or it does not come in time (408).
        """
        if not self._is_unread:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive") from None
        self._read += len(message.get("body", b""))
        self._is_unread = message.get("more_body", False)
        if self._read > LIMITS.request_body:
            self._is_unread = True
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large())
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the response, with what every response has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._complete(MutableHeaders(scope=message))
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if is_last and self._is_unread:
            # A connection that is closed while its client still sends is reset, and the client
            # never sees why: let it send on for a moment.
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body"}
        await self._send(message)

    async def refuse(self, problem: Problem) -> None:
        """Answer with ``problem``."""
        body = problem.body()
        headers = [*problem.lines(), ("content-length", str(len(body)))]
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        await self.send({"type": "http.response.start", "status": problem.status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})

    def _complete(self, headers: MutableHeaders) -> None:
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if self._options.is_tls:
            headers.setdefault("strict-transport-security", _HSTS)
        if self._is_unread:
            headers["connection"] = "close"

    async def _linger(self) -> None:
        left = _LINGER_BYTES
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b"")) or 1
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return
        except TimeoutError:
            return


def _target(scope: Scope) -> bytes:
    """The path as it was sent, with no character in it that could forge a line of a log."""
    return scope.get("raw_path") or quote(scope["path"]).encode()


def _too_large() -> str:
    return f"the body of a request has at most {LIMITS.request_body} bytes"


def _unauthorized() -> Problem:
    detail = "this registry answers only those who have a token"
    return problems.of_status(HTTPStatus.UNAUTHORIZED, detail, _CHALLENGE)
