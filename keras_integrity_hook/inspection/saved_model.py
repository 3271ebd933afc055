# SPDX-License-Identifier: Apache-2.0
"""SavedModels, judged by every op of their graphs: a graph is a program, and TensorFlow runs it.

Nothing of TensorFlow is needed. What an op may do is in :mod:`inspection.op_rules`; a path is
followed back to where it comes from, since the same ops save and restore every model. What a graph
computes, and how much memory that takes, is not judged: a sandbox is for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from keras_integrity_hook.errors import DamagedFileError, LimitExceededError
from keras_integrity_hook.inspection import graph, savers, tensor_types
from keras_integrity_hook.inspection.findings import Finding, Verdict
from keras_integrity_hook.inspection.graph import Graphs, Node, Scope
from keras_integrity_hook.inspection.op_rules import OPS, SAVERS, OpRule, rule_of
from keras_integrity_hook.inspection.protobuf import Span
from keras_integrity_hook.inspection.rules import found
from keras_integrity_hook.inspection.tensorflow_ops import CALLS
from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.texts import bytes_of, printable

_TERMINAL = ("stdout", "stderr", "log(info)", "log(warning)", "log(error)", "")
_HANDLES = {
    tensor_types.RESOURCE: "a handle to a resource",
    tensor_types.VARIANT: "a variant",
}
_REPEATED = 256 * MIB  # that one constant may be, where the file has one value to repeat
_RATIO = 100
_OBJECT = re.compile(rb"\{\s*\"")  # how an object of JSON begins, unless it is empty
_LEAVES = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z][\w+.-]*:|\0")


def inspect(content: Content, name: str) -> Iterator[Finding]:
    """Findings about ``saved_model.pb``.

    Args:
        name: of the file.
    """
    if content.size > LIMITS.inspected_graph:
        yield found("malformed-graph", name, "", f"a graph of {bytes_of(content.size)}")
        return
    try:
        graphs = graph.read(content.read(0, content.size))
        yield from _Judge(graphs, name).findings()
    except (DamagedFileError, LimitExceededError) as error:
        yield found("malformed-graph", name, "", error.cause)


def inspect_other_form(content: Content, name: str) -> Iterator[Finding]:
    """One finding: a SavedModel as text or in chunks, which TensorFlow reads and we do not."""
    yield found("graph-form", name, "", f"a graph in *{name[name.rindex('.') :]}")


class _Judge:
    def __init__(self, graphs: Graphs, name: str) -> None:
        self._graphs, self._name = graphs, name
        self._looked_at: dict[bytes, bool] = {}  # whether an op needs more than its name
        self._calls: dict[str, set[str]] = {}  # what the functions call
        self._savers: dict[int, bool] = {}  # whether those of a graph are reached
        self._repeated = 0

    def findings(self) -> Iterator[Finding]:
        for asset in self._graphs.asset_names:
            if _LEAVES.search(asset):
                yield found("asset-path", self._name, "assets", asset)
        special = list(self._special())
        for scope, span, op in special:
            self._note_calls(scope, span, op)
        for scope, span, op in special:
            if op not in graph.CALLS:  # nothing is said of these
                yield from self._node(scope, self._graphs.node(span))
        if self._repeated > 4096 * MIB:
            shown = f"{bytes_of(self._repeated)} of repeated values"
            yield found("shape-bomb", self._name, "all constants together", shown)
        yield from self._circles()
        yield from self._configurations()

    def _special(self) -> Iterator[tuple[Scope, Span, str]]:
        """The nodes whose op is not fine by its name alone: a few in a hundred."""
        graphs, looked_at = self._graphs, self._looked_at
        for scope in graphs.scopes:
            for span, op in graphs.ops(scope):
                wanted = looked_at.get(op)
                if wanted is None:
                    wanted = looked_at[op] = self._is_special(op)
                if wanted and (op != b"Const" or self._is_odd_constant(span)):
                    yield scope, span, op.decode("utf-8", "replace")

    def _is_special(self, op: bytes) -> bool:
        name = op.decode("utf-8", "replace")
        if name in self._graphs.functions or name in CALLS or name in SAVERS:
            return True
        return name in ("Const", "PrintV2", "TensorSliceDataset") or rule_of(name) is not None

    def _note_calls(self, scope: Scope, span: Span, op: str) -> None:
        for name in self._called(span, op):
            self._graphs.callers.setdefault(name, []).append((scope, span))
            if scope.name:
                self._calls.setdefault(scope.name, set()).add(name)

    def _called(self, span: Span, op: str) -> Iterator[str]:
        if op in self._graphs.functions:
            yield op
        if op in CALLS:
            yield from self._graphs.called(span)

    def _node(self, scope: Scope, node: Node) -> Iterator[Finding]:
        if node.op == "Const":
            yield from self._constant(scope, node)
        elif node.op == "PrintV2":
            yield from self._print(scope, node)
        elif node.op == "TensorSliceDataset":
            if self._flag(node, "is_files"):
                yield self._finding(OPS["ReadFile"], scope, node)
        elif node.op in SAVERS:
            yield from self._saver(scope, node)
        elif node.op not in self._graphs.functions or node.op in OPS:
            rule = rule_of(node.op)
            if rule is not None:
                yield from self._by_rule(rule, scope, node)
        if node.op == "XlaCallModule":
            yield from self._xla(scope, node)

    def _by_rule(self, rule: OpRule, scope: Scope, node: Node) -> Iterator[Finding]:
        origins = self._origins(scope, node, rule.paths)
        if rule.paths and origins == {"asset"}:
            return
        yield self._finding(rule, scope, node, origins)

    def _saver(self, scope: Scope, node: Node) -> Iterator[Finding]:
        origins = self._origins(scope, node, SAVERS[node.op])
        if origins != {"saver"} and not self._is_out_of_reach(scope, origins):
            rule = OpRule("file-op", None, "a checkpoint other than the model's own is used")
            yield self._finding(rule, scope, node, origins)

    def _is_out_of_reach(self, scope: Scope, origins: set[str]) -> bool:
        """Whether an op is of a saver as TensorFlow 1 leaves them in a graph, which nobody runs."""
        own = {"saver", f"constant:{savers.DEFAULT}"}
        if scope.name or not origins or not origins <= own:  # a circle has no origin
            return False
        found = self._savers.get(id(scope))
        if found is None:
            found = self._savers[id(scope)] = savers.are_reached(self._graphs, scope)
        return not found

    def _origins(self, scope: Scope, node: Node, inputs: tuple[int, ...]) -> set[str]:
        origins: set[str] = set()
        for index in inputs:
            if index < len(node.inputs):
                origins |= self._graphs.origins(scope, node.inputs[index])
            else:
                origins.add("other")
        return origins

    def _finding(
        self, rule: OpRule, scope: Scope, node: Node, origins: set[str] | None = None
    ) -> Finding:
        """A path that is written in the graph is the model's own choice: an attack."""
        paths = sorted(one.partition(":")[2] for one in origins or () if one.startswith("constant"))
        shown = f"{node.op} {paths[0]!r}" if paths else node.op
        verdict = Verdict.REFUSE if paths else rule.verdict
        finding = found(
            rule.rule, self._name, _place(scope, node), shown, why=rule.why or None, verdict=verdict
        )
        if finding.verdict is Verdict.REFUSE:
            return finding
        return finding._replace(object=printable(f"tf-op>{node.op}"))

    def _print(self, scope: Scope, node: Node) -> Iterator[Finding]:
        for key, value in self._graphs.attributes(node.span):
            stream = self._graphs.wire.text(value, 2)
            if key == "output_stream" and stream not in _TERMINAL:
                rule = OpRule("file-op", Verdict.REFUSE, "it writes a file")
                yield self._finding(rule, scope, node, {f"constant:{stream}"})

    def _flag(self, node: Node, name: str) -> bool:
        """A Boolean attribute: ``AttrValue.b`` (5)."""
        wire = self._graphs.wire
        return any(
            number == 5 and value
            for key, span in self._graphs.attributes(node.span)
            if key == name
            for number, value, end in wire.fields(span)
            if end < 0
        )

    def _xla(self, scope: Scope, node: Node) -> Iterator[Finding]:
        """What JAX exports, which is arithmetic unless it calls what is outside of it."""
        begin, end = node.span
        if b"custom_call" in self._graphs.wire.data[begin:end]:
            yield self._finding(OPS["XlaCustomCall"], scope, node)

    # Constants

    def _is_odd_constant(self, span: Span) -> bool:
        return any(self._oddities(span))

    def _oddities(self, span: Span) -> Iterator[str]:
        """What is odd about a constant, in words."""
        wire = self._graphs.wire
        for key, value in self._graphs.attributes(span):
            for tensor in wire.spans(value, 8) if key == "value" else ():
                kind, count = 0, 1
                for number, begin, end in wire.fields(tensor):
                    if number == 1 and end < 0:
                        kind = begin
                    elif number == 2 and end >= 0:
                        count = tensor_types.elements(wire, (begin, end))
                declared = count * tensor_types.item_size(kind)
                if kind in _HANDLES:
                    yield _HANDLES[kind]
                if declared > _RATIO * (tensor[1] - tensor[0]):
                    self._repeated += declared
                    if declared > _REPEATED:
                        yield f"{bytes_of(declared)} declared"

    def _constant(self, scope: Scope, node: Node) -> Iterator[Finding]:
        for what in self._oddities(node.span):
            is_size = what.endswith("declared")
            word = "shape-bomb" if is_size else "graph-form"
            yield found(word, self._name, _place(scope, node), f"Const: {what}")

    # Functions and objects

    def _circles(self) -> Iterator[Finding]:
        """Functions that call themselves, which exhausts the stack (CVE-2022-23591)."""
        done: set[str] = set()
        for start in self._calls:
            circle = _circle_from(start, self._calls, done)
            if circle:
                yield found("graph-form", self._name, circle, "a function that calls itself")
                return

    def _configurations(self) -> Iterator[Finding]:
        """Those of layers, which TensorFlow before 2.5 kept in the graph's file.

        ``SavedObjectGraph.nodes`` (1), ``SavedObject.user_object`` (4): tf_keras reads its
        ``metadata`` (3) where there is no ``keras_metadata.pb``.
        """
        from keras_integrity_hook.inspection import config, json_reading

        wire = self._graphs.wire
        for objects in self._graphs.objects:
            if not _OBJECT.search(wire.data, *objects):
                continue  # there are thousands of objects, and today none has a configuration
            for one in wire.spans(objects, 1):
                for user_object in wire.spans(one, 4):
                    text = wire.text(user_object, 3)
                    if text.lstrip().startswith("{"):
                        parsed = json_reading.parse(text.encode())
                        yield from config.of(parsed, f"{self._name}: {wire.text(user_object, 1)}")


def _place(scope: Scope, node: Node) -> str:
    return f"function '{scope.name}' > '{node.name}'" if scope.name else f"'{node.name}'"


def _circle_from(start: str, calls: dict[str, set[str]], done: set[str]) -> str:
    """A function on a circle of calls that ``start`` leads to; empty if there is none."""
    path: set[str] = set()
    pending = [(start, False)]
    while pending:
        name, leaving = pending.pop()
        if leaving:
            path.discard(name)
            done.add(name)
        elif name in path:
            return name
        elif name not in done:
            path.add(name)
            pending.append((name, True))
            pending += [(other, False) for other in sorted(calls.get(name, ()))]
    return ""
