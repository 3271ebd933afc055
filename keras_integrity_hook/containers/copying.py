# SPDX-License-Identifier: Apache-2.0
"""Copy the original content of a model to another file, or move it within its own."""

from __future__ import annotations

from keras_integrity_hook.errors import SealWriteError
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.sealing.content import Content


def copy_content(content: Content, target: int, at: int = 0) -> None:
    """Copy the original content to offset ``at`` (bytes) of the descriptor ``target``."""
    buffer = memoryview(bytearray(min(MIB, max(content.size, 1))))
    done = 0
    while done < content.size:
        piece = buffer[: min(len(buffer), content.size - done)]
        content.read_into(done, piece)
        write_all(target, piece, at + done)
        done += len(piece)


def write_all(fd: int, data: memoryview, offset: int) -> None:
    """Write all of ``data`` at ``offset`` (bytes) of the descriptor ``fd``. Raises OSError."""
    while data:
        done = system.pwrite(fd, data, offset)
        data, offset = data[done:], offset + done


def move_up(fd: int, start: int, to: int) -> None:
    """Move everything from ``start`` on to ``to``, last piece first so that nothing is lost.

    Raises:
        SealWriteError: the file became shorter meanwhile. OSError: it cannot be written.
    """
    end = system.fstat(fd).st_size
    while end > start:
        begin = max(start, end - MIB)
        piece = system.pread(fd, end - begin, begin)
        if len(piece) != end - begin:
            raise SealWriteError("the file changed while it was sealed")
        write_all(fd, memoryview(piece), begin - start + to)
        end = begin
