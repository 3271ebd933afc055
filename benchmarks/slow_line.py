# SPDX-License-Identifier: Apache-2.0
"""A line of a stated bandwidth and latency to a server on this machine.

``python -m benchmarks.slow_line PORT MEGABYTES_PER_SECOND MILLISECONDS`` prints the port at which
it listens. All connections share the bandwidth, each way its own; what is sent arrives half of the
latency later, and a connection stands after all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable

_PIECE = 1 << 16
_AHEAD = 64
"""Pieces on their way in one connection; the sender waits beyond that, as for a window of TCP."""


class Way:
    """One direction of the line.

    Args:
        bandwidth: bytes per second.
        latency: seconds that each piece takes.
    """

    def __init__(self, bandwidth: float, latency: float) -> None:
        self._bandwidth, self._latency = bandwidth, latency
        self._free = 0.0

    async def carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Bring what ``source`` gives to ``target``, until it ends."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_AHEAD)
        arriving = asyncio.create_task(_arrive(pieces, target))
        now: Callable[[], float] = asyncio.get_running_loop().time
        with contextlib.suppress(ConnectionError):
            while data := await source.read(_PIECE):
                self._free = max(self._free, now()) + len(data) / self._bandwidth
                await pieces.put((self._free + self._latency, data))
        await pieces.put((now(), b""))
        await arriving


async def _arrive(pieces: asyncio.Queue[tuple[float, bytes]], target: asyncio.StreamWriter) -> None:
    now = asyncio.get_running_loop().time
    with contextlib.suppress(ConnectionError):
        while True:
            when, data = await pieces.get()
            if not data:
                break
            if when > now():
                await asyncio.sleep(when - now())
            target.write(data)
            await target.drain()
    with contextlib.suppress(ConnectionError):
        target.close()
    while not pieces.empty():
        pieces.get_nowait()


async def serve(port: int, bandwidth: float, latency: float) -> None:
    """Stand between whoever connects and the server at ``port``, and print where."""
    up, down = Way(bandwidth, latency / 2), Way(bandwidth, latency / 2)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(latency)
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(up.carry(reader, to_writer), down.carry(to_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    given = [float(argument) for argument in sys.argv[1:4]]
    asyncio.run(serve(int(given[0]), given[1] * 1e6, given[2] / 1e3))
