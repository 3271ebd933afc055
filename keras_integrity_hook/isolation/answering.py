# SPDX-License-Identifier: Apache-2.0
"""How a confined process answers: arrays in, arrays and a header out. Runs beside the model."""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Callable, Sequence
from typing import Any

from keras_integrity_hook.isolation import arrays, structures
from keras_integrity_hook.isolation.protocol import Channel, Message, close_all
from keras_integrity_hook.isolation.serving import Host
from keras_integrity_hook.limits import LIMITS

_COPIED = 256 * 1024  # bytes; larger files are read where they are
_HEAD = 4 * LIMITS.sandbox_text  # characters of an error, from both of its ends


class Answering:
    """The child's end of the conversation.

    Args:
        home: the private directory, for files of the model.
    """

    def __init__(self, channel: Channel, host: Host, home: str) -> None:
        self._channel = channel
        self._host = host
        self._home = home
        self._asked: dict[str, Callable[[Message, list[int]], None]] = {
            "files": self._files,
            "load": self._load,
            "run": self._run,
            "summary": self._summary,
        }

    def answer(self, question: Message, descriptors: list[int]) -> None:
        """Answer one question, with what went wrong if something did."""
        try:
            self._asked[question["ask"]](question, descriptors)
        except BaseException as error:  # SystemExit of a model's code included
            self._channel.send({"kind": "failed", **_said_of(error)})

    def _files(self, question: Message, descriptors: list[int]) -> None:
        """Lay files of the model out under their names: small ones copied, others by links.

        HDF5 files are copied too: libhdf5 asks for the real path, and what only memory holds has
        none.
        """
        for name, fd in zip(question["names"], descriptors, strict=True):
            path = os.path.join(self._home, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if os.fstat(fd).st_size <= _COPIED or name.endswith((".h5", ".hdf5")):
                os.lseek(fd, 0, os.SEEK_SET)
                with open(fd, "rb") as source, open(path, "xb") as target:
                    shutil.copyfileobj(source, target, _COPIED)
            else:
                os.symlink(f"/proc/self/fd/{fd}", path)
        self._say({})

    def _load(self, question: Message, descriptors: list[int]) -> None:
        self._host.load(os.path.join(self._home, question["name"]), question["options"])
        self._say(self._host.description())

    def _run(self, question: Message, descriptors: list[int]) -> None:
        size, names = question["bytes"], question["arrays"]
        given = list(arrays.read(descriptors[0], size, names))
        close_all(descriptors)
        inputs = structures.unpacked(question["inputs"], given.__getitem__)
        outputs = self._host.run(question["how"], inputs, question["options"])
        taken: list[Any] = []
        shape = structures.packed(outputs, lambda array: _kept(taken, array))
        self._say({"outputs": shape}, taken)

    def _summary(self, question: Message, descriptors: list[int]) -> None:
        import numpy as np

        text = self._host.summary(question["columns"]).encode(errors="replace")
        self._say({}, [np.frombuffer(text, dtype="u1")])

    def _say(self, value: Message, taken: Sequence[Any] = ()) -> None:
        packed = arrays.Packed(taken)
        if taken:
            self._channel.send({"kind": "room", "bytes": packed.size})
            _, (fd,) = self._channel.receive(1)
            with mmap.mmap(fd, packed.size) as room:
                view = memoryview(room)
                packed.write(lambda offset, data: _copy(view, offset, data))
                view.release()
            os.close(fd)
        answer = {"kind": "answer", "value": value, "arrays": packed.names}
        self._channel.send({**answer, "bytes": packed.size})


def _kept(taken: list[Any], value: Any) -> int:
    """The number of ``value`` in ``taken``, where it is put as a plain array."""
    taken.append(arrays.plain(value))
    return len(taken) - 1


def _copy(view: memoryview, offset: int, data: memoryview) -> None:
    view[offset : offset + len(data)] = data


def _said_of(error: BaseException) -> dict[str, str]:
    """An error in words; that of a model may have a ``__str__`` that raises."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    return {"error": type(error).__name__, "text": text[:_HEAD] + text[_HEAD:][-_HEAD:]}
