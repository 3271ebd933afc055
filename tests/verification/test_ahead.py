# SPDX-License-Identifier: Apache-2.0
"""A content that is verified while it is read: no byte that was not sealed is ever served."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_integrity_hook
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.errors import ChecksumMismatchError, DamagedFileError
from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.verification import ahead_plan, holding
from keras_integrity_hook.verification.ahead import AheadContent
from keras_integrity_hook.verification.ahead_chunks import State
from keras_integrity_hook.verification.ahead_memory import AheadMemory
from tests.support import mounts

SIZE = 5 * MIB
"""Bytes of the numbers of each of two variables."""


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two large variables and a small one."""
    path = tmp_path_factory.mktemp("ahead") / "m.weights.h5"
    numbers = np.random.default_rng(0).integers(0, 255, SIZE, "uint8")
    with h5py.File(path, "w") as file:
        file["layers/one/vars/0"] = numbers
        file["layers/one/vars/1"] = numbers[:100]
        file["layers/two/vars/0"] = numbers[::-1]
    keras_integrity_hook.seal(path)
    return path


@contextmanager
def opened(path: Path, *, leased: bool) -> Iterator[AheadContent]:
    """The file at ``path``, verified as far as it has to be before it is read."""
    # A file that somebody has open for writing gets no lease.
    with open(path, "r+b") if not leased else open(path, "rb"), open_model(str(path)) as model:
        assert isinstance(model, SealedModel)
        verified = holding.verify(model, ahead=True)
        try:
            assert verified.ahead is not None
            if leased and not verified.is_leased:
                pytest.skip("no leases here")
            yield verified.ahead
        finally:
            verified.release()


def refused(path: Path, *, ahead: bool) -> None:
    """Verify the file at ``path``."""
    with open_model(str(path)) as model:
        assert isinstance(model, SealedModel)
        holding.verify(model, ahead=ahead).release()


def content_of(path: Path) -> bytes:
    with open_model(str(path)) as model:
        return model.content.read(0, model.content.size)


def damaged_copy(path: Path, at: int, to: Path) -> Path:
    """A copy with another byte at ``at`` of the content."""
    with open_model(str(path)) as model:
        at += path.stat().st_size - model.content.size
    data = bytearray(path.read_bytes())
    data[at] ^= 0x20
    to.write_bytes(data)
    return to


READS = st.lists(
    st.tuples(st.integers(0, 2 * SIZE), st.one_of(st.integers(0, 4096), st.integers(0, 3 * MIB))),
    max_size=8,
)


@pytest.mark.parametrize("leased", [True, False], ids=["leased", "unleased"])
@given(reads=READS)
def test_reads_in_any_order_give_what_was_sealed(
    sealed: Path, leased: bool, reads: list[tuple[int, int]]
) -> None:
    plain = content_of(sealed)
    with opened(sealed, leased=leased) as content:
        for offset, wanted in reads:
            size = min(wanted, len(plain) - offset)
            assert content.read(offset, size) == plain[offset : offset + size]
            buffer = bytearray(size)
            content.read_into(offset, memoryview(buffer))
            assert buffer == plain[offset : offset + size]
        content.finish()


