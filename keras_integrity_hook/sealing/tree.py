# SPDX-License-Identifier: Apache-2.0
"""Chunk digests, computed in parallel, and the root over them.

hashlib releases the GIL for anything but tiny inputs, so plain threads use every core; each reads
with ``preadv`` into a buffer of its own. They are no ``concurrent.futures``: an executor takes no
work once the main thread has ended, and a model that is saved by an ``atexit`` function is sealed
like any other.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import threading
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from keras_integrity_hook.errors import ConfigurationError, LimitExceededError
from keras_integrity_hook.files import portable
from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.sealing.content import Content

ALGORITHMS = {"sha256": 32, "sha512": 64, "blake2b": 64, "blake3": 32}
_PIECE = MIB
_NOTHING: Mapping[int, bytes] = MappingProxyType({})
HEX = re.compile(r"[0-9a-f]{64}|[0-9a-f]{128}")
"""How a digest is spelt: a root under any of them, or the id of a key."""


def chunk_size_for(size: int) -> int:
    """The chunk size in bytes for a content of ``size`` bytes: at least 1 MiB, 4096 chunks at most.

    Raises:
        LimitExceededError: the content is over the cap.
    """
    if size > LIMITS.content:
        raise LimitExceededError(f"a content of {size} bytes is over {LIMITS.content}")
    chunk = LIMITS.min_chunk
    while chunk * LIMITS.chunks < size:
        chunk *= 2
    return chunk


def chunk_count(size: int, chunk_size: int) -> int:
    """How many chunks ``size`` bytes make."""
    return -(-size // chunk_size)


def is_available(algorithm: str) -> bool:
    """Whether this environment can compute ``algorithm``: an extra may not be installed."""
    try:
        new_hash(algorithm)
    except ConfigurationError:
        return False
    return True


def new_hash(algorithm: str) -> Any:
    """A hashlib-like object.

    Raises:
        ConfigurationError: unknown, or blake3 without its extra.
    """
    if algorithm == "blake3":
        try:
            from blake3 import blake3
        except ImportError:
            raise ConfigurationError(
                "this seal's digests are BLAKE3, which needs: pip install blake3"
            ) from None
        return blake3()
    if algorithm not in ALGORITHMS:
        raise ConfigurationError(f"unknown digest algorithm '{algorithm}'")
    # usedforsecurity keeps FIPS builds from refusing blake2b with a traceback of their own.
    return hashlib.new(algorithm, usedforsecurity=algorithm.startswith("sha"))


def _make_known() -> None:
    """Let OpenSSL find what it has for each algorithm once, before any process is forked from here.

    It takes a lock for that, which another thread may have for a connection: a child that is forked
    then waits for it for ever at its first digest, and does not need it for those that are known.
    """
    for algorithm in ALGORITHMS:
        # A build may lack one of them, and an extra is imported where it is needed.
        if algorithm != "blake3":
            with contextlib.suppress(ValueError):
                new_hash(algorithm)


_make_known()


def root(table: bytes, *, size: int, chunk_size: int, algorithm: str) -> str:
    """The root digest (hex) that binds table, size, chunk size and algorithm."""
    digest = new_hash(algorithm)
    digest.update(b"keras-integrity/v1\0" + algorithm.encode("ascii"))
    digest.update(size.to_bytes(8, "little") + chunk_size.to_bytes(8, "little"))
    digest.update(table)
    return str(digest.hexdigest())


def same_root(left: str, right: str) -> bool:
    """Whether two roots are equal, in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())


def table(
    content: Content, *, chunk_size: int, algorithm: str, known: Mapping[int, bytes] = _NOTHING
) -> bytes:
    """The digests of all chunks, concatenated.

    Args:
        known: digests of chunks by their index, of which the bytes are not read again.

    Raises:
        DamagedFileError: the file became shorter meanwhile.
        ConfigurationError: the algorithm is not available.
        OSError: the file cannot be read.
    """
    count = chunk_count(content.size, chunk_size)
    width = ALGORITHMS[algorithm]
    result = bytearray(count * width)
    for index, digest in known.items():
        result[index * width : (index + 1) * width] = digest
    # A deque gives each to one thread, with the GIL and without.
    jobs = deque(index for index in range(count) if index not in known)
    failures: list[BaseException] = []
    new_hash(algorithm)

    def work() -> None:
        try:
            _digest_chunks(content, chunk_size, algorithm, jobs, result)
        except BaseException as error:
            failures.append(error)

    helpers = [
        threading.Thread(target=work, daemon=True)
        for _ in range(min(portable.cores(), len(jobs)) - 1)
    ]
    started = [helper for helper in helpers if starts(helper)]
    work()
    for helper in started:
        helper.join()
    if failures:
        raise failures[0]
    return bytes(result)


def damaged_chunks(expected: bytes, actual: bytes, algorithm: str) -> list[int]:
    """Indexes of the chunks whose digests differ."""
    width = ALGORITHMS[algorithm]
    if hmac.compare_digest(expected, actual):
        return []
    return [
        at // width
        for at in range(0, len(expected), width)
        if expected[at : at + width] != actual[at : at + width]
    ]


def _digest_chunks(
    content: Content, chunk_size: int, algorithm: str, jobs: deque[int], result: bytearray
) -> None:
    width = ALGORITHMS[algorithm]
    buffer = memoryview(bytearray(min(_PIECE, max(content.size, 1))))
    while (index := _next(jobs)) is not None:
        start = index * chunk_size
        stop = min(start + chunk_size, content.size)
        digest = new_hash(algorithm)
        while start < stop:
            piece = buffer[: min(len(buffer), stop - start)]
            content.read_into(start, piece)
            digest.update(piece)
            start += len(piece)
        result[index * width : (index + 1) * width] = digest.digest()


def _next(jobs: deque[int]) -> int | None:
    try:
        return jobs.popleft()
    except IndexError:
        return None


def starts(thread: threading.Thread) -> bool:
    """Start ``thread``, where the system lets this process have one more."""
    try:
        thread.start()
    except RuntimeError:  # a limit on threads; this one does all of it then
        return False
    return True
