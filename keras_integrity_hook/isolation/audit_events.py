# SPDX-License-Identifier: Apache-2.0
"""What Python code tries by name: hosts, addresses, commands. The kernel is never told those.

Of help where a model does nothing to hide. Whatever it does, the kernel refuses and the parent is
told by that: see ``supervisor``.
"""

from __future__ import annotations

import sys
from typing import Any

from keras_integrity_hook.isolation.protocol import BrokenChannelError, Channel
from keras_integrity_hook.limits import LIMITS

# What can succeed in no sandbox. https://docs.python.org/3/library/audit_events.html
# fmt: off
_TOLD = frozenset((
    "ftplib.connect", "http.client.connect", "imaplib.open", "nntplib.connect", "os.exec",
    "os.fork", "os.forkpty", "os.kill", "os.killpg", "os.posix_spawn", "os.spawn", "os.startfile",
    "os.system", "poplib.connect", "pty.spawn", "smtplib.connect", "socket.bind", "socket.connect",
    "socket.getaddrinfo", "socket.gethostbyaddr", "socket.gethostbyname", "socket.sendmsg",
    "socket.sendto", "subprocess.Popen", "telnetlib.Telnet.open", "urllib.Request",
    "webbrowser.open", "os.chmod", "os.chown", "os.utime", "os.setxattr", "os.removexattr",
    "syslog.openlog",
))
# fmt: on


def tell_by(channel: Channel) -> None:
    """Tell the parent of such events from now on; as many as it would show."""
    left = [LIMITS.sandbox_attempts]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _TOLD or left[0] <= 0 or _is_of_channel(event, arguments):
            return
        left[0] -= 1
        try:
            channel.send({"kind": "tried", "call": event, "target": _in_words(arguments)})
        except (BrokenChannelError, ValueError):
            left[0] = 0

    def _is_of_channel(event: str, arguments: tuple[Any, ...]) -> bool:
        return event == "socket.sendmsg" and getattr(arguments[0], "fileno", int)() == number

    number = channel.fileno()
    sys.addaudithook(hook)


def _in_words(arguments: tuple[Any, ...]) -> str:
    """The arguments that say something, cut; nothing of the model's is called for it."""
    return " ".join(_plain(each) for each in arguments if _is_plain(each))[: LIMITS.sandbox_text]


def _is_plain(value: Any) -> bool:
    if type(value) in (tuple, list):
        return all(_is_plain(each) for each in value[:16])
    return type(value) in (str, bytes, int) and value != 0


def _plain(value: Any) -> str:
    if type(value) in (tuple, list):
        return " ".join(_plain(each) for each in value[:16])
    return value.decode(errors="replace") if type(value) is bytes else str(value)
