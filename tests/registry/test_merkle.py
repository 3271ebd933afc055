# SPDX-License-Identifier: Apache-2.0
"""The tree of a log, against published vectors and against a second implementation that follows
the definitions of RFC 9162 word by word."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_integrity_hook.errors import MalformedEventError
from keras_integrity_hook.registry import merkle
from keras_integrity_hook.registry.merkle import Frontier, Node

# Of Certificate Transparency's tests, which every implementation of RFC 6962 has.
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 1): (),
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
}
CONSISTENCY = {
    (1, 1): (),
    (1, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
}


class Tree:
    """A tree that was made by appending, and knows only what :func:`merkle.append` said."""

    def __init__(self, entries: Sequence[bytes]) -> None:
        self.nodes: dict[Node, bytes] = {}
        self.asked: list[int] = []
        self.frontiers = [Frontier()]
        for entry in entries:
            frontier, completed = merkle.append(self.frontiers[-1], merkle.leaf_hash(entry))
            self.frontiers.append(frontier)
            self.nodes.update(completed)

    def read(self, nodes: Sequence[Node]) -> list[bytes]:
        self.asked.append(len(nodes))
        return [self.nodes[node] for node in nodes]

    def root(self, size: int) -> bytes:
        return merkle.root_of(self.frontiers[size])


def tree_hash(entries: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = largest_power_below(len(entries))
    both = tree_hash(entries[:k]) + tree_hash(entries[k:])
    return hashlib.sha256(b"\x01" + both).digest()


def path(m: int, entries: Sequence[bytes]) -> tuple[bytes, ...]:
    """PATH of RFC 9162, 2.1.3.1."""
    if len(entries) == 1:
        return ()
    k = largest_power_below(len(entries))
    if m < k:
        return (*path(m, entries[:k]), tree_hash(entries[k:]))
    return (*path(m - k, entries[k:]), tree_hash(entries[:k]))


def subproof(m: int, entries: Sequence[bytes], whole: bool) -> tuple[bytes, ...]:
    """SUBPROOF of RFC 9162, 2.1.4.1."""
    if m == len(entries):
        return () if whole else (tree_hash(entries),)
    k = largest_power_below(len(entries))
    if m <= k:
        return (*subproof(m, entries[:k], whole), tree_hash(entries[k:]))
    return (*subproof(m - k, entries[k:], False), tree_hash(entries[:k]))


def largest_power_below(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def hashes(texts: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(map(bytes.fromhex, texts))


def some_entries(count: int) -> list[bytes]:
    return [b"entry %d" % i for i in range(count)]


def test_roots_of_the_published_vectors() -> None:
    tree = Tree(ENTRIES)
    for size, root in enumerate(ROOTS):
        assert tree.root(size).hex() == root
        assert merkle.root([merkle.leaf_hash(one) for one in ENTRIES[:size]]).hex() == root


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_of_the_published_vectors(index: int, size: int) -> None:
    proof = hashes(INCLUSION[index, size])
    assert merkle.inclusion_proof(index, size, Tree(ENTRIES).read) == proof
    leaf, root = merkle.leaf_hash(ENTRIES[index]), bytes.fromhex(ROOTS[size])
    merkle.verify_inclusion(index, size, leaf, proof, root)


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_consistency_proofs_of_the_published_vectors(old: int, new: int) -> None:
    proof = hashes(CONSISTENCY[old, new])
    assert merkle.consistency_proof(old, new, Tree(ENTRIES).read) == proof
    merkle.verify_consistency(old, new, proof, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]))


def test_the_example_of_rfc_9162() -> None:
    """Its section 2.1.5: a tree of seven entries, with the names of the nodes as it has them."""
    entries = some_entries(7)
    a, b, c, d, e, f, j = (merkle.leaf_hash(entry) for entry in entries)
    g, h, i = (merkle.node_hash(*pair) for pair in ((a, b), (c, d), (e, f)))
    k, l = merkle.node_hash(g, h), merkle.node_hash(i, j)  # noqa: E741
    tree = Tree(entries)
    assert tree.root(7) == merkle.node_hash(k, l)
    assert merkle.inclusion_proof(0, 7, tree.read) == (b, h, l)
    assert merkle.inclusion_proof(3, 7, tree.read) == (c, g, l)
    assert merkle.inclusion_proof(4, 7, tree.read) == (f, j, k)
    assert merkle.inclusion_proof(6, 7, tree.read) == (i, k)
    assert merkle.consistency_proof(3, 7, tree.read) == (c, d, g, l)
    assert merkle.consistency_proof(4, 7, tree.read) == (l,)
    assert merkle.consistency_proof(6, 7, tree.read) == (i, j, k)


@pytest.mark.parametrize("size", [*range(1, 34), 63, 64, 65])
def test_every_proof_is_that_of_the_definitions_and_is_accepted(size: int) -> None:
    entries = some_entries(size)
    tree, root = Tree(entries), tree_hash(entries)
    assert tree.root(size) == root == merkle.root_of(merkle.frontier(size, tree.read))
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, tree.read)
        assert proof == path(index, entries)
        merkle.verify_inclusion(index, size, merkle.leaf_hash(entries[index]), proof, root)
    for old in range(1, size + 1):
        proof = merkle.consistency_proof(old, size, tree.read)
        assert proof == subproof(old, entries, True)
        merkle.verify_consistency(old, size, proof, tree_hash(entries[:old]), root)


@given(st.data(), st.integers(1, 300))
def test_a_changed_inclusion_proof_shows_nothing(data: st.DataObject, size: int) -> None:
    tree, index = Tree(some_entries(size)), data.draw(st.integers(0, size - 1))
    leaf, root = merkle.leaf_hash(b"entry %d" % index), tree.root(size)
    proof = merkle.inclusion_proof(index, size, tree.read)
    other = data.draw(st.integers(0, size - 1).filter(lambda i: i != index)) if size > 1 else size
    lies = [
        (other, size, leaf, proof, root),
        (index, size, merkle.leaf_hash(b"another"), proof, root),
        (index, size, leaf, (*proof, leaf), root),
        (index, size, leaf, proof, leaf[::-1]),
        *((index, size, leaf, cut, root) for cut in cuts_and_changes(proof)),
    ]
    for lie in lies:
        with pytest.raises(MalformedEventError):
            merkle.verify_inclusion(*lie)


@given(st.data(), st.integers(2, 300))
def test_a_changed_consistency_proof_shows_nothing(data: st.DataObject, size: int) -> None:
    tree, old = Tree(some_entries(size)), data.draw(st.integers(1, size - 1))
    old_root, root = tree.root(old), tree.root(size)
    proof = merkle.consistency_proof(old, size, tree.read)
    forked = tree_hash([*some_entries(old - 1), b"another"])
    lies = [
        (old, size, proof, forked, root),
        (old, size, proof, old_root, tree.root(size - 1)),
        (old, size, (*proof, root), old_root, root),
        (size, old, proof, root, old_root),
        *((old, size, cut, old_root, root) for cut in cuts_and_changes(proof)),
    ]
    for lie in lies:
        with pytest.raises(MalformedEventError):
            merkle.verify_consistency(*lie)


def cuts_and_changes(proof: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    """``proof`` without one of its hashes, and with one of them changed, or cut short."""
    each = range(len(proof))
    changed = [(*proof[:i], proof[i][::-1], *proof[i + 1 :]) for i in each]
    short = [(*proof[:i], proof[i][:-1], *proof[i + 1 :]) for i in each]
    return [proof[:i] + proof[i + 1 :] for i in each] + changed + short


def test_an_empty_log_begins_every_other_and_proves_nothing_else() -> None:
    tree = Tree(some_entries(5))
    assert merkle.consistency_proof(0, 5, tree.read) == ()
    merkle.verify_consistency(0, 5, (), merkle.EMPTY_ROOT, tree.root(5))
    merkle.verify_consistency(5, 5, (), tree.root(5), tree.root(5))
    for old, roots in ((0, (tree.root(5),) * 2), (5, (tree.root(4), tree.root(5)))):
        with pytest.raises(MalformedEventError):
            merkle.verify_consistency(old, 5, (), *roots)


def test_an_inner_node_does_not_pass_for_an_entry() -> None:
    """A second preimage: an entry that is spelt like the two hashes of an inner node."""
    left, right = (merkle.leaf_hash(entry) for entry in some_entries(2))
    assert merkle.root([merkle.leaf_hash(left + right)]) != merkle.root([left, right])


def test_proofs_ask_for_their_nodes_once_and_for_few() -> None:
    size = 5000
    tree = Tree(some_entries(size))
    for proofs in (
        lambda: merkle.inclusion_proofs([0, 77, 4095, 4999], size, tree.read),
        lambda: merkle.consistency_proof(3333, size, tree.read),
    ):
        tree.asked.clear()
        proofs()
        assert len(tree.asked) == 1
        assert tree.asked[0] <= 4 * 2 * 13


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_there_is_no_proof_of_what_is_not_there(index: int, size: int) -> None:
    tree = Tree(some_entries(3))
    with pytest.raises(ValueError, match="no entry"):
        merkle.inclusion_proof(index, size, tree.read)
    with pytest.raises(MalformedEventError):
        merkle.verify_inclusion(index, size, bytes(32), (), bytes(32))
