# SPDX-License-Identifier: Apache-2.0
"""The audit log as messages to the system's log daemon, which keeps what a user cannot change."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping

from keras_integrity_hook.audit.event import line

SCHEME = "syslog:"
_SOCKETS = ("/dev/log", "/var/run/syslog")  # of Linux, and of macOS
_AUTHPRIV = 10 << 3  # RFC 5424: security messages, which most daemons keep from other users
_ERROR, _WARNING, _INFO = 3, 4, 6
_SEVERITIES = {"ok": _INFO, "refused": _ERROR, "failed": _ERROR}


def send(target: str, event: Mapping[str, object]) -> None:
    """Send ``event`` as one message.

    Args:
        target: ``syslog:``, or ``syslog:`` and the path of another datagram socket.

    Raises:
        OSError: nobody listens, or too slowly.
    """
    priority = _AUTHPRIV | _SEVERITIES.get(str(event["outcome"]), _WARNING)
    head = f"<{priority}>keras-integrity[{os.getpid()}]: ".encode()
    with _sender() as sender:
        sender.sendto(head + line(event).rstrip(b"\n"), _address(target))


def try_out(target: str) -> None:
    """Find out whether somebody listens at ``target``; nothing is sent. Raises OSError."""
    with _sender() as sender:
        sender.connect(_address(target))


def _sender() -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(errno.EAFNOSUPPORT, "this system has no log daemon; name a file instead")
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


def _address(target: str) -> str:
    named = target.removeprefix(SCHEME)
    return named or next((one for one in _SOCKETS if os.path.exists(one)), _SOCKETS[0])
