# SPDX-License-Identifier: Apache-2.0
"""The program of a confined process: ``python -I -S child.py DESCRIPTOR``.

1. Take what the parent says of the machine.
2. Lock down. From here on nothing outside can be written, asked, started or signalled.
3. Import Keras, of which no other start-up file knows (``-S``).
4. Before the first model: bounds on memory and time, and every refusal is told.
5. Answer questions until nobody asks.
"""

from __future__ import annotations

import ctypes.util
import os
import socket
import sys
from typing import Any

_PACKAGE_HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_OPEN_FILES = 4096


def main() -> None:
    """Serve the parent at the other end of the descriptor in the last argument."""
    sys.path.append(_PACKAGE_HOME)
    from keras_integrity_hook.isolation.protocol import BrokenChannelError, Channel

    channel = Channel(socket.socket(fileno=int(sys.argv[-1])))
    try:
        setup, _ = channel.receive()  # 1
        channel.send({"kind": "locked", "abi": _lock_down(setup)})  # 2
        host = _host(setup["host"])  # 3
        if setup["is_warm"]:
            host.warm_up(setup["home"])
        channel.send({"kind": "ready", "versions": host.versions()})
        _serve(channel, host, setup)
    except BrokenChannelError:
        pass
    # Without what a model registered for the end, which has no one left to tell anything.
    os._exit(0)


def _lock_down(setup: dict[str, Any]) -> int:
    """(2) Returns the version of Landlock that is in force."""
    from keras_integrity_hook.isolation import lockdown

    sys.dont_write_bytecode = True
    sys.path[:] = [*setup["search"], *sys.path]
    find, ctypes.util.find_library = ctypes.util.find_library, _nothing
    try:
        import landlockpy  # noqa: F401 # it asks for the C library by a compiler, if it may
    finally:
        ctypes.util.find_library = find
    for name, value in (("CORE", 0), ("NOFILE", _OPEN_FILES), ("MSGQUEUE", 0)):
        lockdown.limit(name, value)
    os.umask(0o077)
    lockdown.give_up_privileges()
    abi = lockdown.confine_files(
        setup["readable"], setup["listable"], setup["home"], setup["devices"], setup["abi"]
    )
    lockdown.confine_calls(bytes.fromhex(setup["first"]))
    return abi


def _nothing(name: str) -> None:
    """There is no library of this name: ctypes then takes what the process has loaded."""


def _host(name: str) -> Any:
    """(3)"""
    from keras_integrity_hook.isolation import serving

    return serving.Host(name)


def _serve(channel: Any, host: Any, setup: dict[str, Any]) -> None:
    """(5)"""
    from keras_integrity_hook.isolation.answering import Answering

    answering = Answering(channel, host, setup["home"])
    while True:
        question, descriptors = channel.receive(250)
        if question["ask"] == "watch":
            _watch(channel, setup)  # 4
        else:
            answering.answer(question, descriptors)


def _watch(channel: Any, setup: dict[str, Any]) -> None:
    """(4)"""
    import resource

    from keras_integrity_hook.isolation import audit_events, lockdown

    used = resource.getrusage(resource.RUSAGE_SELF)
    lockdown.limit("FSIZE", setup["disk"])
    lockdown.limit("AS", lockdown.address_space() + setup["memory"])
    lockdown.limit("CPU", int(used.ru_utime + used.ru_stime) + 1 + setup["cpu_seconds"], grace=5)
    listener = lockdown.watch_calls(bytes.fromhex(setup["second"]), setup["number"])
    channel.send({"kind": "watched"}, [listener])
    os.close(listener)
    channel.receive()  # the parent has it
    audit_events.tell_by(channel)


if __name__ == "__main__":
    main()
