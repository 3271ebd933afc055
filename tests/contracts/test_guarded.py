# SPDX-License-Identifier: Apache-2.0
"""A guarded model refuses bad input wherever TensorFlow runs what was exported of it.

The exports are run in a process of plain TensorFlow: without start-up files (``-S``), so that
nothing of this package can be imported there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook import ConfigurationError, InputContract, InputRules

# Of Keras 3.6, which exports a dictionary of inputs as a list.
pytestmark = pytest.mark.filterwarnings(r"ignore:[\s\S]*The structure of .inputs.")

PLAIN = """
import json, os, sys
import numpy as np
import tensorflow as tf

assert not any(name.startswith("keras_integrity_hook") for name in sys.modules)
answers = []
for path, asked in json.loads(sys.stdin.read()):
    serve = tf.saved_model.load(path).signatures["serving_default"]
    given = {
        name: tf.constant(value, spec.dtype)
        for (name, spec), value in zip(sorted(serve.structured_input_signature[1].items()), asked)
    }
    try:
        serve(**given)
        answers.append("")
    except tf.errors.InvalidArgumentError as error:
        answers.append(error.message)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def hosts(keras: Any) -> list[Any]:
    """Keras 3, and tf_keras where it is."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the checks are operations of TensorFlow")
    try:
        import tf_keras
    except ImportError:
        return [keras]
    return [keras, tf_keras]


def in_plain_tensorflow(asked: list[tuple[Path, list[Any]]]) -> list[str]:
    """What each export says to one input: nothing, or why it refuses it."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", PLAIN],
        input=json.dumps([(str(path), values) for path, values in asked]),
        env={
            **os.environ,
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[str] = json.loads(done.stdout.splitlines()[-1])
    return answers


def numbers(keras: Any) -> tuple[Any, InputContract]:
    model = keras.Sequential([keras.Input((2,), name="x"), keras.layers.Dense(1)])
    return model, InputContract(InputRules("x", (None, 2), "float", minimum=0, maximum=0.5))


def several(keras: Any) -> tuple[Any, InputContract]:
    layers = keras.layers
    age = keras.Input((1,), dtype="int32", name="age")
    word = keras.Input((1,), dtype="string", name="word")
    known = layers.StringLookup(vocabulary=["yes", "no"], output_mode="one_hot")(word)
    joined = layers.Concatenate()([layers.Flatten()(layers.Embedding(200, 2)(age)), known])
    model = keras.Model({"age": age, "word": word}, layers.Dense(1)(joined))
    rules = {
        "age": InputRules("age", (None, 1), "integer", minimum=-0.5, maximum=130),
        "word": InputRules("word", (None, 1), "string", maximum_length=3),
    }
    return model, InputContract(rules)


def choices(keras: Any) -> tuple[Any, InputContract]:
    number = keras.Input((1,), dtype="int64", name="number")
    model = keras.Model(number, keras.layers.Embedding(9, 1)(number))
    return model, InputContract(InputRules("number", (None, 1), "integer", allowed=(1, 3, 2**60)))


NAN, INFINITE = float("nan"), float("inf")
ASKED: list[tuple[Any, list[Any], str]] = [
    (numbers, [[[0.25, 0.5]]], ""),
    (
        numbers,
        [[[0.25, 0.5], [0.75, 0.6]]],
        "x breaks the rule maximum 0.5; elements that do: ] [2]",
    ),
    (numbers, [[[-0.25, 0.5]]], "x breaks the rule minimum 0;"),
    (numbers, [[[NAN, 0.5]]], "x breaks the rule finite;"),
    (numbers, [[[INFINITE, 0.5]]], "x breaks the rule finite;"),
    (several, [[[7]], [["yes"]]], ""),
    (several, [[[0]], [["äöü"]]], ""),
    (several, [[[-1]], [["yes"]]], "age breaks the rule minimum -0.5;"),
    (several, [[[131]], [["yes"]]], "age breaks the rule maximum 130;"),
    (several, [[[7]], [["äöüx"]]], "word breaks the rule maximum_length 3;"),
    (choices, [[[3], [1]]], ""),
    (choices, [[[3], [2]]], "number breaks the rule allowed;"),
]


def test_exports_refuse_bad_input_in_plain_tensorflow(hosts: list[Any], tmp_path: Path) -> None:
    asked, wanted = [], []
    for host in hosts:
        for make in (numbers, several, choices):
            path = tmp_path / f"{host.__name__}-{make.__name__}"
            model, contract = make(host)
            contract.guarded(model).export(path)
            some = [(values, answer) for made, values, answer in ASKED if made is make]
            asked += [(path, values) for values, _ in some]
            wanted += [answer for _, answer in some]
    answers = in_plain_tensorflow(asked)
    for answer, part in zip(answers, wanted, strict=True):
        assert part in answer
        assert bool(part) == bool(answer)


def test_guarded_model_answers_as_the_model_and_is_not_saved(
    hosts: list[Any], tmp_path: Path
) -> None:
    for host in hosts:
        model, contract = numbers(host)
        guarded = contract.guarded(model)
        good, bad = [[0.25, 0.5]] * 3, [[0.25, 1.0]] * 3
        assert (guarded(_array(good)) == model(_array(good))).numpy().all()
        assert guarded.predict(_array(good), verbose=0).shape == (3, 1)
        with pytest.raises(Exception, match="breaks the rule maximum"):
            guarded.predict(_array(bad), verbose=0)
        with pytest.raises(ConfigurationError, match="there to be exported"):
            guarded.save(tmp_path / "guarded.keras")


def test_what_does_not_fit_the_model_is_refused(hosts: list[Any]) -> None:
    for host in hosts:
        model, contract = numbers(host)
        two = InputContract([InputRules("x", (None, 2)), InputRules("y", (None, 2))])
        for wrong in (two, contract.with_rules("x", shape=(None, 3))):
            with pytest.raises(ConfigurationError, match="does not fit the model"):
                wrong.guarded(model)
        with pytest.raises(ConfigurationError, match="no model of Keras"):
            contract.guarded(object())


def _array(values: Any) -> Any:
    import numpy as np

    return np.asarray(values, np.float32)