@pytest.mark.parametrize("leased", [True, False], ids=["leased", "unleased"])
@given(reads=READS, at=st.integers(2 * MIB, 4 * MIB - 1))
def test_no_byte_of_a_damaged_chunk_is_served_and_the_verdict_is_a_refusal(
    sealed: Path,
    tmp_path_factory: pytest.TempPathFactory,
    leased: bool,
    reads: list[tuple[int, int]],
    at: int,
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    plain, path = content_of(sealed), damaged_copy(sealed, at, folder / "m.weights.h5")
    with opened(path, leased=leased) as content:
        for offset, wanted in reads:
            size = min(wanted, len(plain) - offset)
            hit = offset < (at // MIB + 1) * MIB and offset + size > at // MIB * MIB and size
            if hit:
                with pytest.raises(ChecksumMismatchError):
                    content.read(offset, size)
            else:
                assert content.read(offset, size) == plain[offset : offset + size]
        for _ in range(2):
            with pytest.raises(ChecksumMismatchError, match="one/vars/0") as caught:
                content.finish()
        assert [(one.start, one.stop) for one in caught.value.damaged] == [
            (at // MIB * MIB, (at // MIB + 1) * MIB)
        ]
    path.unlink()


def test_the_refusal_is_the_one_of_strict_verification(sealed: Path, tmp_path: Path) -> None:
    path = damaged_copy(sealed, 3 * MIB, tmp_path / "m.weights.h5")
    with pytest.raises(ChecksumMismatchError) as strict:
        refused(path, ahead=False)
    with opened(path, leased=True) as content, pytest.raises(ChecksumMismatchError) as late:
        content.finish()
    assert late.value.to_dict() == strict.value.to_dict()
    assert late.value.content_digest == strict.value.content_digest


@pytest.mark.parametrize("where", ["the superblock", "a group between two variables"])
def test_damaged_structure_is_refused_before_anything_is_served(
    sealed: Path, tmp_path: Path, where: str
) -> None:
    with h5py.File(sealed) as file:
        at = h5py.h5o.get_info(file["layers/two"].id).addr if "group" in where else 9
    path = damaged_copy(sealed, at, tmp_path / "m.weights.h5")
    with pytest.raises(ChecksumMismatchError):
        refused(path, ahead=True)


def test_a_file_rewritten_after_its_chunks_were_verified_is_served_as_it_was_sealed_or_not_at_all(
    sealed: Path, tmp_path: Path
) -> None:
    path, plain = tmp_path / "m.weights.h5", content_of(sealed)
    path.write_bytes(sealed.read_bytes())
    with opened(path, leased=False) as content:
        for offset in range(0, content.size, MIB):
            content.read(offset, min(100, content.size - offset))
        with open(path, "r+b") as file:
            file.write(bytes(path.stat().st_size))
        for offset in range(0, content.size, MIB):
            with contextlib.suppress(ChecksumMismatchError):
                assert content.read(offset, 100) == plain[offset : offset + 100]


def test_a_file_that_becomes_shorter_is_refused(sealed: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    path.write_bytes(sealed.read_bytes())
    with open_model(str(path)) as model:
        assert isinstance(model, SealedModel)
        os.truncate(path, SIZE)
        with pytest.raises(DamagedFileError, match="shorter") as caught:
            holding.verify(model, ahead=True)
    assert caught.value.path == str(path)


def test_it_is_verified_by_the_reader_alone_where_no_thread_can_be_started(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "starts", lambda thread: False)
    with opened(sealed, leased=False) as content:
        assert content.read(0, content.size) == content_of(sealed)
        content.finish()


class Gated:
    """The content below an ``AheadContent``: notes who reads what, and lets one side wait."""

    def __init__(self, content: AheadContent, reader_waits: bool) -> None:
        self._below = content._content
        self._reader = threading.current_thread()
        self._reader_waits = reader_waits
        self.others_at = threading.Event()  # another thread has begun to read a chunk
        self.reader_done = threading.Event()
        self.noted: list[tuple[bool, int]] = []  # by the reader or not, and from where on
        content._content = self

    @property
    def size(self) -> int:
        return self._below.size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        by_reader = threading.current_thread() is self._reader
        self._below.read_into(offset, buffer)
        self.noted.append((by_reader, offset))
        if not by_reader:
            self.others_at.set()
            assert self._reader_waits or self.reader_done.wait(60)
        elif self._reader_waits:
            assert self.others_at.wait(60)

    def read(self, offset: int, size: int) -> bytes:
        return self._below.read(offset, size)

    def read_by(self, *, reader: bool) -> list[int]:
        return [offset for by_reader, offset in self.noted if by_reader is reader]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads go two chunks ahead of the reader, and no further."""
    narrow = LIMITS._replace(ahead=2 * MIB, ahead_unleased=8 * MIB)
    monkeypatch.setattr("keras_integrity_hook.verification.ahead.LIMITS", narrow)
    monkeypatch.setattr("keras_integrity_hook.files.portable.cores", lambda: 2)


WITHIN = range(7, 10)
"""Chunks of the second variable, which nobody comes to before it is read."""


@pytest.mark.usefixtures("narrow")
def test_a_chunk_that_another_thread_reads_for_the_reader_is_read_once(sealed: Path) -> None:
    plain = content_of(sealed)
    with opened(sealed, leased=True) as content:
        gated = Gated(content, reader_waits=True)
        start, stop = WITHIN.start * MIB, WITHIN.stop * MIB
        buffer = bytearray(stop - start)
        content.read_into(start, memoryview(buffer))
        assert buffer == plain[start:stop]
        assert gated.others_at.is_set()
        assert sorted(offset for _, offset in gated.noted if start <= offset < stop) == [
            index * MIB for index in WITHIN
        ]
        content.finish()


@pytest.mark.usefixtures("narrow")
def test_the_reader_goes_on_with_other_chunks_while_a_thread_is_at_one(sealed: Path) -> None:
    plain = content_of(sealed)
    with opened(sealed, leased=True) as content:
        gated = Gated(content, reader_waits=False)
        start, stop = WITHIN.start * MIB, WITHIN.stop * MIB
        buffer = bytearray(stop - start)
        claims = content._chunks.claim_among

        def claimed(first: int, stop: int) -> int | None:
            """The next; when there is none the thread may go on with the one that it is at."""
            assert gated.others_at.wait(60)
            index = claims(first, stop)
            if index is None:
                gated.reader_done.set()
            return index

        content._chunks.claim_among = claimed  # type: ignore[method-assign]
        content.read_into(start, memoryview(buffer))
        assert buffer == plain[start:stop]
        assert len(gated.read_by(reader=True)) == len(WITHIN) - 1
        content._chunks.claim_among = claims  # type: ignore[method-assign]
        content.finish()


@pytest.mark.usefixtures("narrow")
def test_no_thread_writes_to_what_was_read_to_when_the_read_is_over(
    sealed: Path, tmp_path: Path
) -> None:
    """HDF5 takes the memory back whatever became of the read."""
    path = damaged_copy(sealed, WITHIN.start * MIB, tmp_path / "m.weights.h5")
    with opened(path, leased=True) as content:
        Gated(content, reader_waits=True)
        buffer = bytearray(len(WITHIN) * MIB)
        with pytest.raises(ChecksumMismatchError):
            content.read_into(WITHIN.start * MIB, memoryview(buffer))
        assert not content._targets
        assert not content._landed


def test_a_map_that_calls_everything_numbers_hides_no_damage(sealed: Path, tmp_path: Path) -> None:
    path = damaged_copy(sealed, 9, tmp_path / "m.weights.h5")
    with open_model(str(path)) as model:
        assert isinstance(model, SealedModel)
        content = AheadContent(model, (), b"\1" * len(ahead_plan.chunks_of_data(model)))
        try:
            with pytest.raises(ChecksumMismatchError):
                content.read(0, 16)
        finally:
            content.close()


def exit_of_child(content: AheadContent, plain: bytes) -> int:
    """How a child ends that is forked now and reads all of ``content``; killed if it waits."""
    child = os.fork()
    if not child:
        signal.alarm(60)
        is_same = content.read(0, content.size) == plain
        content.finish()
        content.close()
        os._exit(0 if is_same else 1)
    return os.waitpid(child, 0)[1]


@pytest.mark.filterwarnings("ignore:.*fork")
@pytest.mark.parametrize("leased", [True, False], ids=["leased", "unleased"])
def test_a_forked_child_reads_what_its_parent_has_opened(sealed: Path, leased: bool) -> None:
    with opened(sealed, leased=leased) as content:
        assert exit_of_child(content, content_of(sealed)) == 0


@pytest.mark.filterwarnings("ignore:.*fork")
@pytest.mark.parametrize("leased", [True, False], ids=["leased", "unleased"])
def test_a_forked_child_waits_for_no_thread_of_its_parent(
    sealed: Path, leased: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for one that holds the locks, nor for one that is in the middle of a chunk."""
    plain, forked, is_held = content_of(sealed), threading.Event(), threading.Event()
    monkeypatch.setattr(tree, "starts", lambda thread: False)

    def hold() -> None:
        content._chunks.claim(2)
        with content._chunks._changed, content._checking:
            is_held.set()
            forked.wait()
        content._chunks.settle(2, State.NEW)

    with opened(sealed, leased=leased) as content:
        thread = threading.Thread(target=hold)
        thread.start()
        is_held.wait()
        try:
            assert exit_of_child(content, plain) == 0
        finally:
            forked.set()
            thread.join()
        assert content.read(0, content.size) == plain


@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_child_takes_no_lease_that_its_parent_has_given_up_for_one_that_holds(
    sealed: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.weights.h5"
    path.write_bytes(sealed.read_bytes())
    with opened(path, leased=True) as content:
        go_on, tell = os.pipe()
        child = os.fork()
        if not child:
            signal.alarm(60)
            os.read(go_on, 1)
            os._exit(1 if content.is_kept else 0)
        for lease in content._leases:
            lease.release()
        os.write(tell, b"1")
        assert os.waitpid(child, 0)[1] == 0
        os.close(go_on)
        os.close(tell)


READER = """
import resource, sys
import keras_integrity_hook
from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.verification import ahead, ahead_plan, holding
from keras_integrity_hook.limits import MIB

with open("/proc/self/status") as status:
    now = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
room = now + 160 * MIB
resource.setrlimit(resource.RLIMIT_DATA, (room, room))
with open_model(sys.argv[1]) as model:
    verified = holding.verify(model, ahead=True)
    content, buffer = verified.ahead, memoryview(bytearray(8 * MIB))
    for offset in range(0, content.size, len(buffer)):
        content.read_into(offset, buffer[: content.size - offset])
    content.finish()
    verified.release()
"""
"""Reads a model from its start to its end in 160 MiB of memory."""


def test_a_file_larger_than_memory_on_a_file_system_in_user_space_is_read_once(
    tmp_path: Path,
) -> None:
    path = tmp_path / "large.weights.h5"
    with h5py.File(path, "w") as file:
        for number in range(4):
            file[f"layers/d{number}/vars/0"] = np.full(20 * MIB, number, "float32")
    keras_integrity_hook.seal(path)
    assert path.stat().st_size > 300 * MIB
    with mounts.counting(path, tmp_path / "mount") as served:
        command = [sys.executable, "-c", READER, str(tmp_path / "mount" / path.name)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert path.stat().st_size <= served() <= 1.02 * path.stat().st_size


def test_names_and_shapes_are_read_again_from_memory(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = content_of(sealed)
    with opened(sealed, leased=True) as content:
        assert content.read(0, 100) == plain[:100]
        buffer = bytearray(50)
        with monkeypatch.context() as patched:
            patched.setattr(content, "_read_into", None)  # nothing else is asked
            content.read_into(100, memoryview(buffer))
        assert buffer == plain[100:150]


def test_reads_that_end_with_the_content_or_go_beyond_it(tmp_path: Path) -> None:
    """Where the last chunk is a whole one, too."""
    path = tmp_path / "m.weights.h5"
    around = 0  # bytes that HDF5 needs besides the numbers
    for _ in range(2):
        with h5py.File(path, "w") as file:
            file["layers/one/vars/0"] = np.zeros(4 * MIB - around, "uint8")
        around += path.stat().st_size - 4 * MIB
    keras_integrity_hook.seal(path)
    with opened(path, leased=True) as content:
        assert content.size == 4 * MIB
        assert content.read(content.size, 0) == b""
        assert len(content.read(content.size - 1, 1)) == 1
        for offset, size in ((content.size - 1, 2), (content.size, 1), (content.size + MIB, 1)):
            with pytest.raises(DamagedFileError):
                content.read(offset, size)


def test_what_is_held_stays_within_its_room() -> None:
    memory = AheadMemory(10 * MIB)
    for index in range(50):
        buffer = memory.buffer(MIB)
        buffer[:1] = bytes([index])
        memory.hold(index, buffer)
    target = memoryview(bytearray(1))
    held = [index for index in range(50) if memory.serve(index, 0, target, drop=False)]
    assert held == list(range(40, 50))
    assert memory.serve(49, MIB - 1, target, drop=True)
    assert not memory.serve(49, 0, target, drop=False)


def test_chunks_of_numbers_are_those_within_one_variable(sealed: Path) -> None:
    with open_model(str(sealed)) as model:
        assert isinstance(model, SealedModel)
        data = ahead_plan.chunks_of_data(model)
        regions = [one for one in model.seal.statement.regions if one.size >= MIB]
    for index, is_data in enumerate(data):
        inside = any(
            one.offset <= index * MIB and (index + 1) * MIB <= one.offset + one.size
            for one in regions
        )
        assert bool(is_data) == inside
    assert 0 < sum(data) < len(data)
    assert LIMITS.ahead_unleased < LIMITS.ahead_held
