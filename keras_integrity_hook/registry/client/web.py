# SPDX-License-Identifier: Apache-2.0
"""A registry behind a URL: a service, or a mirror on a web server.

Nothing that comes from there is believed: ``verdicts.verify`` decides. What is bounded here is what
it may cost: no redirects, a limit for every body, one time for all of an answer.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from keras_integrity_hook._version import __version__
from keras_integrity_hook.errors import (
    EventRefusedError,
    LimitExceededError,
    MalformedEventError,
    RegistryError,
    RegistryUnavailableError,
    printable,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import answers, notes
from keras_integrity_hook.registry.client import connections, mirrored
from keras_integrity_hook.registry.client.memory import Asked
from keras_integrity_hook.registry.client.source import Said
from keras_integrity_hook.registry.signed import SignedEvent, encode
from keras_integrity_hook.signing import secret

if TYPE_CHECKING:
    from http.client import HTTPConnection
    from ssl import SSLContext

    from keras_integrity_hook.registry.client.connections import Connection
else:  # for those who look annotations up at run time
    HTTPConnection = SSLContext = Connection = object

TOKEN, TOKEN_FILE = "KERAS_INTEGRITY_REGISTRY_TOKEN", "KERAS_INTEGRITY_REGISTRY_TOKEN_FILE"
"""What a registry that is not for everybody asks for: itself, or the path of a file, mode 0600."""
_OK, _CREATED, _NOT_FOUND = 200, 201, 404
_BAD, _UNAUTHORIZED, _REFUSED = 400, 401, 409
_MOST_KEYS = 8  # that are asked about one by one
_TEXT = 300  # characters of what a server says of a refusal


class Web(NamedTuple):
    """A service, or a mirror.

    Attributes:
        timeout: seconds that each question may take.
    """

    url: str
    timeout: float

    @property
    def ends_in_time(self) -> bool:
        # On this machine: no name server is asked, and the rest is bounded here.
        return urlsplit(self.url).scheme == "http"

    @property
    def needs_freshness(self) -> bool:
        return True

    def answers(self, asked: Asked, seen: bytes) -> Sequence[Said]:
        keys = f"keys={_spelled(asked.keys)}&" if asked.keys else ""
        since = notes.unverified_checkpoint(seen).size if seen else 0
        until = time.monotonic() + self.timeout
        read = functools.partial(self._read, until=until)
        data = read(
            f"v1/digests/{','.join(asked.digests)}?{keys}since={since}", LIMITS.registry_answer
        )
        if data is None:  # A service has an answer about everything.
            return mirrored.answers(read, asked, seen)
        return (Said(answers.decode(data)),)

    def submit(self, signed: SignedEvent) -> int:
        until = time.monotonic() + self.timeout
        status, data = self._asked("POST", "v1/events", LIMITS.registry_note, until, encode(signed))
        said = _object(data)
        if status not in (_OK, _CREATED):
            raise _refusal(status, said)
        try:
            return int(said["receipts"][0]["position"])
        except (KeyError, IndexError, TypeError, ValueError):
            cause = "what the registry answered is no receipt"
            raise RegistryUnavailableError(cause) from None

    def read(self, path: str, limit: int) -> bytes | None:
        return self._read(path, limit, until=time.monotonic() + self.timeout)

    def _read(self, path: str, limit: int, *, until: float) -> bytes | None:
        status, data = self._asked("GET", path, limit, until)
        if status == _NOT_FOUND:
            return None
        if status != _OK:
            raise _refusal(status, _object(data))
        return data

    def _asked(
        self, method: str, path: str, limit: int, until: float, body: bytes | None = None
    ) -> tuple[int, bytes]:
        """The status and the body, of at most ``limit`` bytes, of the answer to a request, which is
        there before ``until`` on the monotonic clock."""
        from http.client import HTTPException

        headers = {"User-Agent": f"keras-integrity-hook/{__version__}", **_authorization()}
        headers |= {"Content-Type": "application/json"} if body else {}
        base = urlsplit(self.url)
        target = f"{base.path.rstrip('/')}/{path}"

        def exchanged(connection: Connection) -> tuple[int, bytes]:
            return connection.ask(method, target, body, headers, limit=limit, until=until)

        try:
            # Asking twice does no harm: an event that is there already is not put there again.
            status, data = connections.used(
                self.url, lambda: _connection(self.url, _left(until)), exchanged
            )
        except TimeoutError as error:
            cause = f"the registry at {base.netloc} did not answer within {self.timeout:g} s"
            raise RegistryUnavailableError(cause) from error
        except (HTTPException, OSError) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            cause = f"the registry at {base.netloc} cannot be reached ({printable(why)})"
            raise RegistryUnavailableError(cause) from error
        if len(data) > limit:
            raise LimitExceededError(f"the registry at {base.netloc} answers over {limit} bytes")
        return status, data


def _left(until: float) -> float:
    """Seconds; raises TimeoutError where there are none."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _spelled(keys: Sequence[str]) -> str:
    """So that a seal which names any number of keys, as anybody can write one, makes no question
    that is too long for a service: whoever does not answer one is not asked another."""
    return ",".join(keys) if len(keys) <= _MOST_KEYS else answers.EVERY_KEY


def _connection(url: str, timeout: float) -> HTTPConnection:
    """To the server of ``url``, or to the proxy that the environment names for it."""
    from http import client
    from urllib.request import getproxies, proxy_bypass

    base = urlsplit(url)
    if base.scheme == "http":  # on this machine
        return client.HTTPConnection(base.netloc, timeout=timeout)
    proxy = None if proxy_bypass(base.hostname or "") else getproxies().get("https")
    if proxy is None:
        return client.HTTPSConnection(base.netloc, timeout=timeout, context=_tls())
    via = client.HTTPSConnection(urlsplit(proxy).netloc, timeout=timeout, context=_tls())
    via.set_tunnel(base.netloc)
    return via


def _authorization() -> Mapping[str, str]:
    token, path = os.environ.get(TOKEN), os.environ.get(TOKEN_FILE)
    if not token and path:
        token = secret.read_file(path, "token file").decode("ascii", "replace").strip()
    if token and not (token.isascii() and token.isprintable()):
        raise RegistryError("the token for the registry holds characters that no token has")
    return {"Authorization": f"Bearer {token}"} if token else {}


@functools.cache
def _tls() -> SSLContext:
    """With the authorities of the system, or of ``SSL_CERT_FILE``: read once, which takes 10 ms."""
    from ssl import create_default_context

    return create_default_context()


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(status: int, said: Mapping[str, Any]) -> RegistryError:
    """What a problem document (RFC 9457) says, as the error that the service raised."""
    detail = said.get("detail")
    why = f": {printable(detail)[:_TEXT]}" if isinstance(detail, str) else ""
    cause = f"the registry answers with status {status}{why}"
    if status == _REFUSED and said.get("code") == EventRefusedError.code:
        evidence = said.get("evidence")
        rule = evidence.get("rule") if isinstance(evidence, dict) else None
        return EventRefusedError(cause, rule=rule if isinstance(rule, str) else "")
    if status == _UNAUTHORIZED:
        return RegistryError(cause, remedy=f"Set {TOKEN_FILE} to a file with the token.")
    if status == _BAD and said.get("code") == MalformedEventError.code:
        return MalformedEventError(cause)
    return RegistryUnavailableError(cause)  # whoever answered here: a proxy, another program
