# SPDX-License-Identifier: Apache-2.0
"""The graphs of a SavedModel: the nodes of graph and functions, and where a tensor comes from.

Field numbers are those of TensorFlow's ``saved_model.proto``, ``meta_graph.proto``,
``graph.proto``, ``function.proto``, ``node_def.proto`` and ``attr_value.proto``. Of a message that
a file has twice protocol buffers merge both, so each occurrence is walked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from keras_integrity_hook.errors import DamagedFileError
from keras_integrity_hook.inspection.protobuf import Span, Wire

CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
# Ops through which a path passes: the inputs that it may come by. What a saver joins to the path
# that it is given are constants of its own ("_temp/part"), behind it.
_THROUGH = {"Identity": 1, "PlaceholderWithDefault": 1, "ShardedFilename": 1, "StringJoin": 1} | {
    "Snapshot": 1,
    "StopGradient": 1,
    "Pack": 1000,
}
_MOST_DEFAULTS = 8  # one behind the other
_MOST_STEPS = 10_000  # back from one node


@dataclass(slots=True)
class Node:
    """A node of which more than its op was asked for."""

    name: str
    op: str
    inputs: list[str]
    span: Span
    controls: list[str]


@dataclass(slots=True)
class Scope:
    """The graph itself (``name`` is empty) or a function, with the nodes in it.

    Attributes:
        spans: of its nodes.
        signature: of a function.
        savers: names of nodes of a graph that the paths of checkpoints are fed to.
        collections: of a graph, each with its name.
        signatures: of a graph, likewise.
        assets: names of nodes of a graph that the paths of assets are fed to.
    """

    name: str
    spans: list[Span] = field(default_factory=list)
    signature: Span = (0, 0)
    savers: set[str] = field(default_factory=set)
    assets: set[str] = field(default_factory=set)
    collections: list[Span] = field(default_factory=list)
    signatures: list[Span] = field(default_factory=list)
    arguments: list[str] | None = None
    begins: dict[int, int] | None = None
    sites: list[tuple[Scope, Node]] | None = None

    @property
    def reach(self) -> Span:
        """From the first of its nodes to behind the last."""
        return (self.spans[0][0], self.spans[-1][1]) if self.spans else (0, 0)


@dataclass(slots=True)
class Graphs:
    """Every graph of a file with its functions, and the names of its assets."""

    wire: Wire
    scopes: list[Scope] = field(default_factory=list)
    functions: dict[str, list[Scope]] = field(default_factory=dict)
    asset_names: list[str] = field(default_factory=list)
    objects: list[Span] = field(default_factory=list)
    callers: dict[str, list[tuple[Scope, Span]]] = field(default_factory=dict)
    called_by: dict[bytes, tuple[str, ...]] = field(default_factory=dict)

    def ops(self, scope: Scope) -> Iterator[tuple[Span, bytes]]:
        """Every node of ``scope`` with its op: the one field that is wanted of most of them.

        Raises:
            DamagedFileError: one has no op, or two, of which readers could take either.
        """
        data = self.wire.data
        self.wire.spend(len(scope.spans))
        for span in scope.spans:
            at, stop = span
            op = b""
            while at + 2 < stop:
                tag, length = data[at], data[at + 1]
                at += 2
                if length > 127:
                    if data[at] > 127:
                        break
                    length += (data[at] << 7) - 128
                    at += 1
                if tag == 0x12:
                    if op:
                        break
                    op = data[at : at + length]
                elif tag & 0x87 != 2:
                    break
                at += length
            if at != stop or not op:
                op = self._op_slowly(span)
            yield span, op

    def _op_slowly(self, span: Span) -> bytes:
        """Where not each field is a text or message of fewer than 16 KiB, or something is odd."""
        ops = [self.wire.data[begin:end] for begin, end in self.wire.spans(span, 2)]
        if len(ops) != 1 or not ops[0]:
            raise DamagedFileError("a node of the graph has no op, or several")
        return ops[0]

    def attributes(self, span: Span) -> Iterator[tuple[str, Span]]:
        """Names and values (``AttrValue``) of a node's attributes."""
        for entry in self.wire.spans(span, 5):
            key = self.wire.text(entry, 1)
            for value in self.wire.spans(entry, 2):
                yield key, value

    def called(self, span: Span) -> Iterator[str]:
        """The functions that the attributes of a node name; thousands have the same attributes."""
        for begin, end in self.wire.spans(span, 5):
            entry = self.wire.data[begin:end]
            if entry not in self.called_by:
                self.called_by[entry] = tuple(self._named_by((begin, end)))
            yield from self.called_by[entry]

    def _named_by(self, entry: Span) -> Iterator[str]:
        for value in self.wire.spans(entry, 2):
            lists = [function for one in self.wire.spans(value, 1) for function in self._funcs(one)]
            for function in (*self.wire.spans(value, 10), *lists):
                yield self.wire.text(function, 1)

    def _funcs(self, values: Span) -> Iterator[Span]:
        return self.wire.spans(values, 9)

    def node(self, span: Span) -> Node:
        """A node with its name and inputs."""
        data, texts = self.wire.data, {1: "", 2: ""}
        inputs, controls = [], []
        for number, begin, end in self.wire.fields(span):
            if number <= 3 and end >= 0:
                text = data[begin:end].decode("utf-8", "replace")
                if number == 3 and text.startswith("^"):
                    controls.append(text[1:])
                elif number == 3:
                    inputs.append(text)
                elif number < 3:
                    texts[number] = text
        return Node(texts[1], texts[2], inputs, span, controls)

    def named(self, scope: Scope, name: str) -> Node | None:
        """The node ``name`` of ``scope``, if its name is the first that is said of it.

        It is searched for: to decode all nodes for a few takes longer than everything else. No two
        nodes of a graph may have one name, so what is found is what TensorFlow finds.
        """
        text = name.encode()
        if scope.begins is None:
            scope.begins = dict(scope.spans)
        head = b"\x0a" + _length(len(text)) + text
        data, begins = self.wire.data, scope.begins
        at, stop = scope.reach
        while (found := data.find(head, at, stop)) >= 0:
            self.wire.spend(1 + (found - at >> 10))
            at = found
            if at in begins:
                node = self.node((at, begins[at]))
                if node.name == name:
                    return node
            at += 1
        self.wire.spend(stop - at >> 10)
        return None

    def _assigned(self, scope: Scope, variable: str) -> list[str]:
        """What the nodes of ``scope`` assign to a variable."""
        listed = (self.node(span) for span, op in self.ops(scope) if op == b"AssignVariableOp")
        return [
            node.inputs[1]
            for node in listed
            if len(node.inputs) > 1 and node.inputs[0].partition(":")[0] == variable
        ]

    def origins(self, scope: Scope, tensor: str) -> set[str]:
        """Where the text in ``tensor`` comes from.

        Returns:
            Of these words: ``saver`` (the path that a saver is given, and has to be given),
            ``asset`` (the path of an asset), ``constant:`` with the text, ``unfed`` (a text that
            stands for the path of an asset where nobody gives one), and ``other``.
        """
        found: set[str] = set()
        pending, seen = [(scope, tensor)], set()
        while pending:
            scope, tensor = pending.pop()
            name = tensor.partition(":")[0]
            if (id(scope), name) in seen:
                continue
            seen.add((id(scope), name))
            if len(seen) > _MOST_STEPS:
                return {"other"}
            if name in scope.assets:
                found |= self._fed(scope, name)
            elif name in scope.savers and self._has_to_be_given(scope, name):
                found.add("saver")
            elif name in (arguments := self._arguments_of(scope)):
                sites = self._given(scope, arguments.index(name))
                pending += sites
                found |= set() if sites else {"other"}
            else:
                node = self.named(scope, name)
                sources = self._sources(scope, node) if node else []
                pending += [(scope, one) for one in sources]
                if node is not None and node.op == "Const":
                    found.add(f"constant:{self._text_of(node)}")
                elif not sources:
                    found.add("other")
        return found

    def _has_to_be_given(self, scope: Scope, name: str) -> bool:
        """Whether a node has no text of its own, which counts wherever none is given."""
        node = self.named(scope, name)
        return node is not None and node.op == "Placeholder"

    def _fed(self, scope: Scope, name: str) -> set[str]:
        """Of the node ``name``, which a loader feeds the path of an asset: that, and what is used
        where it feeds none, as in a signature, which no asset is part of.

        Assets of TensorFlow 1 keep a path of whoever saved them.
        """
        node = self.named(scope, name)
        for _ in range(_MOST_DEFAULTS):
            if node is None or (node.op != "Const" and node.op not in _THROUGH):
                return {"asset"}  # a placeholder, as a rule, without which nothing runs
            if node.op == "Const":
                return {"asset", "unfed"}
            if len(node.inputs) != 1:
                break
            node = self.named(scope, node.inputs[0].partition(":")[0])
        return {"asset", "other"}

    def _arguments_of(self, scope: Scope) -> list[str]:
        """The names of a function's arguments: ``OpDef.input_arg`` (2), ``name`` (1)."""
        if scope.arguments is None:
            scope.arguments = [
                self.wire.text(one, 1) for one in self.wire.spans(scope.signature, 2)
            ]
        return scope.arguments

    def _given(self, scope: Scope, index: int) -> list[tuple[Scope, str]]:
        """What the callers of a function give it; nothing where one cannot be followed."""
        if scope.sites is None:  # few are asked for, and many have hundreds of inputs to decode
            spans = self.callers.get(scope.name, [])
            scope.sites = [(caller, self.node(span)) for caller, span in spans]
        if any(node.op not in CALLS or index >= len(node.inputs) for _, node in scope.sites):
            return []
        return [(caller, node.inputs[index]) for caller, node in scope.sites]

    def _sources(self, scope: Scope, node: Node) -> list[str]:
        if node.op == "ReadVariableOp" and node.inputs:
            return self._assigned(scope, node.inputs[0].partition(":")[0])
        return node.inputs[: _THROUGH.get(node.op, 0)]

    def _text_of(self, node: Node) -> str:
        """The first text of a constant: ``string_val`` (8) of ``AttrValue.tensor`` (8)."""
        for key, value in self.attributes(node.span):
            if key == "value":
                for tensor in self.wire.spans(value, 8):
                    return next(self.wire.texts(tensor, 8), "")
        return ""


