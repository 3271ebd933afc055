# SPDX-License-Identifier: Apache-2.0
"""The Merkle tree of a log: its root, and proofs that say little and cannot lie (RFC 9162, 2.1).

Hashes are SHA-256. A leaf is hashed after a zero byte and an inner node after a one, so that
neither can pass for the other. A *node* here is a complete subtree: ``Node(level, number)`` covers
the ``2**level`` leaves from ``number * 2**level``. Once it is complete it never changes, whatever
is appended; everything else of a tree is computed from such nodes. Proofs first say which they
need and then ask for all of them at once, so that a database is asked one question.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from keras_integrity_hook.errors import MalformedEventError

HASH_SIZE = 32  # bytes
EMPTY_ROOT = hashlib.sha256().digest()


class Node(NamedTuple):
    """A complete subtree: ``2**level`` leaves, the first of which is ``number * 2**level``."""

    level: int
    number: int


Read = Callable[[Sequence[Node]], Sequence[bytes]]
"""Gives the hashes of nodes, in the order in which it was asked for them."""


class Frontier(NamedTuple):
    """All that is needed of a tree to append to it: its largest complete subtrees.

    Attributes:
        size: leaves of the tree.
        hashes: of the subtrees, from left to right, which is from the largest to the smallest.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()


def leaf_hash(data: bytes) -> bytes:
    """The hash of an entry."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """The root of the tree whose leaves have these ``hashes``."""
    row = list(hashes)
    while len(row) > 1:
        odd = row[-1:] if len(row) % 2 else []
        row = [node_hash(*pair) for pair in zip(row[::2], row[1::2], strict=False)] + odd
    return row[0] if row else EMPTY_ROOT


def append(frontier: Frontier, leaf: bytes) -> tuple[Frontier, tuple[tuple[Node, bytes], ...]]:
    """The frontier after a leaf with the hash ``leaf``, and the nodes that it completes: the leaf
    itself first, then upward, each with its hash."""
    index, hashes = frontier.size, list(frontier.hashes)
    completed = [(Node(0, index), leaf)]
    while index % 2:
        leaf, index = node_hash(hashes.pop(), leaf), index // 2
        completed.append((Node(len(completed), index), leaf))
    return Frontier(frontier.size + 1, (*hashes, leaf)), tuple(completed)


def frontier(size: int, read: Read) -> Frontier:
    """The frontier of the tree of the first ``size`` leaves."""
    return Frontier(size, tuple(read(cover(0, size)))) if size else Frontier()


def root_of(frontier: Frontier) -> bytes:
    """The root of the tree with this frontier."""
    return _folded(frontier.hashes) if frontier.size else EMPTY_ROOT


def cover(start: int, end: int) -> list[Node]:
    """The nodes that the subtree of the leaves from ``start`` to before ``end`` consists of, from
    left to right; ``start`` is a multiple of a power of two that is no less than their number."""
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes


def inclusion_proof(index: int, size: int, read: Read) -> tuple[bytes, ...]:
    """The proof that leaf ``index`` is in the tree of ``size`` leaves (RFC 9162, 2.1.3.1).

    Raises:
        ValueError: there is no such leaf.
    """
    return inclusion_proofs((index,), size, read)[0]


def inclusion_proofs(
    indices: Sequence[int], size: int, read: Read
) -> tuple[tuple[bytes, ...], ...]:
    """As :func:`inclusion_proof`, for several leaves, for which ``read`` is called once."""
    return _proofs([_beside_leaf(index, size) for index in indices], read)


def consistency_proof(old: int, new: int, read: Read) -> tuple[bytes, ...]:
    """The proof that the tree of ``new`` leaves begins with that of ``old`` (RFC 9162, 2.1.4.1).
    It is empty where either says nothing: an empty tree begins every other.

    Raises:
        ValueError: the old tree is the larger one.
    """
    return _proofs([_beside_tree(old, new)], read)[0]


def both_proofs(
    indices: Sequence[int], old: int, size: int, read: Read
) -> tuple[tuple[tuple[bytes, ...], ...], tuple[bytes, ...]]:
    """As :func:`inclusion_proofs`, and as :func:`consistency_proof` of a tree of ``old`` leaves,
    which is empty where that is no older one; ``read`` is called once."""
    old = old if old <= size else 0
    ranges = [_beside_leaf(index, size) for index in indices]
    *inclusion, consistency = _proofs([*ranges, _beside_tree(old, size)], read)
    return tuple(inclusion), consistency


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that the leaf with the hash ``leaf`` is the one at ``index`` in the tree of ``size``
    leaves with this ``root`` (RFC 9162, 2.1.3.2).

    Raises:
        MalformedEventError: it is not, or the proof has too many hashes or too few.
    """
    _refuse_odd_hashes((leaf, root, *proof))
    if not 0 <= index < size:
        raise MalformedEventError(f"a proof is about entry {index} of {size}")
    position, last, computed = index, size - 1, leaf
    for hashed in proof:
        if not last:
            raise MalformedEventError("an inclusion proof is too long")
        if position % 2 or position == last:
            computed = node_hash(hashed, computed)
            position, last = _where_left_child(position, last)
        else:
            computed = node_hash(computed, hashed)
        position, last = position >> 1, last >> 1
    if last or not hmac.compare_digest(computed, root):
        raise MalformedEventError(f"an inclusion proof does not show that entry {index} is there")


