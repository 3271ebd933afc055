# SPDX-License-Identifier: Apache-2.0
"""Whatever Keras's deserializer imports, opens, calls or unmarshals for a random configuration
is in our findings; seen by an audit hook in a process of its own, which loads the same file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inspection import observer
from tests.inspection.corpus import configs, formats
from tests.inspection.corpus.configs import Json, Object, calling, dense, function, layer, obj
from tests.inspection.corpus.judging import judge
from tests.inspection.corpus.positions import POSITIONS
from tests.support.processes import environment

Observed = dict[str, Any]

_SOURCES = str(Path(__file__).parents[2])  # where the package of tests lies


class Host:
    """A process with plain Keras or tf_keras in it, and decoys that only models ask for."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self._model = name, folder / "model.keras"
        self.decoys = folder / "d"
        self.happened: Counter[str] = Counter()
        observer.make_decoys(self.decoys)
        command = [sys.executable, "-m", "tests.inspection.observer", name, str(self.decoys)]
        self._errors = (folder / "errors").open("w")
        self._process = subprocess.Popen(
            command,
            env=environment(_SOURCES, KERAS_INTEGRITY="off", PYTHONDONTWRITEBYTECODE="1"),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def observe(self, config: Json) -> Observed:
        """What happened when the host loaded a model of this configuration."""
        words = _of_keras_2(config) if self.name == "tf_keras" else config
        formats.archive(words)(self._model)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(self._model, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, "the process that loads is dead"
        seen: Observed = json.loads(answer)
        self.happened.update(key for key in seen if key != "outcome")
        return seen

    def unsaid(self, config: Json) -> list[str]:
        """What happened without being in the findings."""
        seen = self.observe(config)
        found = judge(self._model)
        said = " ".join([found.refusal, *(" ".join(map(str, one)) for one in found.findings)])
        happened = [what for kind, names in seen.items() if kind != "outcome" for what in names]
        missing = [what for what in happened if what not in said]
        return [f"{missing} of {seen}: {said}"] if missing else []

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


_LAMBDA_OF_KERAS_2: Object = {
    "module": None,
    "output_shape": None,
    "output_shape_type": "raw",
    "output_shape_module": None,
    "arguments": {},
}


def _of_keras_2(value: Json) -> Json:
    """The same with the words of Keras 2, without which tf_keras stops before anything happens."""
    if isinstance(value, list):
        return [_of_keras_2(one) for one in value]
    if not isinstance(value, dict):
        return value
    words = {"batch_shape": "batch_input_shape"}
    inside = {words.get(key, key): _of_keras_2(one) for key, one in value.items()}
    config = inside.get("config")
    if inside.get("class_name") == "Lambda" and isinstance(config, dict):
        kind = "lambda" if isinstance(config.get("function"), list) else "function"
        inside["config"] = {"function_type": kind, **_LAMBDA_OF_KERAS_2, **config}
    if inside.get("class_name") == "Functional":
        inside["module"] = "keras"
    return inside


@pytest.fixture(scope="module", params=["keras", "tf_keras"])
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not there")
    opened = Host(request.param, tmp_path_factory.mktemp("o"))
    yield opened
    opened.close()


def _lookup(host: Host, module: str = "keras.layers") -> Object:
    config = {"name": "lookup", "vocabulary": str(host.decoys / "words_0.txt")}
    return obj(module, "StringLookup", config)


def test_observer_sees_a_file_that_a_layer_reads(host: Host) -> None:
    assert host.observe(configs.sequential(_lookup(host)))["open"]


def test_observer_sees_code_that_is_unmarshalled(host: Host) -> None:
    gadget = layer("Lambda", "gadget", function=_code_of(host))
    seen = host.observe(configs.sequential(gadget))
    assert seen["code"] == ["lambda"], seen


def test_observer_sees_a_module_that_tf_keras_imports(host: Host) -> None:
    if host.name != "tf_keras":
        pytest.skip("Keras imports no module of others since 3.9")
    seen = host.observe(configs.sequential(calling(function("decoy_1", "run"))))
    assert seen["import"] == ["decoy_1"], seen


def _code_of(host: Host) -> Json:
    if host.name == "keras":
        return configs.code()
    return {"class_name": "__lambda__", "config": {"value": [configs.payload(), None, None]}}


# Random configurations. What stands in them is put together from what attackers use.

_MODULES = [
    *(f"decoy_{number}" for number in range(4)),
    *observer.STANDARD,
    *("keras", "keras.layers", "keras.activations", "keras.utils", "keras.models", "builtins"),
    *("keras.src.layers.core.dense", "keras.src.utils.file_utils", "tf_keras", "tf_keras.layers"),
    None,
]
_NAMES = [
    *("run", "Evil", "open", "rgb_to_hsv", "load", "relu", "get_file", "load_model", "Dense"),
    *("Lambda", "Activation", "StringLookup", "TextVectorization", "IntegerLookup", "Sequential"),
    *("TimeDistributed", "LSTM", "RNN", "function", "__lambda__", "__typespec__", "__numpy__"),
    *("Functional", "Adam", "Zeros", "L2", "MeanSquaredError"),
]
_KEYS = [
    *("activation", "kernel_initializer", "layer", "cell", "function", "arguments", "vocabulary"),
    *("layers", "fn", "learning_rate", "dtype", "output_shape", "mask", "config", "class_name"),
    *("filepath", "path", "origin", "fname", "value", "code", "defaults", "closure", "units"),
]


def _values(decoys: Path) -> st.SearchStrategy[Json]:
    """Values as an attacker would put them together, and some that say nothing."""
    files = [str(decoys / f"words_{number}.txt") for number in range(4)]
    texts = st.sampled_from([*files, "relu", "linear", configs.payload()])
    atoms = st.one_of(st.none(), st.booleans(), st.integers(0, 8), texts)
    anything = st.recursive(atoms, _containers, max_leaves=8)
    readers = st.builds(
        lambda kind, file, more: layer(kind, "reader", **{"vocabulary": file, **more}),
        st.sampled_from(["StringLookup", "TextVectorization", "IntegerLookup"]),
        st.sampled_from(files),
        st.dictionaries(st.sampled_from(["mask_token", "output_mode", "max_tokens"]), atoms),
    )
    # Most of what is merely random is refused by its host before anything happens.
    return st.one_of(readers, _functions(), _code(), st.one_of(_objects(anything), anything))


def _functions() -> st.SearchStrategy[Object]:
    named = st.builds(function, st.sampled_from(_MODULES), st.sampled_from(_NAMES))
    called = st.builds(lambda one: layer("Lambda", "gadget", function=one), named)
    activated = st.builds(lambda one: dense("attacked", activation=one), named)
    return st.one_of(named, called, activated)


def _code() -> st.SearchStrategy[Object]:
    value = [configs.payload(), None, None]
    bare: Object = {"class_name": "__lambda__", "config": {"value": value}}
    made = [configs.code(), bare]
    return st.sampled_from(
        [
            *made,
            *(layer("Lambda", "gadget", function=one) for one in made),
            layer("Lambda", "gadget", function=value, function_type="lambda"),
            *(layer("TimeDistributed", "wrapper", layer=_lambda(one)) for one in made),
            *(dense("attacked", activation=one) for one in made),
        ]
    )


def _lambda(code: Object) -> Object:
    return layer("Lambda", "inner", function=code)


def _objects(config: st.SearchStrategy[Json]) -> st.SearchStrategy[Object]:
    names, modules = st.sampled_from(_NAMES), st.sampled_from(_MODULES)
    objects = st.builds(obj, modules, names, config)
    registered = st.one_of(names, st.none())
    return st.builds(lambda one, name: {**one, "registered_name": name}, objects, registered)


def _containers(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    dicts = st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4)
    return st.one_of(st.lists(inner, max_size=3), dicts, _objects(dicts))


def test_what_a_random_configuration_does_is_in_the_findings(host: Host) -> None:
    before = host.happened.total()

    @settings(max_examples=max(150, settings().max_examples))
    @given(data=st.data())
    def check(data: Any) -> None:
        value = data.draw(_values(host.decoys))
        position = POSITIONS[data.draw(st.sampled_from(["layer", *sorted(POSITIONS)]))]
        is_object = isinstance(value, dict) and "config" in value
        assert host.unsaid(position(value) if is_object else dense(activation=value)) == []

    check()
    # It would pass as well if nothing had ever happened.
    assert host.happened.total() - before > 3, host.happened