def _length(size: int) -> bytes:
    """How a length is written."""
    return bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7 & 0x7F])


def read(data: bytes) -> Graphs:
    """The graphs of ``saved_model.pb``; raises DamagedFileError, LimitExceededError."""
    graphs = Graphs(Wire(data))
    for meta_graph in graphs.wire.spans((0, len(data)), 2):
        _meta_graph(graphs, meta_graph)
    return graphs


def _meta_graph(graphs: Graphs, span: Span) -> None:
    wire = graphs.wire
    main = Scope("")
    graphs.scopes.append(main)
    for number, begin, end in wire.fields(span):
        if end < 0:
            continue
        if number == 2:
            _graph(graphs, main, (begin, end))
        elif number == 3:  # SaverDef.filename_tensor_name
            main.savers.add(wire.text((begin, end), 1).partition(":")[0])
        elif number == 6:  # AssetFileDef
            graphs.asset_names.append(wire.text((begin, end), 2))
            for info in wire.spans((begin, end), 1):
                main.assets.add(wire.text(info, 1).partition(":")[0])
        elif number in (4, 5):
            (main.collections if number == 4 else main.signatures).append((begin, end))
        elif number == 7:
            graphs.objects.append((begin, end))
    main.savers.discard("")


def _graph(graphs: Graphs, main: Scope, span: Span) -> None:
    wire = graphs.wire
    for number, begin, end in wire.fields(span):
        if number == 1:
            main.spans.append((begin, end))
        elif number == 2:
            for function in wire.spans((begin, end), 1):
                _function(graphs, function)


def _function(graphs: Graphs, span: Span) -> None:
    wire = graphs.wire
    scope = Scope("")
    for number, begin, end in wire.fields(span):
        if number == 1:
            scope.name = wire.text((begin, end), 1)
            scope.signature = (begin, end)
        elif number == 3:
            scope.spans.append((begin, end))
    graphs.scopes.append(scope)
    graphs.functions.setdefault(scope.name, []).append(scope)
