# SPDX-License-Identifier: Apache-2.0
"""The rules for all inputs of a model, in the structure in which it takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from keras_integrity_hook.contracts.input_rules import InputRules, misstated
from keras_integrity_hook.limits import LIMITS

STRUCTURES = ("single", "list", "dict", "nested")


@dataclass(frozen=True, slots=True, init=False)
class Inputs:
    """Rules for each input of a model; :class:`~.contract.InputContract` is what users make.

    Args:
        inputs: the rules, in the structure in which the model takes its inputs: those of a single
            one, a sequence of them, or a mapping of keys to them (the key becomes the name).
        structure: only for a sequence: ``"nested"`` where the model's own structure is deeper than
            these; the inputs are then in the order in which Keras flattens it.

    Attributes:
        inputs: the rules in Keras's order; those of a mapping are sorted by key.
        structure: one of :data:`STRUCTURES`.

    Raises:
        ConfigurationError: there are no inputs or too many, or two have the same name.
    """

    inputs: tuple[InputRules, ...]
    structure: str

    def __init__(
        self,
        inputs: InputRules | Sequence[InputRules] | Mapping[str, InputRules],
        structure: str | None = None,
    ) -> None:
        rules, found = _in_order(inputs)
        if (
            structure is not None
            and structure != found
            and (structure, found) != ("nested", "list")
        ):
            raise misstated(f"the structure of these inputs is '{found}', not {structure!r}")
        _checked(rules)
        object.__setattr__(self, "inputs", rules)
        object.__setattr__(self, "structure", structure or found)

    def __getitem__(self, name: str) -> InputRules:
        """The rules for the input ``name``. Raises KeyError."""
        for rules in self.inputs:
            if rules.name == name:
                return rules
        raise KeyError(name)

    def __iter__(self) -> Iterator[InputRules]:
        return iter(self.inputs)

    def __len__(self) -> int:
        return len(self.inputs)


def _in_order(
    inputs: InputRules | Sequence[InputRules] | Mapping[str, InputRules],
) -> tuple[tuple[InputRules, ...], str]:
    """The rules in Keras's order, and their structure."""
    if isinstance(inputs, InputRules):
        return (inputs,), "single"
    if isinstance(inputs, Mapping):
        if not all(isinstance(rules, InputRules) for rules in inputs.values()):
            raise misstated("the inputs of the contract are not all InputRules")
        named = [replace(inputs[key], name=key) for key in sorted(inputs, key=str)]
        return tuple(named), "dict"
    if not isinstance(inputs, Iterable):
        raise misstated("the inputs of a contract are InputRules, a sequence or a mapping of them")
    return tuple(inputs), "list"


def in_structure(rules: Sequence[InputRules], structure: str) -> Inputs:
    """The inputs with ``rules`` that are in Keras's order already."""
    if structure == "single":
        return Inputs(rules[0])
    _checked(tuple(rules))  # two of the same name would be one in a mapping
    if structure == "dict":
        return Inputs({one.name: one for one in rules})
    return Inputs(rules, structure)


def _checked(rules: tuple[InputRules, ...]) -> None:
    if not all(isinstance(one, InputRules) for one in rules):
        raise misstated("the inputs of the contract are not all InputRules")
    if not 0 < len(rules) <= LIMITS.contract_inputs:
        raise misstated(f"it has {len(rules)} inputs, not 1 to {LIMITS.contract_inputs}")
    if len({one.name for one in rules}) != len(rules):
        raise misstated("two inputs have the same name")
