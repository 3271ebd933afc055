# SPDX-License-Identifier: Apache-2.0
"""The start of a confined process: which program, with which descriptors, and what it is told.

What it is told comes before it is locked down, and from the parent alone: it is believed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import NamedTuple

from keras_integrity_hook.errors import SandboxUnavailableError
from keras_integrity_hook.isolation import filters, reachable
from keras_integrity_hook.isolation.home import PrivateHome
from keras_integrity_hook.isolation.protocol import Channel, Message
from keras_integrity_hook.isolation.reachable import Reachable
from keras_integrity_hook.isolation.sandbox_limits import SandboxLimits
from keras_integrity_hook.limits import LIMITS

_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child.py")


class Started(NamedTuple):
    """A process that was started.

    Attributes:
        child: it itself, the first of a group of its own.
        output: descriptor of what it prints; reading from it does not block.
        memory: descriptor of its memory, for a supervisor only; -1 where that cannot be had.
    """

    child: subprocess.Popen[bytes]
    output: int
    memory: int


def start(theirs: Channel, home: PrivateHome, seen: Reachable) -> Started:
    """Start the program, which waits for :func:`setup` at the other end of ``theirs``.

    Raises:
        SandboxUnavailableError: Python cannot be started.
    """
    home.write("keras.json", _keras_json())
    command = [sys.executable, "-I", "-S", "-B", "-u", "-W", "ignore", _PROGRAM]
    output, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(writer, True)
    try:
        child = subprocess.Popen(
            [*command, str(theirs.fileno())],
            env=reachable.environment(home.path, with_devices=bool(seen.devices)),
            cwd=home.path,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            pass_fds=[theirs.fileno()],
            # Its group is not orphaned before we are: then the kernel ends what stands still.
            process_group=0,
        )
    except OSError as error:
        os.close(output)
        raise SandboxUnavailableError(f"Python cannot be started ({error})") from error
    finally:
        os.close(writer)
    # Now, as it closes itself to others when it locks down.
    memory = -1
    with contextlib.suppress(OSError):
        memory = os.open(f"/proc/{child.pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    return Started(child, output, memory)


def setup(  # noqa: PLR0913
    pid: int,
    home: PrivateHome,
    seen: Reachable,
    limits: SandboxLimits,
    *,
    host: str,
    abi: int | None,
    is_warm: bool,
) -> Message:
    """The first message to the process ``pid``: all that ``child.main`` has to know."""
    made = filters.compiled(pid, with_devices=bool(seen.devices))
    return {
        "host": host,
        "home": home.path,
        "search": seen.search,
        "readable": seen.readable,
        "listable": seen.listable,
        "devices": seen.devices,
        "abi": abi,
        "is_warm": is_warm,
        "first": made.first.hex(),
        "second": made.second.hex(),
        "number": made.number,
        "disk": limits.disk,
        "memory": limits.memory,
        "cpu_seconds": limits.cpu_seconds,
    }


def _keras_json() -> bytes:
    """Keras's configuration, the same inside as outside."""
    configuration = reachable.keras_configuration()
    if configuration:
        return json.dumps(configuration).encode()
    try:
        with open(reachable.user_file(), "rb") as file:
            return file.read(LIMITS.sandbox_message)
    except OSError:
        return b"{}"
