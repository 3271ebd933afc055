# SPDX-License-Identifier: Apache-2.0
"""The seal of an HDF5 file: in the user block, which the format reserves for applications.

HDF5 File Format Specification v3, section II: the superblock stands at offset 0, 512, 1024, 2048,
... and everything before it is the user block. A library that opens the file for writing keeps it.
"""

from __future__ import annotations

from keras_integrity_hook.containers.copying import move_up, write_all
from keras_integrity_hook.containers.layout import Layout
from keras_integrity_hook.errors import (
    DamagedFileError,
    IntegrityError,
    LimitExceededError,
    MalformedSealError,
    NotAModelError,
)
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.reading import read_exactly
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import block
from keras_integrity_hook.sealing.content import FileContent

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MIN_USER_BLOCK = 512
CONTAINER = "hdf5"


def recognises(head: bytes) -> bool:
    """Whether a file with these first bytes is ours to parse."""
    return head.startswith((SIGNATURE, block.MAGIC))


def locate(fd: int, size: int) -> Layout:
    """Find content and seal.

    Raises:
        DamagedFileError, MalformedSealError, LimitExceededError: as their names say.
        NotAModelError: it is a seal that lies beside its model.
    """
    head = read_exactly(fd, min(size, block.HEADER_SIZE), 0)
    if head.startswith(SIGNATURE):
        return Layout(CONTAINER, FileContent(fd, 0, size))
    length = block.size_from_header(head)
    if length & (length - 1) or length < MIN_USER_BLOCK:
        if length == size:
            raise _only_a_seal()
        raise MalformedSealError("the seal does not fill an HDF5 user block")
    if length + len(SIGNATURE) > size:
        raise DamagedFileError("the file is cut short")
    seal = block.decode(read_exactly(fd, length, 0))
    if read_exactly(fd, len(SIGNATURE), length) != SIGNATURE:
        raise DamagedFileError("no HDF5 superblock follows the seal")
    return Layout(CONTAINER, FileContent(fd, length, size - length), seal, 0)


def start_of_content(head: bytes) -> int:
    """Where the content begins in a file with these first bytes, if it is sealed as such files are;
    0 for any other. A guess: nothing was checked."""
    try:
        return block.size_from_header(head[: block.HEADER_SIZE])
    except IntegrityError:
        return 0


def _only_a_seal() -> NotAModelError:
    remedy = "Name the model that it belongs to; its seal is found by itself."
    return NotAModelError("this is the seal of a model, and not the model", remedy=remedy)


def reserved(fd: int) -> int:
    """Size in bytes of the user block of a file that libhdf5 just wrote for us.

    Raises:
        DamagedFileError: there is no superblock where one may be.
    """
    size = system.fstat(fd).st_size
    at = 0
    while at + len(SIGNATURE) <= size and at <= LIMITS.hdf5_user_block:
        if system.pread(fd, len(SIGNATURE), at) == SIGNATURE:
            return at
        at = at * 2 or MIN_USER_BLOCK
    raise DamagedFileError("there is no HDF5 superblock")


def user_block_for(size: int) -> int:
    """The smallest user block (bytes, a power of two) that takes a block of ``size`` bytes.

    Raises:
        LimitExceededError: over the cap.
    """
    if size > LIMITS.hdf5_user_block:
        raise LimitExceededError(f"a seal of {size} bytes does not fit an HDF5 user block")
    return max(MIN_USER_BLOCK, 1 << (size - 1).bit_length())


def put_block(fd: int, layout: Layout, envelope: bytes, table: bytes) -> None:
    """Write a seal into the user block; where it is too small, the content is moved first.

    Raises:
        LimitExceededError: the seal is over the cap of a user block.
        SealWriteError: the file became shorter meanwhile. OSError: it cannot be written.
    """
    reserved = system.fstat(fd).st_size - layout.content.size
    needed = user_block_for(block.OVERHEAD + len(envelope) + len(table))
    if needed > reserved:
        move_up(fd, reserved, needed)
        reserved = needed
    padding = reserved - block.OVERHEAD - len(envelope) - len(table)
    write_all(fd, memoryview(block.encode(envelope, table, padding)), 0)
