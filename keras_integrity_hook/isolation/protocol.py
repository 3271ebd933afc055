# SPDX-License-Identifier: Apache-2.0
"""Messages between the two processes: one JSON object in one packet, descriptors beside it.

``SOCK_SEQPACKET`` keeps the borders of messages, so that there is no length to believe. The parent
takes no descriptor but the one that it waits for: what is sent beside other messages is closed by
the kernel. Both sides import this module; the child before it is locked down.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Sequence
from typing import Any

from keras_integrity_hook.limits import LIMITS

Message = dict[str, Any]

_DESCRIPTORS = 250  # beside one message; Linux allows 253


class BrokenChannelError(Exception):
    """The other side has gone, or does not speak the protocol."""


class Channel:
    """One end of the connection.

    Args:
        end: of a pair of ``AF_UNIX``, ``SOCK_SEQPACKET``; taken over.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @staticmethod
    def pair() -> tuple[Channel, Channel]:
        """Two that are connected."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return Channel(one), Channel(other)

    def fileno(self) -> int:
        """For ``poll``, and to hand it on."""
        return self._end.fileno()

    def wait_at_most(self, seconds: float | None) -> None:
        """Let what follows fail after so many seconds; None: wait for ever."""
        self._end.settimeout(seconds)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send one message.

        Raises:
            BrokenChannelError: nobody is there to take it, or it is too long.
        """
        data = json.dumps(message, ensure_ascii=True).encode()
        if len(data) > LIMITS.sandbox_message or len(descriptors) > _DESCRIPTORS:
            raise BrokenChannelError("a message that is too long")
        rights = array.array("i", descriptors)
        beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
        try:
            self._end.sendmsg([data], beside)
        except OSError as error:
            raise BrokenChannelError(f"cannot be sent ({error})") from error

    def receive(self, descriptors: int = 0) -> tuple[Message, list[int]]:
        """The next message, and the descriptors beside it.

        Args:
            descriptors: how many are taken at most.

        Raises:
            BrokenChannelError: the other side has gone, or this is no message.
        """
        room = socket.CMSG_SPACE(descriptors * 4) if descriptors else 0
        try:
            data, beside, flags, _ = self._end.recvmsg(LIMITS.sandbox_message, room)
        except OSError as error:
            raise BrokenChannelError(f"cannot be read ({error})") from error
        taken = _taken(beside)
        try:
            if not data:
                raise BrokenChannelError("the other side has gone")
            if flags & socket.MSG_TRUNC:
                raise BrokenChannelError("a message that is too long")
            return _parsed(data), taken
        except BaseException:
            close_all(taken)
            raise

    def close(self) -> None:
        """Close it; calling it again does nothing."""
        self._end.close()


def close_all(descriptors: Sequence[int]) -> None:
    """Close every one."""
    for descriptor in descriptors:
        os.close(descriptor)


def _taken(beside: Sequence[tuple[int, int, bytes]]) -> list[int]:
    taken: list[int] = []
    for level, kind, data in beside:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            rights = array.array("i")
            rights.frombytes(data[: len(data) - len(data) % rights.itemsize])
            taken += rights
    return taken


def _parsed(data: bytes) -> Message:
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BrokenChannelError("no JSON") from error
    if not isinstance(message, dict):
        raise BrokenChannelError("no JSON object")
    return message