def verify_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Check that the tree of ``new`` leaves begins with that of ``old`` (RFC 9162, 2.1.4.2).

    Raises:
        MalformedEventError: it does not, or the proof has too many hashes or too few.
    """
    _refuse_odd_hashes((old_root, new_root, *proof))
    if not 0 <= old <= new:
        raise MalformedEventError(f"a log of {new} entries cannot continue one of {old}")
    if old in (0, new):
        expected = new_root if old == new else EMPTY_ROOT
        if proof or old_root != expected:
            raise MalformedEventError("two trees of one size differ, or a proof is too long")
        return
    roots = _roots_of(old, new, proof, old_root)
    if not all(map(hmac.compare_digest, roots, (old_root, new_root))):
        raise MalformedEventError("a consistency proof does not show that the log was continued")


def _roots_of(old: int, new: int, proof: Sequence[bytes], old_root: bytes) -> tuple[bytes, bytes]:
    """The roots of both trees as ``proof`` has them; raises MalformedEventError."""
    position, last = old - 1, new - 1
    while position % 2:
        position, last = position >> 1, last >> 1
    hashes = list(proof if position else (old_root, *proof))
    if not hashes:
        raise MalformedEventError("a consistency proof is too short")
    old_computed = new_computed = hashes[0]
    for hashed in hashes[1:]:
        if not last:
            raise MalformedEventError("a consistency proof is too long")
        if position % 2 or position == last:
            old_computed = node_hash(hashed, old_computed)
            new_computed = node_hash(hashed, new_computed)
            position, last = _where_left_child(position, last)
        else:
            new_computed = node_hash(new_computed, hashed)
        position, last = position >> 1, last >> 1
    if last:
        raise MalformedEventError("a consistency proof is too short")
    return old_computed, new_computed


def _where_left_child(position: int, last: int) -> tuple[int, int]:
    """Up the right edge to where a sibling on the left was hashed in: levels at which the node is
    alone have none."""
    while position and not position % 2:
        position, last = position >> 1, last >> 1
    return position, last


def _beside_leaf(index: int, size: int) -> list[tuple[int, int]]:
    """The ranges of leaves whose subtrees an inclusion proof consists of, from the leaf upward."""
    if not 0 <= index < size:
        raise ValueError(f"there is no entry {index} among {size}")
    ranges, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def _beside_tree(old: int, new: int) -> list[tuple[int, int]]:
    """The ranges of leaves whose subtrees a consistency proof consists of, upward."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves cannot continue one of {old}")
    if old == 0:
        return []
    ranges, start, end = [], 0, new
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    # Whoever checks the proof knows the root of the old tree, unless only a part of it is left.
    return ([(start, end)] if start else []) + ranges[::-1]


def _split(size: int) -> int:
    """The leaves of the left subtree: the largest power of two that is smaller than ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _proofs(
    proofs: Sequence[Sequence[tuple[int, int]]], read: Read
) -> tuple[tuple[bytes, ...], ...]:
    """The hashes of the subtrees over each range of each proof; all nodes are read at once."""
    covers = [[cover(*leaves) for leaves in ranges] for ranges in proofs]
    needed = list(dict.fromkeys(node for ranges in covers for nodes in ranges for node in nodes))
    known = dict(zip(needed, read(needed), strict=True))
    return tuple(
        tuple(_folded([known[node] for node in nodes]) for nodes in ranges) for ranges in covers
    )


def _folded(hashes: Sequence[bytes]) -> bytes:
    """The hash of the subtree that consists of these, from left to right."""
    *others, folded = hashes
    for hashed in reversed(others):
        folded = node_hash(hashed, folded)
    return folded


def _refuse_odd_hashes(hashes: Iterable[bytes]) -> None:
    if any(len(hashed) != HASH_SIZE for hashed in hashes):
        raise MalformedEventError(f"a hash of a proof has not {HASH_SIZE} bytes")
