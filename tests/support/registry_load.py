# SPDX-License-Identifier: Apache-2.0
"""Many who read from a registry's service and post to it at once, each on a connection of its own
that it keeps."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from keras_integrity_hook.registry import signed
from keras_integrity_hook.registry.signed import SignedEvent


class Load(NamedTuple):
    """What was answered.

    Attributes:
        statuses: how often each was.
        receipts: of what was posted.
        reads, writes: seconds that each question took.
        seconds: in sum.
    """

    statuses: dict[int, int]
    receipts: list[dict[str, Any]]
    reads: list[float]
    writes: list[float]
    seconds: float


def put_on(
    url: str, paths: Sequence[Sequence[str]], posts: Sequence[Sequence[SignedEvent]]
) -> Load:
    """Ask and post until all is answered.

    Args:
        paths: for each reader, what it asks for, one after the other.
        posts: for each writer, what it posts.
    """
    return asyncio.run(_all(urlsplit(url).port or 0, paths, posts))


async def _all(
    port: int, paths: Sequence[Sequence[str]], posts: Sequence[Sequence[SignedEvent]]
) -> Load:
    load = Load({}, [], [], [], 0.0)
    begun = time.perf_counter()
    readers = [_client(port, map(_get, one), load, load.reads) for one in paths]
    writers = [_client(port, map(_post, one), load, load.writes) for one in posts]
    await asyncio.gather(*readers, *writers)
    return load._replace(seconds=time.perf_counter() - begun)


async def _client(port: int, requests: Iterable[bytes], load: Load, times: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    for request in requests:
        begun = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
        times.append(time.perf_counter() - begun)
        status = int(head.split()[1])
        load.statuses[status] = load.statuses.get(status, 0) + 1
        if status == 201:
            load.receipts.extend(json.loads(body)["receipts"])
    writer.close()
    await writer.wait_closed()


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


def _post(event: SignedEvent) -> bytes:
    body = signed.encode(event)
    head = "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
