# SPDX-License-Identifier: Apache-2.0
"""The contract that a model's own signature makes: names, shapes and kinds of its inputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from keras_integrity_hook.contracts.input_rules import InputRules
from keras_integrity_hook.contracts.inputs import Inputs, in_structure
from keras_integrity_hook.errors import ConfigurationError

_KINDS = {"bool": "boolean", "str": "string", "int": "integer", "uint": "integer"} | {
    name: name for name in ("float", "complex", "string")
}
# Names that Keras makes up, anew in each process.
_AUTOMATIC = re.compile(r"keras_tensor(_\d+)?")


def from_model(model: Any) -> Inputs:
    """See :meth:`InputContract.from_model`."""
    tensors = _structure_of(model)
    named = list(_named(tensors, ""))
    rules = [_rules(name, tensor) for name, tensor in named]
    if _is_tensor(tensors):
        return in_structure(rules, "single")
    if isinstance(tensors, Mapping):
        is_flat = all(map(_is_tensor, tensors.values())) and all(
            isinstance(k, str) for k in tensors
        )
        return in_structure(rules, "dict" if is_flat else "nested")
    return in_structure(rules, "list" if all(map(_is_tensor, tensors)) else "nested")


def _structure_of(model: Any) -> Any:
    """The symbolic inputs of ``model`` in the structure in which it takes them."""
    # A Sequential model of Keras 3 keeps a functional one, once it is built.
    functional = getattr(model, "_functional", None) or model
    for name in ("_inputs_struct", "_nested_inputs"):  # of Keras 3, of tf_keras
        found = getattr(functional, name, None)
        if found is not None:
            return found
    raise ConfigurationError(
        "the inputs of this model are not known: it is not built, or a subclass of Model",
        remedy="Make the contract from data, with InputContract.from_data, or by hand.",
    )


def _named(tensors: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each symbolic tensor, in Keras's order, and a name for it: its key, or its own."""
    if _is_tensor(tensors):
        yield path or _own_name(tensors), tensors
    elif isinstance(tensors, Mapping):
        for key in sorted(tensors, key=lambda key: (type(key).__qualname__, key)):
            yield from _named(tensors[key], f"{path}/{key}" if path else str(key))
    else:
        for number, tensor in enumerate(tensors):
            yield from _named(tensor, f"{path}/{number}" if path or not _is_tensor(tensor) else "")


def _own_name(tensor: Any) -> str:
    name = str(tensor.name)
    operation = getattr(getattr(tensor, "_keras_history", None), "operation", None)
    return str(operation.name) if _AUTOMATIC.fullmatch(name) and operation is not None else name


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "dtype") and hasattr(value, "shape")


def _rules(name: str, tensor: Any) -> InputRules:
    dtype = tensor.dtype
    spelt = str(getattr(dtype, "name", dtype))
    kind = next((kind for start, kind in _KINDS.items() if spelt.startswith(start)), None)
    operation = getattr(getattr(tensor, "_keras_history", None), "operation", None)
    is_optional = getattr(operation, "optional", False) is True
    kind = "float" if spelt.startswith("bfloat") else kind
    return InputRules(name, _shape(tensor), kind, optional=is_optional)


def _shape(tensor: Any) -> tuple[int | None, ...] | None:
    """Its shape, the batch axis being None; None where even the number of axes is open."""
    if getattr(tensor.shape, "rank", 1) is None:
        return None
    sizes = [None if size is None else int(size) for size in tensor.shape]
    return (None, *sizes[1:]) if sizes else None
