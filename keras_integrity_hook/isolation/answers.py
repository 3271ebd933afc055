# SPDX-License-Identifier: Apache-2.0
"""What a confined process answers, and the shared memory that arrays go through."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from keras_integrity_hook.files import portable
from keras_integrity_hook.isolation import arrays
from keras_integrity_hook.isolation.protocol import BrokenChannelError, Message
from keras_integrity_hook.limits import LIMITS

if TYPE_CHECKING:
    from keras_integrity_hook.isolation.arrays import Array
else:  # for those who look annotations up at run time
    Array = object


class Answer(NamedTuple):
    """What a confined process said: a stranger's word."""

    value: Message
    arrays: list[Array]


def checked(message: Message, room: int) -> Answer:
    """An answer, as far as its form goes.

    Args:
        room: descriptor of the shared memory that its arrays are in; -1 for none.

    Raises:
        BrokenChannelError, KeyError: it has another form.
        ValueError: its arrays cannot be read.
    """
    value, names, size = message["value"], message["arrays"], message["bytes"]
    if not isinstance(value, dict) or not isinstance(names, list) or type(size) is not int:
        raise BrokenChannelError("no answer")
    are_names = all(isinstance(name, str) for name in names)
    if not are_names or len(names) > (LIMITS.sandbox_arrays if room >= 0 else 0):
        raise BrokenChannelError("no arrays")
    size = min(size, os.fstat(room).st_size) if room >= 0 else 0
    return Answer(value, list(arrays.read(room, size, names)))


@contextlib.contextmanager
def shared(size: int) -> Iterator[int]:
    """Memory of ``size`` bytes that another process can be given: its descriptor."""
    fd = os.memfd_create("keras-integrity", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        yield fd
    finally:
        os.close(fd)


def keep_bytes(fd: int) -> None:
    """Let nobody write into this memory any more."""
    portable.seal_memory(fd, "WRITE", "SEAL")


def keep_size(fd: int) -> None:
    """Let nobody change the size of this memory any more: who reads what was cut off is killed."""
    portable.seal_memory(fd, "SHRINK", "GROW", "SEAL")
