# SPDX-License-Identifier: Apache-2.0
"""The walk through configurations: what is found in them, where, and what is not."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from keras_integrity_hook.inspection import config, json_reading
from keras_integrity_hook.inspection.findings import Finding, Verdict, worst
from keras_integrity_hook.inspection.pieces import Memory
from keras_integrity_hook.limits import LIMITS

Config = dict[str, Any]
PLENTY = 1 << 40  # bytes of weights


def inspected(value: Any, stored: int = PLENTY) -> list[Finding]:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return list(config.inspect(Memory(text), "config.json", stored=stored))


def rules(value: Any, stored: int = PLENTY) -> set[str]:
    return {one.rule for one in inspected(value, stored)}


def layer(kind: str, /, **inner: Any) -> Config:
    return {"module": "keras.layers", "class_name": kind, "config": {"name": "it", **inner}}


def sequential(*layers: Config) -> Config:
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "model", "layers": list(layers)},
        "compile_config": {"optimizer": "adam", "loss": "mse"},
    }


def function(module: str, name: str) -> Config:
    parts = {"module": module, "class_name": "function", "config": name}
    return {**parts, "registered_name": name}


EVAL = function("builtins", "eval")


def test_plain_model_is_fine() -> None:
    assert inspected(sequential(layer("Dense", units=3, activation="relu"))) == []


def nested(value: Any, levels: int) -> Config:
    for _ in range(levels):
        value = layer("TimeDistributed", layer=value)
    return sequential(value)


@pytest.mark.parametrize(
    "model",
    [
        sequential(layer("Dense", activation=EVAL)),
        sequential(layer("Dense", kernel_initializer=layer("Constant", value=EVAL))),
        nested(layer("Dense", activation=EVAL), 30),
        {**sequential(), "compile_config": {"metrics": [[{"a": EVAL}]]}},
        {**sequential(), "build_config": {"x": {"y": EVAL}}},
        sequential({**layer("Dense"), "dtype": EVAL}),
        sequential({**layer("Dense"), "inbound_nodes": [{"args": [EVAL], "kwargs": {}}]}),
        [EVAL],
        {"anything": {"at": ["all", EVAL]}},
    ],
    ids=lambda model: json.dumps(model)[:30],
)
def test_reference_is_found_wherever_it_stands(model: Any) -> None:
    assert "foreign-object" in rules(model)


@pytest.mark.parametrize("name", ["model_config/_strings.json", "_strings.json"])
def test_configuration_that_orbax_keeps_as_a_text_is_found(name: str) -> None:
    def rules_of(text: str) -> set[str]:
        content = Memory(json.dumps({"config": text, "greeting": "{% hello %}"}).encode())
        return {one.rule for one in config.inspect(content, name)}

    assert rules_of(json.dumps(sequential(layer("Dense", activation=EVAL)))) == {"foreign-object"}
    assert rules_of(json.dumps(sequential(layer("Dense")))) == set()
    assert rules_of("[" * 100_000) == {"nested-too-deep"}


def test_texts_of_other_files_are_texts() -> None:
    assert inspected({"chat_template": "{% if os.system %}", "text": json.dumps(EVAL)}) == []


def test_place_is_told_by_the_names_of_layers() -> None:
    inner = layer("Dense", activation=EVAL)
    (found,) = inspected(sequential({**layer("TimeDistributed"), "config": {"layer": inner}}))
    assert found.place == "Sequential 'model' > Dense 'it' > activation"
    assert found.construct == "builtins>eval"
    assert found.file == "config.json"


def test_texts_of_a_stranger_are_escaped_and_cut() -> None:
    evil = layer("Dense", activation=function("os", "\x1b[2J" + "x" * 10_000))
    (found,) = inspected(sequential({**evil, "config": {**evil["config"], "name": "a\nb"}}))
    for text in found[2:]:
        assert str(text).isprintable()
        assert len(str(text)) < 400


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ({"class_name": "__lambda__", "config": {"value": ["4wEA", None, None]}}, "lambda-code"),
        ({"class_name": "Lambda", "config": {"function": ["4wEA", None, None]}}, "lambda-code"),
        (
            {"class_name": "Lambda", "config": {"function": "4wEA", "function_type": "lambda"}},
            "lambda-code",
        ),
        (
            {
                "class_name": "Lambda",
                "config": {"output_shape": "4wEA", "output_shape_type": "lambda"},
            },
            "lambda-code",
        ),
        (
            {
                "class_name": "Lambda",
                "config": {"function": "system", "function_type": "function", "module": "os"},
            },
            "foreign-object",
        ),
        (layer("TorchModuleWrapper", module="gAJ="), "torch-module"),
        (layer("JaxLayer", call_fn="f"), "jax-function"),
        (layer("FlaxLayer", module="m"), "jax-function"),
        (layer("TFSMLayer", filepath="export"), "saved-model-path"),
        (layer("TFSMLayer", filepath="http://10.0.0.1/model"), "reads-secret"),
        (layer("TFSMLayer", filepath="models/../../../other"), "reads-secret"),
        (layer("StringLookup", vocabulary="words.txt"), "reads-file"),
        (layer("TextVectorization", vocabulary="/etc/passwd"), "reads-secret"),
        (layer("IntegerLookup", vocabulary="/home/me/.ssh/id_rsa"), "reads-secret"),
        (layer("StringLookup", vocabulary="\\\\host\\share"), "reads-secret"),
        (
            {
                "module": "keras_hub.src.x",
                "class_name": "BertTokenizer",
                "config": {"vocabulary": "v"},
            },
            "reads-file",
        ),
        (
            {"class_name": "__typespec__", "module": "os", "spec_name": "system", "config": []},
            "type-spec",
        ),
        ({"class_name": "__numpy__", "config": {"value": [0], "dtype": "object"}}, "odd-dtype"),
        ({"class_name": "__numpy__", "config": {"value": [0], "dtype": "S9999999"}}, "odd-dtype"),
        ({"class_name": "__tensor__", "config": {"value": [0], "dtype": ["f4"]}}, "odd-dtype"),
        (layer("Dense", name="../../outside"), "path-name"),
        (layer("Dense", name="/etc/passwd"), "path-name"),
        (layer("Dense", name={"class_name": "__bytes__"}), "malformed-config"),
        ({"class_name": ["Dense"], "config": {}}, "malformed-config"),
        ({"class_name": "Dense", "module": {"a": 1}, "config": {}}, "malformed-config"),
        ({"class_name": "function", "module": "keras.ops", "config": {}}, "malformed-config"),
        (
            {
                "class_name": "VocabularyFileCategoricalColumn",
                "config": {"vocabulary_file": "v.txt"},
            },
            "reads-file",
        ),
        ({"class_name": "__builtins__", "config": {}}, "non-modelling"),
        (function("keras.layers", "TFSMLayer"), "non-modelling"),
        (layer("Dense", activation="my_pkg>activate"), "custom-object"),
        (layer("TFOpLambda", function="io.write_file"), "tensorflow-op"),
        (layer("TFOpLambda", function="py_function"), "tensorflow-op"),
        (layer("TFOpLambda", function="keras.utils.get_file"), "tensorflow-op"),
        (layer("TFOpLambda", function="raw_ops.WriteFile"), "tensorflow-op"),
        (layer("TFOpLambda", function="load_op_library"), "tensorflow-op"),
        (
            layer("ClassMethod", cls_symbol="data.Dataset", method_name="x"),
            "tensorflow-op",
        ),
        (layer("TensorFlowOpLayer", node_def='{"op": "WriteFile"}'), "tensorflow-op"),
        (layer("TensorFlowOpLayer", node_def={"op": "PyFunc"}), "tensorflow-op"),
        (layer("TensorFlowOpLayer", node_def={"op": "SaveV2"}), "tensorflow-op"),
        (layer("TensorFlowOpLayer", node_def=7), "tensorflow-op"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:60],
)
def test_gadget_is_found(value: Config, rule: str) -> None:
    assert rule in rules(sequential(value))


@pytest.mark.parametrize(
    "value",
    [
        layer("StringLookup", vocabulary=["a", "/etc/passwd", "http://x"]),
        layer("TFOpLambda", function="math.add"),
        layer("TFOpLambda", function="__operators__.getitem"),
        layer("TFOpLambda", function="concat"),
        layer("SlicingOpLambda", function="__operators__.getitem"),
        layer("TensorFlowOpLayer", node_def='{"name": "a", "op": "AddV2"}'),
        layer("InstanceMethod", method_name="to_tensor"),
        layer("Dense", name="os.system('rm -rf /')", activation="relu"),
        layer("Dense", name="block1/conv1"),
        layer("Masking", mask_value=float("nan")),
        layer("ReLU", max_value=float("inf")),
        layer("Hashing", num_bins=10, salt=[2**63, 1]),
        {"class_name": "__numpy__", "config": {"value": [[1.0]], "dtype": "float32"}},
        {"class_name": "__tensor__", "config": {"value": [1], "dtype": "bfloat16"}},
        {
            "class_name": "__typespec__",
            "module": "tensorflow.python.framework.tensor_spec",
            "spec_name": "TensorSpec",
            "config": [[None], "float32", None],
        },
        {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "dtype": "float32"}},
        {"a": 1, "shared_object_id": 140_000_000_000_000},
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_what_people_save_is_fine(value: Config) -> None:
    assert inspected(sequential(value)) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (b'{"a": 1, "a": 2}', "duplicate-key"),
        (b'{"b": [{"a": 1, "c": 0, "a": 2}]}', "duplicate-key"),
        (b'{"a": ' + b"9" * 5000 + b"}", "exhausting-number"),
        (b'{"a": [-' + b"9" * 1000 + b"]}", "exhausting-number"),
        (b"[" * 100_000 + b"]" * 100_000, "nested-too-deep"),
        (b"[" * 400 + b"]" * 400, "nested-too-deep"),
        (b'{"a":' * 400 + b"1" + b"}" * 400, "nested-too-deep"),
        (b'{"a": ', "malformed-config"),
        (b"\x80\x04\x95", "malformed-config"),
        (b"", "malformed-config"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[:20].decode("latin-1"),
)
def test_text_that_readers_differ_about_or_break_on(text: bytes, rule: str) -> None:
    found = inspected(text)
    assert {one.rule for one in found} == {rule}
    assert worst(found) is Verdict.REFUSE


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-le"])
@pytest.mark.parametrize(
    "text", ['{"a": ":", "a": 1}', '{"a": {"b": 1, "b": 2}, "c": {}}', '{"a": {"b": 1}, "a": 2}']
)
def test_key_that_stands_twice_is_found_whatever_else_the_text_has(
    text: str, encoding: str
) -> None:
    assert rules(text.encode(encoding)) == {"duplicate-key"}


def test_colons_in_texts_are_no_keys() -> None:
    assert inspected({"a": "::", "b:": [{"c": ":"}]}) == []


@pytest.mark.parametrize("kind", ["__tuple__", "TensorShape"])
@pytest.mark.parametrize("items", [[1, 10**12], [[1, 1], [1, 10**12]], [1] * 100])
def test_size_in_a_tuple_of_tf_keras_is_as_bad_as_in_a_list(kind: str, items: list[Any]) -> None:
    shape = {"class_name": kind, "items": items}
    assert "exhausting-shape" in rules(sequential(layer("Reshape", target_shape=shape)))


def test_a_key_that_counts_last_is_the_one_that_is_judged() -> None:
    assert json_reading.parse(b'{"a": 1, "a": 2}').value == {"a": 2}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
def test_attack_in_any_encoding_that_json_takes_is_found(encoding: str) -> None:
    text = json.dumps(sequential(layer("Dense", activation=EVAL))).encode(encoding)
    assert "foreign-object" in rules(text)


def test_digits_in_a_text_are_no_number() -> None:
    assert inspected({"vocabulary": ["1" * 5000, "a " + "2" * 1000]}) == []


def test_configuration_that_is_too_large_is_not_taken_for_fine() -> None:
    class Huge(Memory):
        @property
        def size(self) -> int:
            return LIMITS.inspected_member + 1

    (found,) = config.inspect(Huge(b"{}"), "config.json")
    assert (found.rule, found.verdict) == ("too-large", Verdict.REFUSE)


@pytest.mark.parametrize(
    "bomb",
    [
        layer("Dense", units=10**12),
        layer("Dense", units=1e300),
        layer("Embedding", input_dim=10**7, output_dim=10**7),
        layer("Conv2D", filters=8, kernel_size=[10**6, 10**6]),
        layer("InputLayer", batch_shape=[None, 10**5, 10**5, 10**5]),
        layer("InputLayer", batch_shape=[1] * 100_000),
        layer("MultiHeadAttention", num_heads=10**9, key_dim=10**9),
        layer("ZeroPadding2D", padding=[[10**9] * 2] * 2),
        {**layer("Dense", units=3), "build_config": {"input_shape": [None, 10**13]}},
    ],
    ids=lambda value: json.dumps(value)[30:90],
)
def test_size_that_no_machine_has_is_refused(bomb: Config) -> None:
    assert "exhausting-shape" in rules(sequential(bomb))


def test_layers_without_the_weights_for_them_are_refused() -> None:
    """Each alone is of a size that people have; the file is of a kilobyte."""
    wide = [layer("Dense", name=f"wide{number}", units=40_000) for number in range(5)]
    start = layer("InputLayer", batch_shape=[None, 40_000])
    bomb = sequential(start, *wide)
    assert rules(bomb, stored=1000) == {"exhausting-shape"}
    assert rules(bomb, stored=5 * 40_000**2 * 4) == set()
    flat = layer("InputLayer", batch_shape=[None, 1000, 1000]), layer("Flatten", trainable=True)
    assert rules(sequential(*flat, layer("Dense", units=1000)), stored=1000) == {"exhausting-shape"}
    dropout = layer("Dropout", trainable=True, rate=0.5)
    passed_on = sequential(start, dropout, wide[0])
    assert rules(passed_on, stored=1000) == {"exhausting-shape"}


@pytest.mark.parametrize(
    "layers",
    [
        [layer("LSTM", units=60_000)],
        [layer("Bidirectional", layer=layer("GRU", units=60_000))],
        [layer("ConvLSTM2D", filters=10_000, kernel_size=[9, 9])],
        [layer("Conv2D", filters=1000, kernel_size=[1000, 1000])],
        [layer("Conv3D", filters=10, kernel_size=1000)],
        [
            layer("InputLayer", batch_shape=[None, 8, 8, 1000]),
            layer("MaxPooling2D"),
            layer("Conv2D", filters=5000, kernel_size=200),
        ],
        [
            layer("InputLayer", batch_shape=[None, 100_000, 1]),
            layer("Permute", dims=[2, 1]),
            layer("Dense", units=100_000),
        ],
        [
            layer("InputLayer", batch_shape=[None, 3, 100_000]),
            layer("MultiHeadAttention", num_heads=100, key_dim=1000),
        ],
    ],
)
def test_kernels_that_a_few_small_numbers_make_are_bombs(layers: list[Config]) -> None:
    """Each number by itself is one that models have; the matrix that they make takes gigabytes."""
    assert rules(sequential(*layers), stored=10_000) == {"exhausting-shape"}


def test_layers_whose_weights_are_elsewhere_are_no_bombs() -> None:
    usual = [
        layer("InputLayer", batch_shape=[None, 224, 224, 3]),
        layer("Conv2D", filters=512, kernel_size=[7, 7]),
        layer("MaxPooling2D", pool_size=2),
        layer("Conv2D", filters=2048, kernel_size=3, groups=32),
        layer("DepthwiseConv2D", kernel_size=7),
        layer("GlobalAveragePooling2D"),
        layer("Dense", units=1000),
        layer("InputLayer", batch_shape=[None, 100_000]),
        layer("Conv1D", filters=64, kernel_size=3),
        layer("LSTM", units=2048),
    ]
    assert rules(sequential(*usual), stored=10_000) == set()


def test_layer_that_is_shared_counts_once() -> None:
    built = {"build_config": {"input_shape": [None, 1]}}
    wide = [{**layer("Dense", name="wide", units=200_000_000), **built}] * 5
    assert rules(sequential(*wide), stored=1000) == set()


def test_shapes_of_merging_layers_are_several() -> None:
    shapes = {"input_shape": [[None, 56, 56, 256]] * 64}
    assert rules(sequential({**layer("Add"), "build_config": shapes})) == set()


@pytest.mark.parametrize("piece", [b"[]", b'{"":{}}', b"1.5", b'"ab"'])
def test_text_that_would_fill_the_memory_is_told_before_it_is_read(piece: bytes) -> None:
    """A few kilobytes of a packed archive: a list takes thirty times the memory of its text."""
    text = b"[" + (piece + b",") * (LIMITS.config_values + 1) + b"1]"
    tracemalloc.start()
    try:
        parsed = json_reading.parse(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert parsed.value is None
    assert [rule for rule, _ in parsed.breaks] == ["too-large"]
    assert peak < 2 * len(text)
