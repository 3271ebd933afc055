# SPDX-License-Identifier: Apache-2.0
"""Savers of TensorFlow 1: ops in a graph that write and read files, which nothing is to call.

Each has a path that stands in the graph, as long as nobody feeds another: ``model``, where
TensorFlow wrote it. Whoever asks a model is to reach none of its ops, or the model writes to files
of its own choice. A graph that was saved twice has the savers of both times in it, and its meta
graph names one of them.
"""

from __future__ import annotations

from keras_integrity_hook.inspection.graph import Graphs, Scope
from keras_integrity_hook.inspection.op_rules import SAVERS
from keras_integrity_hook.inspection.protobuf import Span

DEFAULT = "model"
"""The path in every saver that was made without one (``tf.compat.v1.train.Saver``)."""

_SAVERS = b"savers"  # the collection of savers itself (``tf.compat.v1.GraphKeys.SAVERS``)


def are_reached(graphs: Graphs, scope: Scope) -> bool:
    """Whether a signature or a collection of a graph names a node that runs one of its savers.

    The names are looked for in the bytes, so that what is said in an odd way is found as well; one
    that is the beginning of another is taken for it.

    Raises:
        DamagedFileError, LimitExceededError: as :class:`graph.Graphs`.
    """
    wire = graphs.wire
    asked_for = [wire.data[begin:end] for begin, end in _asked_for(graphs, scope)]
    size = sum(map(len, asked_for)) >> 10
    for name in _depending_on_savers(graphs, scope):
        wire.spend(1 + size)
        if any(name.encode() in names for names in asked_for):
            return True
    return False


def _asked_for(graphs: Graphs, scope: Scope) -> list[Span]:
    wire = graphs.wire
    collections = [
        span
        for span in scope.collections
        if any(wire.data[begin:end] != _SAVERS for begin, end in wire.spans(span, 1))
    ]
    return [*scope.signatures, *collections]


def _depending_on_savers(graphs: Graphs, scope: Scope) -> set[str]:
    """The names of a graph's savers' ops, and of every node that they are run for."""
    users: dict[str, list[str]] = {}
    pending = []
    for span in scope.spans:
        node = graphs.node(span)
        for each in (*node.inputs, *node.controls):
            users.setdefault(each.partition(":")[0], []).append(node.name)
        if node.op in SAVERS:
            pending.append(node.name)
    reached: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += users.get(name, ())
    return reached
