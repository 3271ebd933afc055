# SPDX-License-Identifier: Apache-2.0
"""Configurations as Keras writes them, by hand: objects, layers and models as plain JSON values."""

from __future__ import annotations

import base64
import marshal
from typing import Any

Json = Any
Object = dict[str, Json]


def obj(module: str | None, class_name: str, config: Json = None, **more: Json) -> Object:
    """An object by module and class name."""
    config = {} if config is None else config
    named = {"module": module, "class_name": class_name, "config": config}
    return {**named, "registered_name": None, **more}


def function(module: str, name: str, registered_name: str | None = "function") -> Object:
    """A function by its name, which is looked up and returned, not called."""
    found = {"module": module, "class_name": "function", "config": name}
    return {**found, "registered_name": registered_name}


def layer(class_name: str, name: str = "attacked", **config: Json) -> Object:
    """A layer of ``keras.layers``."""
    return obj("keras.layers", class_name, {"name": name, "trainable": True, **config})


def dense(name: str = "dense", **config: Json) -> Object:
    """A layer that nobody could say anything against."""
    usual = {"units": 3, "activation": "linear", "use_bias": True, "dtype": "float32"}
    return layer("Dense", name, **{**usual, **config})


def calling(target: Object, name: str = "gadget", **arguments: Json) -> Object:
    """A ``Lambda`` layer that calls a function that is there already."""
    return layer("Lambda", name, function=target, arguments=arguments)


def input_layer(name: str = "input", shape: tuple[int | None, ...] = (None, 4)) -> Object:
    """An input of 4 numbers."""
    config = {"batch_shape": list(shape), "dtype": "float32", "sparse": False, "name": name}
    return obj("keras.layers", "InputLayer", config)


def sequential(*layers: Object, **config: Json) -> Object:
    """A sequential model of ``layers`` after an input."""
    inside = {"name": "sequential", "trainable": True, "layers": [input_layer(), *layers], **config}
    return obj("keras", "Sequential", inside, build_config={"input_shape": [None, 4]})


def tensor(of: str) -> Object:
    """A reference to the output of the layer ``of``, as the arguments of a call have it."""
    config = {"shape": [None, 4], "dtype": "float32", "keras_history": [of, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": config}


def functional(
    *layers: Object, call: Json = None, kwargs: dict[str, Json] | None = None, **config: Json
) -> Object:
    """A functional model: each layer is called with what the one before gives.

    ``call`` and ``kwargs`` are the arguments of the last call, where they are not the usual ones.
    """
    nodes: list[Object] = [{**input_layer(), "name": "input", "inbound_nodes": []}]
    for one in layers:
        node = {"args": [tensor(nodes[-1]["name"])], "kwargs": {}}
        nodes.append({**one, "name": one["config"]["name"], "inbound_nodes": [node]})
    if call is not None:
        nodes[-1]["inbound_nodes"] = [{"args": call, "kwargs": {}}]
    if kwargs is not None:
        nodes[-1]["inbound_nodes"][0]["kwargs"] = kwargs
    ends = {"input_layers": [["input", 0, 0]], "output_layers": [[nodes[-1]["name"], 0, 0]]}
    inside = {"name": "functional", "trainable": True, "layers": nodes, **ends, **config}
    return obj("keras.src.models.functional", "Functional", inside, registered_name="Functional")


def compiled(**arguments: Json) -> Object:
    """A harmless model with a configuration of ``compile``."""
    adam = obj("keras.optimizers", "Adam", {"name": "adam", "learning_rate": 0.001})
    usual = {"optimizer": adam, "loss": "mse", "loss_weights": None, "metrics": None}
    return {**sequential(dense()), "compile_config": {**usual, **arguments}}


MARK = "ATTACKED"
"""The file that the payloads of the corpus create in the working directory, and nothing else."""


def payload() -> str:
    """Compiled code, encoded as Keras does it: called, it creates the file ``MARK``."""
    outer = compile(f"lambda x: (open({MARK!r}, 'a').close(), x)[1]", "<model>", "eval")
    (code,) = (one for one in outer.co_consts if hasattr(one, "co_code"))
    return base64.b64encode(marshal.dumps(code)).decode()


def code() -> Object:
    """A ``lambda`` as the layer ``Lambda`` and the newer serialization write it."""
    value = [payload(), None, None]
    inside = {"code": payload(), "defaults": None, "closure": None, "value": value}
    return {"class_name": "__lambda__", "config": inside}


# Keras 2, and HDF5 files of Keras 3: no modules, and functions are plain names.


def legacy(class_name: str, name: str = "attacked", **config: Json) -> Object:
    """A layer as HDF5 files have it."""
    return {"class_name": class_name, "config": {"name": name, "trainable": True, **config}}


def legacy_input() -> Object:
    """The input of a legacy model."""
    config = {"batch_shape": [None, 4], "dtype": "float32", "sparse": False, "name": "input"}
    return {"class_name": "InputLayer", "config": config}


def legacy_dense(**config: Json) -> Object:
    """A harmless layer of a legacy model."""
    return legacy("Dense", "dense", **{"units": 3, "activation": "linear", **config})


def legacy_sequential(*layers: Object) -> Object:
    """A sequential model as HDF5 files have it."""
    config = {"name": "sequential", "layers": [legacy_input(), *layers]}
    return {"class_name": "Sequential", "config": config}


def legacy_lambda() -> Object:
    """A ``Lambda`` layer of Keras 2 with code in it."""
    inside = {"function": [payload(), None, None], "function_type": "lambda", "module": "__main__"}
    return legacy("Lambda", "gadget", **inside, arguments={})
