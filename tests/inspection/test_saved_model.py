# SPDX-License-Identifier: Apache-2.0
"""SavedModels by their ops: what reads, writes and calls, wherever it stands, and what is fine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.inspection import saved_model
from keras_integrity_hook.inspection.findings import Finding, Verdict
from keras_integrity_hook.inspection.inspecting import inspect
from keras_integrity_hook.inspection.op_rules import OPS, rule_of
from keras_integrity_hook.inspection.tensorflow_ops import CALLS, STATEFUL, STATELESS
from tests.support import graphs
from tests.support.contents import CountedContent
from tests.support.graphs import constant, function, function_of, node, splat
from tests.support.models import single_mutations


def findings(data: bytes) -> list[Finding]:
    return list(saved_model.inspect(CountedContent(data), "saved_model.pb"))


def rules(*nodes: bytes, **more: object) -> set[tuple[str, str]]:
    data = graphs.saved_model(*nodes, **more)  # type: ignore[arg-type]
    return {(one.rule, str(one.verdict)) for one in findings(data)}


FINE: set[tuple[str, str]] = set()
READS, WRITES = {("file-op", "review")}, {("file-op", "refuse")}


@pytest.mark.parametrize("op", sorted(OPS))
def test_op_that_does_more_than_arithmetic_is_told(op: str) -> None:
    (found,) = findings(graphs.saved_model(node(op, "attack", "x", "x", "x")))
    assert found.rule == OPS[op].rule
    assert found.construct == op
    assert found.place == "'attack'"
    assert found.object == ("" if found.verdict is Verdict.REFUSE else f"tf-op>{op}")


def test_op_that_nobody_knows_or_has_judged_is_told() -> None:
    assert rules(node("Company>Special", "n")) == {("unknown-op", "review")}
    assert rules(node("_Send", "n")) == {("network-op", "review")}
    assert rules(node("TPUExecute", "n")) == {("stateful-op", "review")}


def test_path_that_the_graph_names_itself_is_refused() -> None:
    path = constant("path", "/etc/passwd")
    assert rules(node("ReadFile", "read", "x")) == READS
    assert rules(path, node("ReadFile", "read", "path")) == WRITES
    around = node("Identity", "same", "path:0")
    assert rules(path, around, node("MatchingFiles", "list", "same")) == WRITES
    joined = node("StringJoin", "joined", "path", "x")
    assert rules(path, joined, node("ReadFile", "read", "joined")) == WRITES


def test_path_is_followed_into_functions() -> None:
    path = constant("path", "/etc/passwd")
    reads = function("f", ["name"], node("ReadFile", "read", "name"))
    call = node("StatefulPartitionedCall", "call", "path", f=function_of("f"))
    assert rules(path, call, functions=[reads]) == WRITES
    outer = function("g", ["a", "b"], node("PartitionedCall", "c", "b", f=function_of("f")))
    through = node("PartitionedCall", "call", "x", "path", f=function_of("g"))
    assert rules(path, through, functions=[reads, outer]) == WRITES
    assert rules(call, functions=[reads]) == READS


def test_savers_of_the_models_own_variables_are_fine_and_others_are_not() -> None:
    save = function(
        "save",
        ["file_prefix"],
        constant("part", "_temp/part"),
        node("StringJoin", "joined", "file_prefix", "part:output:0"),
        node("ShardedFilename", "sharded", "joined:output:0", "s", "n"),
        node("SaveV2", "write", "sharded:filename:0"),
        node("Pack", "packed", "sharded:filename:0", "^write"),
        node("MergeV2Checkpoints", "merge", "packed:output:0", "file_prefix"),
    )
    placeholder = node("Placeholder", "saver_filename")
    call = node("StatefulPartitionedCall", "c", "saver_filename", f=function_of("save"))
    assert rules(placeholder, call, functions=[save], saver="saver_filename") == FINE
    assert rules(placeholder, call, functions=[save]) == READS
    path = constant("path", "/home/user/.bashrc")
    second = node("StatefulPartitionedCall", "d", "path", f=function_of("save"))
    assert (
        rules(placeholder, call, path, second, functions=[save], saver="saver_filename") == WRITES
    )
    branch = node("If", "e", "x", "saver_filename", then_branch=function_of("save"))
    assert rules(placeholder, call, branch, functions=[save], saver="saver_filename") == READS
    assert rules(path, node("RestoreV2", "r", "path")) == WRITES


def saver(name: str, default: str = "model") -> list[bytes]:
    """What a saver of TensorFlow 1 puts into a graph."""
    return [
        constant(f"{name}/filename/input", default),
        node("PlaceholderWithDefault", f"{name}/filename", f"{name}/filename/input"),
        node("PlaceholderWithDefault", f"{name}/Const", f"{name}/filename"),
        constant(f"{name}/part", "_temp/part"),
        node("StringJoin", f"{name}/joined", f"{name}/Const", f"{name}/part"),
        node("ShardedFilename", f"{name}/sharded", f"{name}/joined", "s", "n"),
        node("SaveV2", f"{name}/SaveV2", f"{name}/sharded"),
        node("Identity", f"{name}/dependency", f"{name}/sharded", f"^{name}/SaveV2"),
        node("RestoreV2", f"{name}/RestoreV2", f"{name}/Const"),
        node("AssignVariableOp", f"{name}/Assign", "v", f"{name}/RestoreV2"),
        node("NoOp", f"{name}/restore_all", f"^{name}/Assign"),
    ]


BOTH_SAVERS = pytest.mark.parametrize("named", ["save", "save_1"])
Y = node("Identity", "y", "x")


def test_savers_that_tensorflow_1_left_in_a_graph_are_fine() -> None:
    """A graph that was saved twice has two, and the second meta graph names one of them."""
    twice = (*saver("save"), *saver("save_1"), Y)
    savers = {"savers": "save/restore_all", "variables": "v"}
    for named in ("save", "save_1"):
        assert rules(*twice, saver=f"{named}/Const", fetched="y", collections=savers) == FINE
    second = graphs.saved_model(*twice, saver="save_1/Const", fetched="y")
    first = graphs.saved_model(*saver("save"), Y, saver="save/Const", fetched="y")
    assert not findings(first + second)


@BOTH_SAVERS
@pytest.mark.parametrize("hostile", ["save", "save_1"])
def test_path_that_a_saver_is_given_in_the_graph_is_refused(named: str, hostile: str) -> None:
    nodes = [
        one
        for name in ("save", "save_1")
        for one in saver(name, "/home/user/.bashrc" if name == hostile else "model")
    ]
    assert rules(*nodes, Y, saver=f"{named}/Const", fetched="y") == WRITES
    harmless = graphs.saved_model(*saver("save"), Y, saver="save/Const", fetched="y")
    bad = graphs.saved_model(*nodes, Y, saver=f"{named}/Const", fetched="y")
    for both in (harmless + bad, bad + harmless):
        assert {(one.rule, str(one.verdict)) for one in findings(both)} == WRITES


@BOTH_SAVERS
@pytest.mark.parametrize("op", ["SaveV2", "dependency", "RestoreV2", "Assign", "restore_all"])
def test_saver_that_whoever_asks_the_model_runs_is_refused(named: str, op: str) -> None:
    for reached in ("save", "save_1"):
        control = node("Identity", "z", "y", f"^{reached}/{op}")
        data = node("Identity", "z", f"{reached}/{op}:0")
        for node_ in (control, data):
            nodes = (*saver("save"), *saver("save_1"), Y, node_)
            assert rules(*nodes, saver=f"{named}/Const", fetched="z") == WRITES
            at_load = {"saved_model_main_op": "z"}
            assert rules(*nodes, saver=f"{named}/Const", collections=at_load) == WRITES
    direct = f"{named}/{op}"
    assert rules(*saver("save"), *saver("save_1"), saver="save/Const", fetched=direct) == WRITES


def test_saver_in_a_function_has_to_be_given_its_path() -> None:
    write = function("f", [], *saver("save"))
    call = node("PartitionedCall", "c", f=function_of("f"))
    assert rules(*saver("save"), call, functions=[write], saver="save/Const") == WRITES


def test_graph_that_tensorflow_1_saved_twice_is_fine(tmp_path: Path) -> None:
    tf1 = pytest.importorskip("tensorflow").compat.v1
    builder = tf1.saved_model.Builder(str(tmp_path / "model"))
    with tf1.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf1.float32, [None, 2], name="x")
        y = tf1.matmul(x, tf1.get_variable("v", [2, 2]))
        session.run(tf1.global_variables_initializer())
        signature = {
            "serving_default": tf1.saved_model.predict_signature_def({"x": x}, {"y": y}),
        }
        builder.add_meta_graph_and_variables(session, ["train"], signature_def_map=signature)
        builder.add_meta_graph(["serve"], signature_def_map=signature)
    builder.save()
    assert not findings((tmp_path / "model" / "saved_model.pb").read_bytes())


def test_table_of_an_asset_is_fine_and_of_another_file_is_not() -> None:
    table = function(
        "init", ["path", "table"], node("InitializeTableFromTextFileV2", "i", "table", "path")
    )
    nodes = (
        node("Placeholder", "asset_path"),
        node("VarHandleOp", "Variable"),
        node("AssignVariableOp", "assign", "Variable", "asset_path"),
        node("ReadVariableOp", "read", "Variable"),
        node("StatefulPartitionedCall", "call", "read", "t", f=function_of("init")),
    )
    assert rules(*nodes, functions=[table], assets={"asset_path": "words.txt"}) == FINE
    assert rules(*nodes, functions=[table]) == READS
    second = (constant("path", "/etc/shadow"), node("AssignVariableOp", "b", "Variable", "path"))
    assert rules(*nodes, *second, functions=[table], assets={"asset_path": "words.txt"}) == WRITES


def test_path_that_stands_in_for_a_savers_is_refused() -> None:
    """A signature feeds no saver: what is saved in it goes where the graph says."""
    save = node("Save", "write", "filename", "names", "x")
    default = node("PlaceholderWithDefault", "filename", "inner:0")
    assert rules(node("Placeholder", "filename"), save, saver="filename") == FINE
    assert rules(constant("filename", "/home/user/.bashrc"), save, saver="filename:0") == WRITES
    evil = constant("inner", "/home/user/.bashrc")
    assert rules(evil, default, save, saver="filename:0") == WRITES
    assert rules(constant("inner", "model"), default, save, saver="filename:0") == FINE
    circle = node("Identity", "inner", "filename")
    assert rules(circle, default, save, saver="filename:0") == READS


def test_path_that_stands_in_for_an_assets_is_told() -> None:
    """The same: what TensorFlow 1 writes, and what reads any file in a signature."""
    read = node("ReadFile", "read", "path")
    assert rules(node("Placeholder", "path"), read, assets={"path": "words.txt"}) == FINE
    assert rules(constant("path", "/etc/shadow"), read, assets={"path": "words.txt"}) == READS


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b", "gs://b/x"])
def test_asset_that_lies_elsewhere_is_refused(name: str) -> None:
    assert rules(assets={"x": name}) == {("asset-path", "refuse")}


def test_printing_to_a_file_is_refused_and_to_the_terminal_is_fine() -> None:
    for stream in ("stderr", "log(info)"):
        assert rules(node("PrintV2", "p", "x", output_stream=graphs.text_of(stream))) == FINE
    to_file = node("PrintV2", "p", "x", output_stream=graphs.text_of("file:///tmp/x"))
    assert rules(to_file) == WRITES


def test_constant_that_repeats_a_value_without_end_is_a_bomb() -> None:
    assert rules(splat("c", 1 << 20, 1 << 20)) == {("shape-bomb", "refuse")}
    assert rules(splat("c", 4096, 4096)) == FINE
    assert ("shape-bomb", "refuse") in rules(*(splat(f"c{n}", 4096, 8192) for n in range(60)))


def test_functions_that_call_themselves_are_refused() -> None:
    f = function("f", ["a"], node("PartitionedCall", "c", "a", f=function_of("g")))
    g = function("g", ["a"], node("If", "c", "a", then_branch=function_of("f")))
    assert rules(functions=[f, g]) == {("graph-form", "refuse")}
    twice = node("PartitionedCall", "c", "x", f=function_of("h"))
    h = function("h", ["a"], node("Identity", "i", "a"))
    assert (
        rules(twice, node("PartitionedCall", "d", "x", f=function_of("h")), functions=[h]) == FINE
    )


def test_name_that_is_said_twice_leads_no_path_astray() -> None:
    """The last one counts, for TensorFlow; a search for the first must not find another node."""
    decoy = node("Placeholder", "path") + graphs.message({1: "other"})
    hidden = node("Const", "z", value=graphs.message({8: graphs.message({8: "/etc/x"})}))
    real = hidden + graphs.message({1: "path"})
    found = rules(decoy, real, node("SaveV2", "s", "path"), saver="path2")
    assert found in (READS, WRITES)


def test_operation_that_is_said_twice_is_refused() -> None:
    two = node("Identity", "n", "x") + graphs.message({2: "WriteFile"})
    assert rules(two) == {("malformed-graph", "refuse")}


def test_graph_in_another_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(graphs.saved_model())
    (tmp_path / "saved_model.pbtxt").write_text("meta_graphs {}")
    with open_model(tmp_path) as model:
        assert [one.rule for one in inspect(model).findings] == ["graph-form"]


def test_every_mutation_is_judged_or_refused_and_none_raises() -> None:
    reads = function("f", ["name"], node("ReadFile", "read", "name"), splat("c", 3, 4))
    call = node("PartitionedCall", "call", "x", f=function_of("f"))
    data = graphs.saved_model(call, functions=[reads], saver="s", assets={"x": "words"})
    for at in range(len(data)):
        for _, mutant in single_mutations(data, at, at % 8):
            findings(mutant)


def test_every_op_that_is_named_exists_and_none_is_fine() -> None:
    assert not [op for op in OPS if rule_of(op) is None]
    known = STATELESS | STATEFUL
    unknown = {op for op in OPS if op not in known and not op.startswith("_")}
    assert unknown == {"GrpcServer", "TfLiteSubgraphExecute"}
    assert known >= CALLS
    for op in ("WriteFile", "ReadFile", "PyFunc", "SqlDataset", "RpcCall", "Abort"):
        assert rule_of(op) is not None


EXPORTS = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.chdir(sys.argv[1])
import keras, numpy, tensorflow as tf, tf_keras
inputs = keras.Input((8, 8, 3))
x = keras.layers.Conv2D(4, 3)(inputs)
x = keras.layers.BatchNormalization()(x)
x = keras.layers.RandomFlip()(keras.layers.Dropout(0.5)(x))
x = keras.layers.GlobalAveragePooling2D()(x)
functional = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
functional.compile("adam", "mse")
functional.fit(numpy.ones((2, 8, 8, 3)), numpy.ones((2, 2)), verbose=0)
functional.export("functional", verbose=False)
recurrent = keras.Sequential([
    keras.Input((5,), dtype="int32"), keras.layers.Embedding(10, 4), keras.layers.GRU(3),
])
recurrent.export("recurrent", verbose=False)
words = keras.Sequential([
    keras.Input((1,), dtype="string"),
    keras.layers.TextVectorization(vocabulary=["eval", "os.system", "ReadFile"]),
])
words.export("words", verbose=False)
legacy = tf_keras.Sequential([tf_keras.layers.LSTM(3, input_shape=(5, 2))])
legacy.compile("adam", "mse")
legacy.save("legacy", save_format="tf")
open("words.txt", "w").write("eval\\nexec\\n")

class Lookup(tf.Module):
    def __init__(self):
        file = tf.lookup.TextFileInitializer(
            "words.txt", tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER)
        self.table = tf.lookup.StaticVocabularyTable(file, 1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, words):
        return self.table.lookup(words)

tf.saved_model.save(Lookup(), "assets")
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models as Keras, tf_keras and TensorFlow export them, made in one process."""
    pytest.importorskip("tensorflow")
    pytest.importorskip("tf_keras")
    folder = tmp_path_factory.mktemp("exported")
    done = subprocess.run(
        [sys.executable, "-c", EXPORTS, str(folder)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", ["functional", "recurrent", "words", "legacy", "assets"])
def test_what_is_exported_is_fine(exported: Path, name: str) -> None:
    with open_model(exported / name) as model:
        found = inspect(model)
    assert [json.dumps(one.to_dict()) for one in found.findings] == []
