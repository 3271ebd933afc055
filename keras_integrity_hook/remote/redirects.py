# SPDX-License-Identifier: Apache-2.0
"""Where a web server may send those who ask it for a model.

Hubs and releases answer with the address of another host, so redirects are followed; what is
fetched is checked in any case. But not more than a few, and never

- from ``https`` to ``http``: anyone on the way could read what is asked for, and answer it;
- from a host on the public internet to an address that is not on it: a server could have this
  machine ask what only this machine can reach, such as the cloud's own service for credentials.

Addresses are looked at when they are connected to, so that a name which has another one a moment
later is no way around that. A host that was named itself may have any address.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from aiohttp import ClientSession, TCPConnector, TraceConfig
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import DefaultResolver
from yarl import URL

from keras_integrity_hook.errors import RemoteError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.remote import urls

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are one of IPv4


@functools.lru_cache(maxsize=256)
def client_for(host: str) -> Callable[..., Awaitable[ClientSession]]:
    """What makes the session for requests to ``host``; one for each, by which fsspec tells its
    instances apart."""

    async def client(*, loop: object = None, **options: Any) -> ClientSession:
        watch = _Watch(host)
        traces = TraceConfig(SimpleNamespace)
        traces.on_request_redirect.append(watch.redirected)
        connector = TCPConnector(resolver=watch)
        return ClientSession(connector=connector, trace_configs=[traces], **options)

    return client


def is_public(address: str) -> bool:
    """Whether ``address``, in numbers, is one of the public internet."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


class _Watch(AbstractResolver):
    """Looks up the addresses of hosts, and at where a request is sent on to."""

    def __init__(self, host: str) -> None:
        self._named = host.lower().rstrip(".")
        self._inner = DefaultResolver()
        # A name of which nothing is known yet is taken for a public one.
        self._is_inside = _is_address(host) and not is_public(host)

    async def resolve(self, host: str, *where: Any, **family: Any) -> Any:
        """The addresses of ``host``. Raises RemoteError: one of them may not be asked."""
        found = await self._inner.resolve(host, *where, **family)
        public = [is_public(each["host"]) for each in found]
        if host.lower().rstrip(".") == self._named:
            self._is_inside = not any(public)
        elif not all(public):
            self._refuse_inside(host)
        return found

    async def close(self) -> None:
        """See :class:`AbstractResolver`."""
        await self._inner.close()

    async def redirected(self, session: object, request: SimpleNamespace, answer: Any) -> None:
        """Called before a redirect is followed. Raises RemoteError: it may not be."""
        request.count = getattr(request, "count", 0) + 1
        if request.count > LIMITS.redirects:
            raise _refusal(f"the server sends those who ask on over {LIMITS.redirects} times")
        headers = answer.response.headers
        told = headers.get("Location") or headers.get("URI") or ""
        target = answer.response.url.join(URL(told))
        if answer.response.url.scheme == "https" and target.scheme != "https":
            where = urls.shown(str(target))
            raise _refusal(f"the server sends those who ask to {where}, which is not encrypted")
        host = target.host or ""
        if _is_address(host) and not is_public(host):
            self._refuse_inside(host)

    def _refuse_inside(self, host: str) -> None:
        if not self._is_inside:
            raise _refusal(
                f"the server sends those who ask to {host}, which is not on the public internet"
            )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _refusal(cause: str) -> RemoteError:
    remedy = "If the place that it leads to is to be trusted, name that instead."
    return RemoteError(cause, remedy=remedy)
