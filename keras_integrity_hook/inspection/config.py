# SPDX-License-Identifier: Apache-2.0
"""Configurations in JSON: what Keras would import, call, open and allocate for each.

Every object with a ``class_name`` counts as a reference, wherever it stands: which of them a layer
hands on to the deserializer is that layer's business, and differs between versions. The walk keeps
its own stack, so that no nesting exhausts it, and is only made where a quick look found something.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from keras_integrity_hook.inspection import gadgets, json_reading, places, references, sizes
from keras_integrity_hook.inspection.findings import Finding
from keras_integrity_hook.inspection.keras_names import CLASSES
from keras_integrity_hook.inspection.places import Place
from keras_integrity_hook.inspection.references import Reference
from keras_integrity_hook.inspection.rules import found
from keras_integrity_hook.sealing.content import Content

_PLAIN = frozenset(
    {
        *("__bytes__", "__slice__", "__ellipsis__", "__tuple__", "__keras_tensor__"),
        *("TensorShape", "CompositeTensor", "TypeSpec"),
    }
)
"""Names that stand for a value, which the deserializers make themselves."""

_SPECS = frozenset(
    {
        *("TensorSpec", "RaggedTensorSpec", "SparseTensorSpec", "BoundedTensorSpec"),
        *("IndexedSlicesSpec", "TensorArraySpec", "OptionalSpec", "NoneTensorSpec"),
    }
)
_SPEC_MODULES = ("tensorflow.python.framework", "tensorflow.python.ops", "tensorflow.python.data")


def inspect(content: Content, name: str, *, stored: int | None = None) -> Iterator[Finding]:
    """The findings in one file of JSON; ``stored`` as of :func:`of`."""
    return of(json_reading.read(content), name, stored=stored)


def of(parsed: json_reading.Parsed, name: str, *, stored: int | None = None) -> Iterator[Finding]:
    """The findings in a configuration that was read from the file ``name``.

    Args:
        stored: bytes of the model that it is the configuration of, weights included; None where
            they may be elsewhere.
    """
    for rule, what in parsed.breaks:
        yield found(rule, name, "", what)
    declared = sizes.Declared(stored)
    is_fine = True
    for one in parsed.objects:
        config = one.get("config")
        inner = config if type(config) is dict else _NOTHING
        is_fine = is_fine and _is_fine(one, inner)
        declared.add(str(one["class_name"]).rpartition(">")[2], one, inner)
    if not is_fine:
        yield from _walk(parsed.value, name)
    yield from declared.finding(name)
    if name.rpartition("/")[2] == _TEXTS_OF_ORBAX and isinstance(parsed.value, dict):
        for kept in filter(None, map(_within, parsed.value.values())):
            yield from of(kept, name.rpartition("/")[0], stored=stored)


_TEXTS_OF_ORBAX = "_strings.json"


def _within(value: object) -> json_reading.Parsed | None:
    """The configuration that a text is: so Orbax keeps that of a model. Other texts are none."""
    if not isinstance(value, str):
        return None
    parsed = json_reading.parse(value.encode("utf-8", "surrogatepass"))
    is_json = all(rule != "malformed-config" for rule, _ in parsed.breaks)
    return parsed if is_json else None


def _walk(value: dict[str, Any] | list[Any], name: str) -> Iterator[Finding]:
    """The findings about each object with a ``class_name``, and where it stands."""
    pending = [places.root(value)]
    while pending:
        step = pending.pop()
        if type(step[0]) is dict and "class_name" in step[0]:
            yield from _object(Place(step), name)
        pending += places.below(step)


_NOTHING: dict[str, Any] = {}


def _is_fine(config: dict[str, Any], inner: dict[str, Any]) -> bool:
    """Whether nothing is to be said of an object whose ``config`` is ``inner``: one quick look, as
    nearly all are like that. A configuration with one that is not is walked through."""
    name, module = config["class_name"], config.get("module")
    registered = config.get("registered_name")
    return (
        (registered is None or registered == name)
        and type(name) is str
        and (module is None or type(module) is str)
        and _is_fine_class(name, module)
        and _is_fine_name(inner.get("name"))
        and not _custom_functions(inner)
        and sizes.are_usual(config, inner)
    )


@lru_cache(maxsize=1024)
def _is_fine_class(name: str, module: str | None) -> bool:
    if name in _PLAIN:
        return True
    simple = name.rpartition(">")[2]  # tf_keras says Custom>Adam of its own
    if simple in gadgets.CLASSES or simple not in CLASSES:
        return False
    return not references.judged(Reference(module or "", name, "", False))


def _object(place: Place, file: str) -> Iterator[Finding]:
    """The findings about one object that has a ``class_name``, without those below it."""
    config = place.value
    kind = config["class_name"]
    if not isinstance(kind, str):
        yield found("malformed-config", file, str(place), f"class_name is {type(kind).__name__}")
    elif kind == "__lambda__":
        yield found("lambda-code", file, str(place), "__lambda__")
    elif kind in ("__tensor__", "__numpy__"):
        yield from sizes.of_array(place, file)
    elif kind == "__typespec__":
        yield from _type_spec(place, file)
    elif kind not in _PLAIN:
        yield from _reference(place, file, kind)
        yield from _texts(place, file)


def _reference(place: Place, file: str, kind: str) -> Iterator[Finding]:
    config = place.value
    is_function = kind == "function"
    name = config.get("config") if is_function else kind
    texts = [config.get("module"), name, config.get("registered_name")]
    texts = ["" if one is None else one for one in texts]
    if not all(isinstance(one, str) for one in texts):
        yield found("malformed-config", file, str(place), f"{kind}: a name that is no text")
        return
    module, name, registered = texts
    if registered in (name, "function"):
        registered = ""
    reference = Reference(module, name, registered, is_function)
    rule = references.judged(reference)
    if rule:
        by_name = reference.full_name
        yield found(rule, file, str(place), str(reference), object=by_name)
    elif is_function and name in references.CODE:
        yield found("non-modelling", file, str(place), f"{reference} as a function")
    if not is_function:
        yield from gadgets.of_class(kind.rpartition(">")[2], place, file)
        yield from sizes.of_class(place, file)


def _texts(place: Place, file: str) -> Iterator[Finding]:
    """The name of an object, and its functions that are given by name."""
    config = place.config()
    name = config.get("name")
    if not _is_fine_name(name):
        rule = "path-name" if isinstance(name, str) else "malformed-config"
        yield found(
            rule, file, str(place), name if isinstance(name, str) else "a name that is no text"
        )
    for key in _custom_functions(config):
        value = config[key]
        yield found("custom-object", file, place.inner(key), value, object=value)


def _is_fine_name(name: object) -> bool:
    """Names of layers become paths, of groups and of assets; tf_keras has some with a slash."""
    if type(name) is not str:
        return name is None
    if name.isidentifier():
        return True
    leads_out = name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/")
    return not leads_out


def _custom_functions(config: dict[str, Any]) -> list[str]:
    """The keys under which the name of a function stands that Keras does not have."""
    return [
        key
        for key in ("activation", "recurrent_activation")
        if type(value := config.get(key)) is str and not references.is_known(value)
    ]


def _type_spec(place: Place, file: str) -> Iterator[Finding]:
    """TensorFlow makes specifications by name, too: of any class of any module."""
    module, name = place.value.get("module"), place.value.get("spec_name")
    known = isinstance(module, str) and module.startswith(_SPEC_MODULES) and name in _SPECS
    if not known:
        yield found("type-spec", file, str(place), f"{module}>{name}")
