# SPDX-License-Identifier: Apache-2.0
"""The input contract of a model: what it may be asked, and in which structure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keras_integrity_hook.contracts.input_rules import InputRules, misstated
from keras_integrity_hook.errors import printable
from keras_integrity_hook.limits import LIMITS

STRUCTURES = ("single", "list", "dict", "nested")


@dataclass(frozen=True, slots=True, init=False)
class InputContract:
    """What a model may be asked: rules for each of its inputs.

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

    Example:
        >>> digits = InputContract(InputRules("image", (None, 784), "float", minimum=0, maximum=1))
        >>> digits.structure, digits["image"].maximum
        ('single', 1)
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

    def with_rules(self, name: str, **changes: Any) -> InputContract:
        """The contract with other rules for the input ``name``.

        Args:
            **changes: fields of :class:`InputRules`.

        Raises:
            ConfigurationError: there is no such input, no such rule, or they contradict.

        Example:
            >>> contract = InputContract(InputRules("age", (None, 1), "float"))
            >>> contract.with_rules("age", minimum=0, maximum=130)["age"].maximum
            130
        """
        if name not in {rules.name for rules in self.inputs}:
            named = ", ".join(f"'{printable(rules.name)}'" for rules in self.inputs)
            raise misstated(f"there is no input '{printable(name)}'; there is {named}")
        try:
            changed = replace(self[name], **changes)
        except TypeError as error:
            raise misstated(f"there is no such rule ({error})") from None
        rules = [changed if one.name == name else one for one in self.inputs]
        return in_structure(rules, self.structure)

    def check(self, inputs: Any) -> None:
        """Refuse ``inputs`` that the contract does not allow; they are read, never changed.

        Args:
            inputs: data for the model, with the batch axis first, in the structure that
                ``model.predict`` takes: arrays of numpy, tensors of TensorFlow, JAX or torch
                (ragged and sparse ones too), pandas frames, lists of numbers.

        Raises:
            InputContractError: which input, which rule, the first offending index and value, and
                how many there are.
        """
        from keras_integrity_hook.contracts.checking import check

        check(self, inputs)

    def to_dict(self) -> dict[str, Any]:
        """The contract as JSON values without floats, as a seal spells it; see ``spelling``."""
        from keras_integrity_hook.contracts.spelling import to_dict

        return to_dict(self)

    @classmethod
    def from_dict(cls, value: Any) -> InputContract:
        """The contract that :meth:`to_dict` spelt, or that somebody wrote as JSON; floats may do.

        Raises:
            ConfigurationError: it is no contract, or has something that this version does not know.
        """
        from keras_integrity_hook.contracts.spelling import from_dict

        return from_dict(value)

    @classmethod
    def from_data(cls, x: Any, *, margin: float = 0.0) -> InputContract:
        """The contract that all of ``x`` keeps; look at it before you rely on it.

        Args:
            x: what the model was trained on, in the structure of its inputs: arrays, tensors,
                pandas frames, a ``tf.data.Dataset``, a generator, a ``keras.utils.PyDataset`` or a
                torch ``DataLoader``, which are read once, batch by batch. Of batches that are
                tuples only the first item counts, the rest are targets and weights.
            margin: how far beyond what was seen a number may be, as a share of its range: 0.1
                widens bounds of 0 and 10 to -1 and 11.

        Raises:
            ConfigurationError: there is no data, or it is of no kind that a model takes.
        """
        from keras_integrity_hook.contracts.inference import from_data

        return from_data(x, margin=margin)

    @classmethod
    def from_model(cls, model: Any) -> InputContract:
        """The contract of a model's signature: the names, shapes and kinds of its inputs, finite.

        Args:
            model: of Keras 3 or tf_keras, built.

        Raises:
            ConfigurationError: its inputs are not known, as those of a subclassed model are not
                before it was called.
        """
        from keras_integrity_hook.contracts.signature import from_model

        return from_model(model)


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


def in_structure(rules: Sequence[InputRules], structure: str) -> InputContract:
    """The contract of ``rules`` that are in Keras's order already."""
    if structure == "single":
        return InputContract(rules[0])
    if structure == "dict":
        return InputContract({one.name: one for one in rules})
    return InputContract(rules, structure)


def _checked(rules: tuple[InputRules, ...]) -> None:
    if not all(isinstance(one, InputRules) for one in rules):
        raise misstated("the inputs of the contract are not all InputRules")
    if not 0 < len(rules) <= LIMITS.contract_inputs:
        raise misstated(f"it has {len(rules)} inputs, not 1 to {LIMITS.contract_inputs}")
    if len({one.name for one in rules}) != len(rules):
        raise misstated("two inputs have the same name")
