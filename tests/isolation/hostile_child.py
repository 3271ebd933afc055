# SPDX-License-Identifier: Apache-2.0
"""A child that is not confined and answers as an attacker would: ``hostile_child.py … DESCRIPTOR``.

How is said by the code of the "model" that it is to load. Tests put it in place of our own program.
"""

from __future__ import annotations

import array
import json
import os
import socket
import sys
import textwrap
from typing import Any

end = socket.socket(fileno=int(sys.argv[-1]))


def say(message: Any, *descriptors: int) -> None:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    end.sendmsg([data], rights if descriptors else [])


def hear() -> tuple[dict[str, Any], list[int]]:
    data, beside, _, _ = end.recvmsg(1 << 20, 4096)
    numbers = array.array("i")
    for _, _, rights in beside:
        numbers.frombytes(rights)
    return json.loads(data), list(numbers)


def answer_with(content: bytes, names: list[str], size: int | None = None) -> None:
    """An answer whose shared memory has ``content``."""
    say({"kind": "room", "bytes": max(len(content), 64)})
    _, (fd,) = hear()
    os.pwrite(fd, content, 0)
    length = len(content) if size is None else size
    say({"kind": "answer", "value": {"outputs": {"leaf": 0}}, "arrays": names, "bytes": length})


hear()
say({"kind": "locked", "abi": 7})
say({"kind": "ready", "versions": {}})
hear()
say({"kind": "answer", "value": {}, "arrays": [], "bytes": 0})
hear()
say({"kind": "watched"}, os.pipe()[0])
hear()
question, _ = hear()
exec(textwrap.dedent(question["options"]["code"]))
