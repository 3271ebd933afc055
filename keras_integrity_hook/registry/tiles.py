# SPDX-License-Identifier: Apache-2.0
"""A log as files that never change: the layout of https://c2sp.org/tlog-tiles.

A *tile* is 256 hashes of one level, side by side; of its levels there is every eighth of the tree,
the others are computed. A *bundle* is the entries below a tile of level 0. The last tile of a level
may be narrower, and has its width in its path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from keras_integrity_hook.errors import LimitExceededError, MalformedEventError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import merkle
from keras_integrity_hook.registry.merkle import HASH_SIZE, Node

HEIGHT = 8  # levels of the tree that a tile stands for
WIDTH = 1 << HEIGHT
CHECKPOINT = "checkpoint"
_MOST_LEVELS = 63 // HEIGHT  # of tiles, with sizes below 2**63
_PATH = re.compile(
    r"tile/(?P<level>0|[1-9][0-9]?|entries)/(?P<index>(?:x[0-9]{3}/){0,5}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


class Tile(NamedTuple):
    """Hashes of one level, or the entries below those of level 0.

    Attributes:
        level: of tiles: a hash in it covers ``256**level`` leaves.
        number: of the tile within its level, from 0.
        width: hashes or entries in it.
        is_bundle: it has the entries; ``level`` is 0.
    """

    level: int
    number: int
    width: int = WIDTH
    is_bundle: bool = False

    @property
    def path(self) -> str:
        """Below the URL or directory of the log."""
        level = "entries" if self.is_bundle else str(self.level)
        partial = f".p/{self.width}" if self.width < WIDTH else ""
        return f"tile/{level}/{_spelled(self.number)}{partial}"

    @property
    def leaves(self) -> tuple[int, int]:
        """The first leaf that it covers, and the one after the last."""
        per_hash, first = WIDTH**self.level, self.number * WIDTH
        return first * per_hash, (first + self.width) * per_hash

    @property
    def nodes(self) -> list[Node]:
        """What its hashes are of."""
        first = self.number * WIDTH
        return [Node(self.level * HEIGHT, first + i) for i in range(self.width)]


def parse(path: str) -> Tile:
    """The tile or bundle at ``path``; raises MalformedEventError where no path is spelt so."""
    found = _PATH.fullmatch(path)
    if not found or found["index"].startswith("x000/"):
        raise MalformedEventError("not the path of a tile or of a bundle of entries")
    is_bundle = found["level"] == "entries"
    level, width = 0 if is_bundle else int(found["level"]), int(found["width"] or WIDTH)
    if level > _MOST_LEVELS or (found["width"] and width >= WIDTH):
        raise MalformedEventError("not the path of a tile or of a bundle of entries")
    index = int(found["index"].replace("x", "").replace("/", ""))
    return Tile(level, index, width, is_bundle)


def is_within(tile: Tile, size: int) -> bool:
    """Whether a log of ``size`` entries has all of ``tile``."""
    return tile.leaves[1] <= size


def tiles_of(size: int, since: int = 0) -> Iterator[Tile]:
    """Every tile and bundle of a log of ``size`` entries that one of ``since`` has not; from level
    0 upward, and a bundle after its tile."""
    for level in range(_MOST_LEVELS + 1):
        hashes, had = size >> HEIGHT * level, since >> HEIGHT * level
        if not hashes:
            return
        for index in range(had // WIDTH, -(-hashes // WIDTH)):
            width = min(WIDTH, hashes - index * WIDTH)
            if index * WIDTH + width > had:
                yield Tile(level, index, width)
                if level == 0:
                    yield Tile(0, index, width, is_bundle=True)


def reader(size: int, fetch: Callable[[Sequence[Tile]], Sequence[bytes]]) -> merkle.Read:
    """Gives the nodes of a log of ``size`` entries by its tiles, for which ``fetch`` is called
    once for each question.

    Raises (when it is called):
        MalformedEventError: a tile has not the hashes that it should have.
    """

    def read(nodes: Sequence[Node]) -> list[bytes]:
        wanted = list(dict.fromkeys(_tile_with(node, size) for node in nodes))
        found = {
            (tile.level, tile.number): hashes_of(data, tile.width)
            for tile, data in zip(wanted, fetch(wanted), strict=True)
        }
        return [_hash_in(found, node) for node in nodes]

    return read


def hashes_of(data: bytes, width: int = WIDTH) -> list[bytes]:
    """The hashes of a tile; raises MalformedEventError where they are not ``width``."""
    if len(data) != width * HASH_SIZE:
        raise MalformedEventError(f"a tile has {len(data)} bytes where {width} hashes belong")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """The entries of a bundle, each after its length in two bytes.

    Raises:
        LimitExceededError: an entry is too long for that.
    """
    if any(len(entry) > LIMITS.registry_event for entry in entries):
        raise LimitExceededError(f"an event is over {LIMITS.registry_event} bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(data: bytes, width: int = WIDTH) -> list[bytes]:
    """The entries of a bundle; raises MalformedEventError where they are not ``width``."""
    entries: list[bytes] = []
    at = 0
    while at < len(data) and len(entries) < width:
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        entries.append(data[start:at])
    if at != len(data) or len(entries) != width:
        raise MalformedEventError(f"a bundle holds something else than {width} entries")
    return entries


def _spelled(index: int) -> str:
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    *above, last = (digits[at : at + 3] for at in range(0, len(digits), 3))
    return "".join(f"x{part}/" for part in above) + last


def _tile_with(node: Node, size: int) -> Tile:
    """The tile of a log of ``size`` entries from whose hashes that of ``node`` follows."""
    level, above = divmod(node.level, HEIGHT)
    index = (node.number << above) // WIDTH
    return Tile(level, index, min(WIDTH, (size >> HEIGHT * level) - index * WIDTH))


def _hash_in(found: dict[tuple[int, int], list[bytes]], node: Node) -> bytes:
    """The hash of ``node``, computed from those of its tile."""
    level, above = divmod(node.level, HEIGHT)
    index, first = divmod(node.number << above, WIDTH)
    return merkle.root(found[level, index][first : first + (1 << above)])
