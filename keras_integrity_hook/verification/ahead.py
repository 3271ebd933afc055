# SPDX-License-Identifier: Apache-2.0
"""A sealed content that is verified ahead of its reader (``verify = "pipelined"``).

Threads read and digest the chunks that the reader will come to. No byte is served before the chunk
it lies in was compared with the seal, as fs-verity does it (Linux kernel documentation,
``filesystems/fsverity``); the verdict over all of them is :meth:`AheadContent.finish`'s.

Under a read lease nobody can change the file, so bytes are served from it once their chunk was
verified. Without one they are served from memory of ours, and those that are no more held there are
read and compared again. Names and shapes are served from memory in any case: HDF5 reads them again
and again, a few bytes at a time.

A process that is forked in the middle has none of the threads, and verifies what is left by itself.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.containers.opening import errors_of
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files import portable
from keras_integrity_hook.files.lease import ReadLease
from keras_integrity_hook.limits import KIB, LIMITS, MIB
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.content import refuse_beyond
from keras_integrity_hook.verification import digests
from keras_integrity_hook.verification.ahead_chunks import AheadChunks, State
from keras_integrity_hook.verification.ahead_memory import AheadMemory
from keras_integrity_hook.verification.chunk_checker import ChunkChecker

_BLOCK = 64 * KIB  # of names and shapes; chunks are multiples of it
_STRUCTURE = b"\0"  # see ahead_plan.chunks_of_data


class _Piece(NamedTuple):
    """A part of a read: of which chunk, from which place in it on, and where to."""

    chunk: int
    within: int
    target: memoryview


class AheadContent:
    """The content of ``model``, of which every byte was verified before it is served."""

    def __init__(self, model: SealedModel, leases: Sequence[ReadLease], data: bytes) -> None:
        """Start to verify; nothing was verified when this returns.

        Args:
            model: open, and of the size that its seal states; it stays the caller's.
            leases: those on all of its files.
            data: see :func:`ahead_plan.chunks_of_data`. The other chunks are verified first.
        """
        statement = model.seal.statement
        self._model = model
        self._content = model.content
        self._leases = leases
        self._data = data
        self._algorithm = statement.algorithm
        self._width = tree.ALGORITHMS[statement.algorithm]
        self._chunk_size = statement.chunk_size
        self._table = bytearray(model.seal.table)
        self._memory: AheadMemory | None = None
        self._is_held = not self.is_kept
        self._begin_alone()
        self._holds = self._memory is not None
        self._verdict: IntegrityError | None = None
        self._is_finished = False
        self._structure = [index for index, is_data in enumerate(data) if not is_data]
        self._blocks: dict[int, bytes] = {}
        window = LIMITS.ahead if self._memory is None else LIMITS.ahead_unleased
        self._chunks = AheadChunks(
            len(data), max(2, window // statement.chunk_size), first=self._structure
        )
        _living.add(self)
        self._threads = self._started()

    def _begin_alone(self) -> None:
        """Take locks, and what they protect, that no thread has: at the beginning, after a fork."""
        self._checker = ChunkChecker.under(self._model.seal, self._content)
        self._checking = threading.RLock()
        self._scratch = threading.local()
        self._memory = AheadMemory(LIMITS.ahead_held) if self._is_held else None
        self._targets: dict[int, memoryview] = {}  # where chunks are read to that are asked for
        self._landed: dict[int, memoryview] = {}  # where chunks were read to and verified

    def forked(self) -> None:
        """Go on without the threads, which this new process does not have."""
        self._begin_alone()
        self._chunks.forked()
        self._threads = []

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self._content.size

    @property
    def is_kept(self) -> bool:
        """Whether leases have kept every file as it was since they were taken."""
        return all(lease.keeps for lease in self._leases)

    def verify_structure(self) -> None:
        """Wait until all but the numbers was verified: the configuration, names and shapes.

        Raises:
            ChecksumMismatchError: something of the content is not what was sealed.
            DamagedFileError: it became shorter. OSError: it cannot be read.
        """
        for index in self._structure:
            self._verify_here(index)
        self._require(self._structure)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``offset``; raises as :meth:`verify_structure`."""
        refuse_beyond(self, offset, len(buffer))
        first = offset // self._chunk_size
        if len(buffer) < _BLOCK and self._data[first : first + 1] == _STRUCTURE:
            block, within = self._block_at(offset)
            piece = block[within : within + len(buffer)]
            if len(piece) == len(buffer):
                buffer[:] = piece
                return
        self._read_into(offset, buffer)

    def _block_at(self, offset: int) -> tuple[bytes, int]:
        """The block that ``offset`` lies in, and where; empty where there is no room to keep it."""
        number, within = divmod(offset, _BLOCK)
        block = self._blocks.get(number, b"")
        if not block and len(self._blocks) * _BLOCK < LIMITS.ahead_kept:
            made = bytearray(min(_BLOCK, self.size - number * _BLOCK))
            self._read_into(number * _BLOCK, memoryview(made))
            block = self._blocks[number] = bytes(made)
        return block, within

    def _read_into(self, offset: int, buffer: memoryview) -> None:
        pieces = list(self._pieces(offset, buffer))
        if not pieces:
            return
        there = self._verified_into(pieces)
        for piece in pieces:
            if piece.chunk not in there:
                self._fill(piece)
        if self._memory is None and not self.is_kept:
            self._check_into(offset, buffer)  # the leases did not hold: what it is cannot be told

    def _verified_into(self, pieces: list[_Piece]) -> set[int]:
        """Verify all chunks of ``pieces``, those that are read whole where they are read to.

        This thread and the others share them, each taking the next: one that waited for another's
        would leave its core to nobody. No thread writes to them any more when this returns.

        Returns:
            The chunks whose bytes are there now.
        """
        first, stop = pieces[0].chunk, pieces[-1].chunk + 1
        if self._chunks.are_good(first, stop):
            if self._data[stop - 1]:  # what is read of names and shapes may lie anywhere
                self._chunks.move(stop - 1)
            return set()
        whole = {piece.chunk: piece.target for piece in pieces if self._is_whole(piece)}
        self._targets.update(whole)
        try:
            self._chunks.move(first)
            while (index := self._chunks.claim_among(first, stop)) is not None:
                self._verify(index)
        finally:
            for index in whole:
                self._targets.pop(index, None)
            self._chunks.wait_for(first, stop)
            there = {index for index in whole if self._landed.pop(index, None) is whole[index]}
        self._chunks.move(stop - 1)
        self._require(range(first, stop))
        return there

    def _is_whole(self, piece: _Piece) -> bool:
        return len(piece.target) == self._length(piece.chunk)

    def _fill(self, piece: _Piece) -> None:
        """Read what was verified before anybody knew where to."""
        index, within, target = piece
        at = index * self._chunk_size + within
        if self._memory is None:
            self._content.read_into(at, target)
        elif not self._memory.serve(index, within, target, drop=bool(self._data[index])):
            self._check_into(at, target)

    def _check_into(self, offset: int, buffer: memoryview) -> None:
        with self._checking:
            self._checker.read_into(offset, buffer)

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``; raises as :meth:`verify_structure`."""
        refuse_beyond(self, offset, size)
        if self._memory is None and size >= _BLOCK:
            data = self._content.read(offset, size)  # one allocation, and no copy
            if self._is_as_read(offset, memoryview(data)):
                return data
        buffer = bytearray(size)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def finish(self) -> None:
        """The verdict: wait until every chunk was verified. Raises as :meth:`verify_structure`;
        calling it again gives the same one."""
        if self._verdict is not None:
            raise self._verdict
        if self._is_finished:
            return
        self._holds = False  # who has finished reads nothing any more
        if self._memory is not None:
            self._memory.clear()
        try:
            with errors_of(self._model.path):
                self._verify_rest()
                digests.compare(self._model, bytes(self._table))
        except IntegrityError as error:
            self._verdict = error
            raise
        self._is_finished = True

    def close(self) -> None:
        """Stop; calling it again does nothing. What the threads read stays open until then."""
        self._chunks.stop()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        self._blocks.clear()
        if self._memory is not None:
            self._memory.clear()

    def _started(self) -> list[threading.Thread]:
        """As many threads as there are other cores, and one where there is none: it reads."""
        number = min(max(portable.cores() - 1, 1), len(self._data))
        threads = [threading.Thread(target=self._go_ahead, daemon=True) for _ in range(number)]
        return [thread for thread in threads if tree.starts(thread)]

    def _go_ahead(self) -> None:
        """Verify until it is over. What a thread cannot read the reader will try, and say why."""
        while (index := self._chunks.claim_ahead()) is not None:
            try:
                self._verify(index)
            except BaseException:
                return

    def _verify_rest(self) -> None:
        self._chunks.open_window()
        while (index := self._chunks.claim_any()) is not None:
            self._verify(index)
        for index in range(len(self._data)):
            while self._chunks.settled(index) is State.NEW:
                self._verify_here(index)  # a thread could not; this one tries, and says why not

    def _is_as_read(self, offset: int, data: memoryview) -> bool:
        """Whether ``data``, which was read under leases and which nobody has seen, is what was
        sealed; False where the leases did not hold, and it cannot be told.

        What nobody has verified is digested where it lies, so that it is not read again.
        """
        touched = []
        for index, _, piece in self._pieces(offset, data):
            if self._chunks.is_good(index):
                continue
            self._chunks.move(index)
            touched.append(index)
            if len(piece) < self._length(index):
                self._verify_here(index)
            elif self._chunks.claim(index):
                self._verify(index, piece)
        self._require(touched)
        return self.is_kept

    def _verify_here(self, index: int) -> None:
        if self._chunks.claim(index):
            self._verify(index)

    def _verify(self, index: int, as_read: memoryview | None = None) -> None:
        """Verify a chunk that was claimed, and say what became of it.

        Args:
            as_read: its bytes, where they were read already; nobody sees them before this returns.
        """
        state = State.NEW
        try:
            digest = tree.new_hash(self._algorithm)
            if as_read is not None:
                digest.update(as_read)
                state = self._compared(index, digest.digest())
                return
            target = self._targets.get(index)
            memory = self._memory if self._holds and target is None else None
            held = None if memory is None else memory.buffer(self._length(index))
            self._read_to(digest, index, held or target or self._piece())
            state = self._compared(index, digest.digest())
            if target is not None:
                self._landed[index] = target
            elif memory is not None and held is not None and state is State.GOOD:
                memory.hold(index, held)
        finally:
            self._chunks.settle(index, state)

    def _compared(self, index: int, digest: bytes) -> State:
        place = slice(index * self._width, (index + 1) * self._width)
        self._table[place] = digest
        return State.GOOD if digest == self._model.seal.table[place] else State.BAD

    def _read_to(self, digest: Any, index: int, buffer: memoryview) -> None:
        """Digest a chunk that is read to ``buffer``, piece by piece where that is smaller."""
        start = index * self._chunk_size
        stop = start + self._length(index)
        while start < stop:
            piece = buffer[: stop - start]
            self._content.read_into(start, piece)
            digest.update(piece)
            start += len(piece)

    def _require(self, indexes: Iterable[int]) -> None:
        """Wait for chunks. Where one is bad the rest is verified, too: all of the damage is told,
        as when that is done first."""
        for index in indexes:
            while (state := self._chunks.settled(index)) is State.NEW:
                self._verify_here(index)  # a thread could not; this one tries, and says why not
            if state is State.BAD:
                self.finish()

    def _pieces(self, offset: int, buffer: memoryview) -> Iterator[_Piece]:
        done = 0
        while done < len(buffer):
            index, within = divmod(offset + done, self._chunk_size)
            target = buffer[done : done + self._length(index) - within]
            yield _Piece(index, within, target)
            done += len(target)

    def _length(self, index: int) -> int:
        return min(self._chunk_size, self.size - index * self._chunk_size)

    def _piece(self) -> memoryview:
        """Memory of this thread to read a chunk to, piece by piece."""
        found: memoryview | None = getattr(self._scratch, "piece", None)
        if found is None:
            found = self._scratch.piece = memoryview(bytearray(min(MIB, self._chunk_size)))
        return found


_living: weakref.WeakSet[AheadContent] = weakref.WeakSet()


def _forked() -> None:
    for content in list(_living):
        content.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
