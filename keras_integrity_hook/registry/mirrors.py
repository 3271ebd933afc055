# SPDX-License-Identifier: Apache-2.0
"""A registry as files that never change, but for one: what is behind a web server, in a bucket, or
on a disk that somebody carried to where there is no network.

==========================  ====================================================================
``v1/mirror.json``          which answers are the present ones; replaced last, as a whole
``v1/checkpoint``           the log as of these answers
``v1/tile/…``               its hashes and entries (https://c2sp.org/tlog-tiles)
``v1/answers/<moment>/ab``  one answer about every digest that begins with ``ab``
==========================  ====================================================================

An answer about a whole range of digests is also the word of a service that there are no others: a
mirror cannot pass a recalled model off as an unknown one. All answers of a moment are of one
checkpoint, and stay as they are when the next ones come.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from keras_integrity_hook.errors import (
    LimitExceededError,
    MalformedEventError,
    RegistryUnavailableError,
    UnreadableFileError,
)
from keras_integrity_hook.files import reading
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import answers, merkle, notes, tiles
from keras_integrity_hook.registry.answers import Answer
from keras_integrity_hook.registry.merkle import HASH_SIZE, Node
from keras_integrity_hook.registry.tiles import Tile
from keras_integrity_hook.sealing.tree import HEX

HOME = "v1"
POINTER = f"{HOME}/mirror.json"
CHECKPOINT = f"{HOME}/{tiles.CHECKPOINT}"
ANSWERS = f"{HOME}/answers"
_POINTER_SIZE = 4096  # bytes
_MOMENT = re.compile(r"[0-9]{1,19}-[0-9]{8}T[0-9]{6}Z")
_MOST_DIGITS = 8
_REMEDY = "Look at the URL. 'keras-integrity registry export DIRECTORY' makes a mirror."
_INCOMPLETE = "Copy all of it again, the directory 'v1' with all that is in it."

Read = Callable[[str, int], bytes | None]
"""The bytes of a file below the mirror's URL, at most so many; None where there is none."""


class Pointer(NamedTuple):
    """Which answers are the present ones.

    Attributes:
        moment: the name of their directory.
        digits: of a digest, by which it is told which answer is about it.
    """

    moment: str
    digits: int

    def path(self, prefix: str) -> str:
        """The file with the answer about the digests that begin with ``prefix``."""
        below = f"{prefix[:2]}/" if self.digits > 2 else ""
        return f"{ANSWERS}/{self.moment}/{below}{prefix or 'all'}"


def spelled(pointer: Pointer) -> bytes:
    """The file :data:`POINTER`."""
    return json.dumps(pointer._asdict()).encode() + b"\n"


def pointer(data: bytes) -> Pointer:
    """What the file :data:`POINTER` says; raises MalformedEventError."""
    try:
        found = Pointer(**json.loads(data))
    except (ValueError, TypeError, RecursionError) as error:
        raise MalformedEventError("the mirror's pointer to its answers is malformed") from error
    is_moment = isinstance(found.moment, str) and _MOMENT.fullmatch(found.moment)
    if not is_moment or type(found.digits) is not int or not 0 <= found.digits <= _MOST_DIGITS:
        raise MalformedEventError("the mirror's pointer to its answers is malformed")
    return found


def in_directory(directory: str) -> Read:
    """Reads a mirror that is in ``directory``.

    Raises (when it is called):
        RegistryUnavailableError: a file cannot be read.
        LimitExceededError: a file is too long.
    """

    def read(path: str, limit: int) -> bytes | None:
        where = os.path.join(directory, path)
        try:
            return reading.read_file(where, limit)
        except UnreadableFileError as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                return None
            cause = f"the mirror cannot be read ({error.cause})"
            raise RegistryUnavailableError(cause, path=where) from error

    return read


def answer(read: Read, digest: str) -> Answer:
    """What the mirror says of ``digest``, and of all others that begin like it; not verified.

    Raises:
        RegistryUnavailableError: there is no mirror, or a part of it is missing.
        LimitExceededError, MalformedEventError: as of ``answers.decode``.
        ValueError: ``digest`` is no digest.
    """
    if not HEX.fullmatch(digest):
        raise ValueError("not a digest in lower-case hex")
    # A second time, where new answers came and the old ones went between two reads.
    for _ in range(2):
        now = pointer(_there(read, POINTER, _POINTER_SIZE))
        path = now.path(digest[: now.digits])
        data = read(path, LIMITS.registry_answer)
        if data is not None:
            return answers.decode(data)
    raise _missing(path)


def nodes(read: Read, size: int) -> merkle.Read:
    """Gives the hashes of a log of ``size`` entries by the mirror's tiles.

    Raises (when it is called):
        RegistryUnavailableError: a tile is missing.
        MalformedEventError: a tile has not the hashes that it should have.
    """

    def fetch(wanted: Sequence[Tile]) -> list[bytes]:
        paths = (f"{HOME}/{tile.path}" for tile in wanted)
        return [_there(read, path, tiles.WIDTH * HASH_SIZE) for path in paths]

    return tiles.reader(size, fetch)


class MirroredLog:
    """The log of a mirror, as of its checkpoint when this was made: a ``whole.Source``."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._note = _there(read, CHECKPOINT, LIMITS.registry_note)
        self._size = notes.unverified_checkpoint(self._note).size
        self._nodes = nodes(read, self._size)

    def size(self) -> int:
        """How many entries there are."""
        return self._size

    def checkpoint(self) -> bytes:
        """The checkpoint, a signed note."""
        return self._note

    def entries(self, start: int, end: int) -> list[bytes]:
        """Those from ``start`` to before ``end``, as many as there are.

        Raises:
            RegistryUnavailableError: a bundle is missing.
            MalformedEventError: a bundle is malformed.
        """
        end = min(end, self._size)
        numbers = range(start // tiles.WIDTH, -(-end // tiles.WIDTH))
        found = [entry for number in numbers for entry in self._bundle(number)]
        skipped = start % tiles.WIDTH
        return found[skipped : skipped + end - start]

    def nodes(self, wanted: Sequence[Node]) -> Sequence[bytes]:
        """The hashes of nodes: a ``merkle.Read``; raises as :meth:`entries`."""
        return self._nodes(wanted)

    def consistency(self, old: int) -> tuple[bytes, ...]:
        """The proof that the log continues that of ``old`` entries, no more than it has."""
        return merkle.consistency_proof(old, self._size, self._nodes)

    def _bundle(self, number: int) -> list[bytes]:
        width = min(tiles.WIDTH, self._size - number * tiles.WIDTH)
        path = f"{HOME}/{Tile(0, number, width, is_bundle=True).path}"
        return tiles.decode_bundle(_there(self._read, path, LIMITS.registry_bundle), width)


def _there(read: Read, path: str, limit: int) -> bytes:
    try:
        data = read(path, limit)
    except LimitExceededError as error:
        raise MalformedEventError(f"the mirror's '{path}' is too long") from error
    if data is None:
        raise _missing(path)
    return data


def _missing(path: str) -> RegistryUnavailableError:
    if path in (POINTER, CHECKPOINT):
        return RegistryUnavailableError(
            f"no mirror of a registry is there: it would have a file '{path}'", remedy=_REMEDY
        )
    return RegistryUnavailableError(f"the mirror lacks its file '{path}'", remedy=_INCOMPLETE)
