# SPDX-License-Identifier: Apache-2.0
"""The layout of a log in files, against the examples of https://c2sp.org/tlog-tiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_integrity_hook.errors import LimitExceededError, MalformedEventError
from keras_integrity_hook.registry import merkle, tiles
from keras_integrity_hook.registry.merkle import Frontier, Node
from keras_integrity_hook.registry.tiles import Tile

NUMBERS, WIDTHS = st.integers(0, 10**18 - 1), st.integers(1, 256)
TILES = st.builds(Tile, st.integers(0, 7), NUMBERS, WIDTHS, st.just(False)) | st.builds(
    Tile, st.just(0), NUMBERS, WIDTHS, st.just(True)
)


def test_the_path_of_the_specification() -> None:
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert Tile(0, 1234067, 8, is_bundle=True).path == "tile/entries/x001/x234/067.p/8"
    assert Tile(63 // 8, 0, 1).path == "tile/7/000.p/1"


def test_the_tiles_of_70_000_entries_as_the_specification_counts_them() -> None:
    found = list(tiles.tiles_of(70_000))
    full = Counter(one.level for one in found if one.width == 256 and not one.is_bundle)
    partial = {one.level: one.width for one in found if one.width < 256 and not one.is_bundle}
    assert full == {0: 273, 1: 1}
    assert partial == {0: 112, 1: 17, 2: 1}
    assert sum(one.width for one in found if one.is_bundle) == 70_000


def test_the_tiles_of_256_entries_as_the_specification_counts_them() -> None:
    found = [one for one in tiles.tiles_of(256) if not one.is_bundle]
    assert found == [Tile(0, 0), Tile(1, 0, 1)]


def test_an_empty_log_has_no_tiles() -> None:
    assert list(tiles.tiles_of(0)) == []


@given(TILES)
def test_a_path_is_read_as_what_it_was_made_of(tile: Tile) -> None:
    assert tiles.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        *("", "tile", "tile/0", "tile/0/", "tile/0/1", "tile/0/0001", "tile/00/001", "tile/8/001"),
        *("tile/-1/001", "tile/0/x001", "tile/0/001/067", "tile/0/x000/001", "tile/0/001.p/0"),
        *("tile/0/001.p/256", "tile/0/001.p/01", "tile/0/001.p/", "tile/0/001.p", "tile/64/001"),
        *(
            "tile/entry/001",
            "tile/entries/../001",
            "tile/0/\u0660\u0660\u0661",
            "tile/0/001\n",
            "/tile/0/001",
        ),
        "tile/0/" + "x001/" * 20 + "001",
    ],
)
def test_what_is_no_path_of_a_tile_is_refused(path: str) -> None:
    with pytest.raises(MalformedEventError):
        tiles.parse(path)


@given(st.integers(0, 70_000), st.integers(0, 70_000))
def test_new_tiles_are_those_that_are_not_as_they_were(one: int, another: int) -> None:
    since, size = sorted((one, another))
    new = list(tiles.tiles_of(size, since))
    assert set(new) == set(tiles.tiles_of(size)) - set(tiles.tiles_of(since))
    assert all(tiles.is_within(tile, size) and not tiles.is_within(tile, since) for tile in new)


class Log:
    """A log of some entries, with every node of its tree."""

    def __init__(self, size: int) -> None:
        self.entries = [b"entry %d" % i for i in range(size)]
        self.nodes: dict[Node, bytes] = {}
        self.fetched: list[Tile] = []
        frontier = Frontier()
        for entry in self.entries:
            frontier, completed = merkle.append(frontier, merkle.leaf_hash(entry))
            self.nodes.update(completed)
        self.root = merkle.root_of(frontier)

    def fetch(self, wanted: Sequence[Tile]) -> list[bytes]:
        self.fetched.extend(wanted)
        return [b"".join(self.nodes[node] for node in tile.nodes) for tile in wanted]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 512, 70_000])
def test_a_tile_has_the_hashes_of_the_subtrees_below_it(size: int) -> None:
    """Each is MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l])."""
    log = Log(size)
    for tile in tiles.tiles_of(size):
        start, end = tile.leaves
        assert 0 <= start < end <= size
        step = (end - start) // tile.width
        leaves = [merkle.leaf_hash(entry) for entry in log.entries[start:end]]
        subtrees = [merkle.root(leaves[at : at + step]) for at in range(0, len(leaves), step)]
        assert tiles.hashes_of(log.fetch([tile])[0], tile.width) == subtrees


@pytest.mark.parametrize("size", [1, 3, 256, 257, 1000, 66_000])
def test_proofs_are_made_from_tiles_alone_and_from_few(size: int) -> None:
    log = Log(size)
    read = tiles.reader(size, log.fetch)
    assert merkle.root_of(merkle.frontier(size, read)) == log.root
    for index in {0, size // 3, size - 1}:
        log.fetched.clear()
        proof = merkle.inclusion_proof(index, size, read)
        merkle.verify_inclusion(index, size, merkle.leaf_hash(log.entries[index]), proof, log.root)
        assert len(log.fetched) <= 2 * 3
        assert set(log.fetched) <= set(tiles.tiles_of(size))


@pytest.mark.parametrize("change", [b"", b"\0", b"\0" * 32])
def test_a_tile_of_another_width_is_refused(change: bytes) -> None:
    log = Log(300)

    def fetch(wanted: Sequence[Tile]) -> list[bytes]:
        return [data[:-32] + change[:-1] if change else data[:-1] for data in log.fetch(wanted)]

    with pytest.raises(MalformedEventError):
        merkle.inclusion_proof(3, 300, tiles.reader(300, fetch))


def test_the_bytes_of_a_bundle() -> None:
    assert tiles.encode_bundle([b"", b"abc", bytes(300)]) == (
        b"\0\0" + b"\0\3abc" + b"\x01\x2c" + bytes(300)
    )


@given(st.lists(st.binary(max_size=400), max_size=256))
def test_a_bundle_is_read_as_what_it_was_made_of(entries: list[bytes]) -> None:
    assert tiles.decode_bundle(tiles.encode_bundle(entries), len(entries)) == entries


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=9), st.data())
def test_a_bundle_that_is_cut_or_too_long_is_refused(
    entries: list[bytes], data: st.DataObject
) -> None:
    bundle = tiles.encode_bundle(entries)
    cut = bundle[: data.draw(st.integers(0, len(bundle) - 1))]
    for wrong in (cut, bundle + b"\0", bundle + b"\0\0"):
        with pytest.raises(MalformedEventError):
            tiles.decode_bundle(wrong, len(entries))


def test_an_entry_that_no_bundle_has_room_for_is_refused() -> None:
    with pytest.raises(LimitExceededError):
        tiles.encode_bundle([bytes(65_536)])
