# SPDX-License-Identifier: Apache-2.0
"""What a container's bounded parse finds."""

from __future__ import annotations

from dataclasses import dataclass

from keras_integrity_hook.errors import MalformedSealError
from keras_integrity_hook.files.reading import read_exactly
from keras_integrity_hook.sealing import block
from keras_integrity_hook.sealing.block import Block
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.sealing.statement import Region


@dataclass(frozen=True, slots=True)
class Layout:
    """The content of a file, the seal's block if there is one, and the named members (bytes)."""

    container: str
    content: Content
    block: Block | None = None
    block_offset: int = 0
    members: tuple[Region, ...] = ()


def read_block(fd: int, size: int) -> Block:
    """The block that a file of ``size`` bytes consists of, without anything before or after it.

    Raises:
        MalformedSealError, LimitExceededError: the file is not exactly one block.
        DamagedFileError: it became shorter meanwhile.
    """
    head = read_exactly(fd, min(size, block.HEADER_SIZE), 0)
    if block.size_from_header(head) != size:
        raise MalformedSealError("the file of the seal has another length than the seal")
    seal = block.decode(read_exactly(fd, size, 0))
    if block.OVERHEAD + len(seal.envelope) + len(seal.table) != size:
        raise MalformedSealError("the file of the seal holds padding")
    return seal
