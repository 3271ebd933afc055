# SPDX-License-Identifier: Apache-2.0
"""SavedModels whose graphs do more than arithmetic; the field numbers are those of TensorFlow's
``saved_model.proto``, ``meta_graph.proto``, ``graph.proto`` and ``function.proto``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.inspection.corpus import constructs, formats, legacy
from tests.inspection.corpus.case import Case
from tests.inspection.corpus.constructs import ELSEWHERE, REVIEW
from tests.inspection.corpus.protobuf import Value, message, varint

STRING, RESOURCE, FLOAT, INT64 = 7, 20, 1, 9
"""Numbers of types of tensors (types.proto)."""


def node(op: str, name: str = "node", *inputs: str, **attributes: bytes) -> bytes:
    """A ``NodeDef``; attributes are ``AttrValue`` messages."""
    attrs = [message({1: key, 2: value}) for key, value in attributes.items()]
    return message({1: name, 2: op, 3: list(inputs), 5: attrs})


def text_attr(value: str) -> bytes:
    return message({2: value})


def function_attr(name: str) -> bytes:
    return message({10: message({1: name})})


def type_attr(value: int) -> bytes:
    return message({6: value})


def constant(name: str, text: str) -> bytes:
    """A constant tensor of one string."""
    tensor = message({1: STRING, 2: b"", 8: text})
    return node("Const", name, dtype=type_attr(STRING), value=message({8: tensor}))


HARMLESS = (
    node("Placeholder", "x", dtype=type_attr(FLOAT)),
    node("Identity", "y", "x", T=type_attr(FLOAT)),
    node("NoOp", "init"),
)


def graph(nodes: tuple[bytes, ...] = (), functions: tuple[bytes, ...] = ()) -> bytes:
    """A ``GraphDef`` with harmless nodes besides ``nodes``."""
    return message({1: [*HARMLESS, *nodes], 2: message({1: functions}), 4: message({1: 1395})})


def function(name: str, *nodes: bytes, **attributes: bytes) -> bytes:
    """A ``FunctionDef`` of the library of a graph."""
    attrs = [message({1: key, 2: value}) for key, value in attributes.items()]
    return message({1: message({1: name}), 3: nodes, 5: attrs})


def meta_graph(graph_def: bytes, tag: str = "serve", **more: Value) -> bytes:
    """A ``MetaGraphDef``; ``assets`` and ``objects`` are messages of theirs."""
    info = message({4: tag, 5: "2.21.0"})
    out = message({1: info, 2: graph_def})
    if "assets" in more:
        out += message({6: more["assets"]})
    return out + message({7: more.get("objects", objects())})


def objects(*extra: bytes) -> bytes:
    """A ``SavedObjectGraph`` of a root, and ``extra`` objects."""
    version = message({1: 1, 2: 1})
    root = message({4: message({1: "_generic_user_object", 2: version})})
    return message({1: [root, *extra]})


def saved_model(*meta_graphs: bytes) -> bytes:
    """A ``SavedModel``."""
    return message({1: 1, 2: meta_graphs})


def asset(filename: str) -> bytes:
    """An ``AssetFileDef``."""
    return message({1: message({1: "x:0"}), 2: filename})


_FILES = [
    "ReadFile", "WriteFile", "MatchingFiles", "SaveV2", "SaveSlices", "Save", "RestoreV2",
    "Restore", "RestoreSlice", "MergeV2Checkpoints", "ImmutableConst", "TextLineReaderV2",
    "TextLineDataset", "TFRecordReaderV2", "TFRecordDataset", "TFRecordDatasetV2",
    "FixedLengthRecordDatasetV2", "FixedLengthRecordReaderV2", "WholeFileReaderV2", "LMDBReader",
    "LMDBDataset", "SqlDataset", "SaveDatasetV2", "LoadDataset", "SnapshotDatasetV2",
    "DatasetToTFRecord", "CacheDatasetV2", "InitializeTableFromTextFileV2", "IdentityReaderV2",
    "CSVDatasetV2", "LoadAndRemapMatrix", "WriteSummary", "CreateSummaryFileWriter",
    "CreateSummaryDbWriter", "FileSystemSetConfiguration", "DistributedSave",
]  # fmt: skip
_PYTHON = ["PyFunc", "PyFuncStateless", "EagerPyFunc", "GeneratorDataset"]
_NETWORK = [
    "DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "RpcClient", "RpcCall", "RpcServer",
    "GrpcServer", "RegisterDataset", "RegisterDatasetV2", "DataServiceDataset",
    "DataServiceDatasetV4", "RemoteCall", "_Send", "_Recv", "_HostSend", "ConfigureDistributedTPU",
]  # fmt: skip
_UNKNOWN = [
    "EvilOp", "MyCompany>Special", "Addons>BitLinear", "loadlibrary", "\uff29dentity", "Const2",
]  # fmt: skip
# What Keras never writes and a fixed table of names would hardly list.
_OTHERS = ["Abort", "XlaLaunch", "TensorRTEngineOp", "TRTEngineOp", "EncodeProto", "DecodeProtoV2"]


def _op_cases() -> Iterator[Case]:
    for op in [*_FILES, *_PYTHON, *_NETWORK, *_UNKNOWN, *_OTHERS]:
        yield _graph_case(f"op {op}", graph((node(op, "attack", "x"),)))
    to_file = node("PrintV2", "attack", "x", output_stream=text_attr(f"file://{ELSEWHERE}"))
    yield _graph_case("PrintV2 to a file", graph((to_file,)))
    debug = message({1: message({2: f"file://{ELSEWHERE}"})})
    yield _graph_case(
        "DebugIdentity to a URL", graph((node("DebugIdentity", "attack", "x", debug_urls=debug),))
    )


def _graph_case(name: str, graph_def: bytes, advisory: str = "") -> Case:
    return _case(name, {"saved_model.pb": saved_model(meta_graph(graph_def))}, advisory)


def _case(name: str, contents: dict[str, bytes], advisory: str = "") -> Case:
    usual = {"variables/variables.index": b"", "variables/variables.data-00000-of-00001": b""}
    write = formats.files({**contents, **usual})
    return Case(f"{name}/saved model", "saved-model", write, REVIEW, advisory)


_WRITE = node("WriteFile", "attack", "x", "y")


def _position_cases() -> Iterator[Case]:
    evil = function("evil", _WRITE)
    call = node("StatefulPartitionedCall", "call", "x", f=function_attr("evil"))
    yield _graph_case("in a function", graph((call,), (evil,)))
    yield _graph_case("in a function that nobody calls", graph((), (evil,)))
    branches = node("If", "if", "x", then_branch=function_attr("evil"))
    yield _graph_case("in a branch", graph((branches,), (evil,)))
    inner = function("outer", node("While", "loop", "x", body=function_attr("evil")))
    yield _graph_case("in a loop of a function", graph((), (inner, evil)))
    gradient = message({1: function("f", HARMLESS[1]), 2: message({1: "f", 2: "evil"})})
    with_gradient = message({1: HARMLESS, 2: gradient + message({1: evil})})
    yield _graph_case("in a gradient", with_gradient)
    second = saved_model(meta_graph(graph()), meta_graph(graph((_WRITE,)), "train"))
    yield _case("in the second graph", {"saved_model.pb": second})
    # Of a message that is there twice, protocol buffers merge both.
    both = message({2: graph()}) + message({2: graph((_WRITE,))})
    twice = saved_model(meta_graph(graph()) + both)
    yield _case("in a second definition of the graph", {"saved_model.pb": twice})
    appended = saved_model(meta_graph(graph())) + saved_model(meta_graph(graph((_WRITE,))))
    yield _case("appended to the file", {"saved_model.pb": appended})
    unknown = varint(1000 << 3 | 2) + varint(3) + b"abc"
    after = saved_model(meta_graph(graph()) + unknown + message({2: graph((_WRITE,))}))
    yield _case("after a field of no meaning", {"saved_model.pb": after})
    group = varint(999 << 3 | 3) + varint(999 << 3 | 4)
    yield _case(
        "after a group",
        {"saved_model.pb": group + saved_model(meta_graph(graph((_WRITE,))))},
    )
    wide = b"\x0a\x80\x80\x80\x80\x00"  # a length of zero in five bytes
    yield _graph_case("after a long number", wide + graph((_WRITE,)))
    text = 'meta_graphs { graph_def { node { name: "attack" op: "WriteFile" } } }'
    yield _case("as text", {"saved_model.pbtxt": text.encode()})
    yield _case(
        "as text beside",
        {"saved_model.pb": saved_model(meta_graph(graph())), "saved_model.pbtxt": text.encode()},
    )
    yield _case("in chunks", {"saved_model.cpb": saved_model(meta_graph(graph((_WRITE,))))})
    yield _case(
        "in chunks beside",
        {
            "saved_model.pb": saved_model(meta_graph(graph())),
            "saved_model.cpb": saved_model(meta_graph(graph((_WRITE,)))),
        },
    )


def _asset_cases() -> Iterator[Case]:
    for name in ("../../../etc/passwd", "/etc/passwd", "a/../../../b", "file:///etc/passwd"):
        model = saved_model(meta_graph(graph(), assets=asset(name)))
        yield _case(f"asset {name}", {"saved_model.pb": model})
    table = node("InitializeTableFromTextFileV2", "table", "t", "path")
    nodes = (constant("path", "/etc/passwd"), table)
    yield _graph_case("table of a file elsewhere", graph(nodes))
    model = saved_model(meta_graph(graph(), assets=asset("words.txt")))
    yield _case(
        "pickle among the assets",
        {"saved_model.pb": model, "assets/words.txt": constructs.pickled()},
    )


def _size_cases() -> Iterator[Case]:
    dims = [message({1: 1 << 40}), message({1: 1 << 40})]
    bomb = message({8: message({1: FLOAT, 2: message({2: dims}), 4: b""})})
    yield _graph_case(
        "constant of a huge shape",
        graph((node("Const", "bomb", dtype=type_attr(FLOAT), value=bomb),)),
        "CVE-2022-23582",
    )
    splat = message({8: message({1: FLOAT, 2: message({2: dims}), 5: 1})})
    yield _graph_case(
        "constant of one value, repeated",
        graph((node("Const", "bomb", dtype=type_attr(FLOAT), value=splat),)),
        "CVE-2022-23580",
    )
    itself = function("f", node("PartitionedCall", "again", "x", f=function_attr("f")))
    call = node("PartitionedCall", "call", "x", f=function_attr("f"))
    yield _graph_case("function that calls itself", graph((call,), (itself,)), "CVE-2022-23591")
    handle = message({8: message({1: RESOURCE, 2: b"", 14: message({1: "d", 2: "c"})})})
    yield _graph_case(
        "constant that is a handle",
        graph((node("Const", "handle", dtype=type_attr(RESOURCE), value=handle),)),
        "CVE-2022-23564",
    )
    yield _case("cut off", {"saved_model.pb": saved_model(meta_graph(graph((_WRITE,))))[:-9]})
    length = b"\x12" + varint(1 << 40)
    yield _case("length beyond the file", {"saved_model.pb": length + b"x"})
    deep = b""
    for _ in range(10_000):
        deep = message({1: deep})
    yield _case(
        "ten thousand levels",
        {"saved_model.pb": saved_model(meta_graph(message({1: message({5: deep})})))},
    )


def cases() -> Iterator[Case]:
    """Every malicious SavedModel."""
    yield from _op_cases()
    yield from _position_cases()
    yield from _asset_cases()
    yield from _size_cases()
    harmless = saved_model(meta_graph(graph()))
    # Up to TensorFlow 2.4 the metadata of layers stood in the graph of objects; still read there.
    node_of_lambda = json.dumps({"name": "m", **legacy.sequential_with_code()})
    version = message({1: 1, 2: 1})
    user = message({4: message({1: "_tf_keras_sequential", 2: version, 3: node_of_lambda})})
    old = saved_model(meta_graph(graph(), objects=message({1: user})))
    yield _case("metadata in the objects", {"saved_model.pb": old}, "CVE-2024-3660")
    for name, data in legacy.saved_model_metadata():
        yield _case(
            f"metadata {name}",
            {"saved_model.pb": harmless, "keras_metadata.pb": data},
            "CVE-2024-3660" if "lambda" in name else "",
        )
