# SPDX-License-Identifier: Apache-2.0
"""Configurations in JSON: what Keras would import, call, open and allocate for each.

Every object with a ``class_name`` counts as a reference, wherever it stands: which of them a layer
hands on to the deserializer is that layer's business, and differs between versions. The walk keeps
its own stack, so that no nesting exhausts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras_integrity_hook.inspection import gadgets, json_reading, references, sizes
from keras_integrity_hook.inspection.findings import Finding
from keras_integrity_hook.inspection.places import Place
from keras_integrity_hook.inspection.references import Reference
from keras_integrity_hook.inspection.rules import found
from keras_integrity_hook.limits import LIMITS
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


def inspect(content: Content, name: str) -> Iterator[Finding]:
    """The findings in one file of JSON."""
    return of(json_reading.read(content), name)


def of(parsed: json_reading.Parsed, name: str) -> Iterator[Finding]:
    """The findings in a configuration that was read from the file ``name``."""
    for rule, what in parsed.breaks:
        yield found(rule, name, "", what)
    yield from walk(parsed.value, name)


def walk(value: Any, name: str) -> Iterator[Finding]:
    """The findings in the configuration ``value``, of the file ``name``."""
    pending = [Place(value)]
    while pending:
        place = pending.pop()
        if place.depth > LIMITS.config_depth:
            yield found("nested-too-deep", name, str(place), f"{place.depth} levels")
            return
        if isinstance(place.value, dict) and "class_name" in place.value:
            yield from _object(place, name)
        pending.extend(place.below())


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
        yield from sizes.of_class(kind.rpartition(">")[2], place, file)


def _type_spec(place: Place, file: str) -> Iterator[Finding]:
    """TensorFlow makes specifications by name, too: of any class of any module."""
    module, name = place.value.get("module"), place.value.get("spec_name")
    known = isinstance(module, str) and module.startswith(_SPEC_MODULES) and name in _SPECS
    if not known:
        yield found("type-spec", file, str(place), f"{module}>{name}")
