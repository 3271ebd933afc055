# SPDX-License-Identifier: Apache-2.0
"""The input contract of a model: what it may be asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from keras_integrity_hook.contracts.input_rules import misstated
from keras_integrity_hook.contracts.inputs import Inputs, in_structure
from keras_integrity_hook.errors import printable


@dataclass(frozen=True, slots=True, init=False)
class InputContract(Inputs):
    """What a model may be asked: rules for each of its inputs.

    Args:
        inputs: the rules, in the structure in which the model takes its inputs: those of a single
            one, a sequence of them, or a mapping of keys to them (the key becomes the name).
        structure: only for a sequence: ``"nested"`` where the model's own structure is deeper than
            these; the inputs are then in the order in which Keras flattens it.

    Attributes:
        inputs: the rules in Keras's order; those of a mapping are sorted by key.
        structure: ``"single"``, ``"list"``, ``"dict"`` or ``"nested"``.

    Raises:
        ConfigurationError: there are no inputs or too many, or two have the same name.

    Example:
        >>> digits = InputContract(InputRules("image", (None, 784), "float", minimum=0, maximum=1))
        >>> digits.structure, digits["image"].maximum
        ('single', 1)
    """

    def with_rules(self, name: str, **changes: Any) -> Self:
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
        return type(self).of(in_structure(rules, self.structure))

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
    def from_dict(cls, value: Any) -> Self:
        """The contract that :meth:`to_dict` spelt, or that somebody wrote as JSON; floats may do.

        Raises:
            ConfigurationError: it is no contract, or has something that this version does not know.
        """
        from keras_integrity_hook.contracts.spelling import from_dict

        return cls.of(from_dict(value))

    def guarded(self, model: Any) -> Any:
        """A model that checks its inputs inside its graph and then calls ``model``.

        What is exported of it refuses bad input wherever TensorFlow runs it, TensorFlow Serving
        included, with an ``InvalidArgumentError`` that names the input and the rule. It shares the
        layers and weights of ``model``.

        Args:
            model: of Keras 3 on TensorFlow, or of tf_keras.

        Raises:
            ConfigurationError: Keras runs on another backend, or the inputs of the contract and
                those of the model do not go together.
        """
        from keras_integrity_hook.contracts.guarded import guarded

        return guarded(self, model)

    @classmethod
    def from_data(cls, x: Any, *, margin: float = 0.0, model: Any = None) -> Self:
        """The contract that all of ``x`` keeps; look at it before you rely on it.

        Args:
            x: what the model was trained on, in the structure of its inputs: arrays, tensors,
                pandas frames, a ``tf.data.Dataset``, a generator, a ``keras.utils.PyDataset`` or a
                torch ``DataLoader``, which are read once, batch by batch. Of batches that are
                tuples only the first item counts, the rest are targets and weights.
            margin: how far beyond what was seen a number may be, as a share of its range: 0.1
                widens bounds of 0 and 10 to -1 and 11. They are then rounded outwards, by at most
                a hundredth of that.
            model: a Keras model whose names and structure of inputs to take; else inputs that
                have no keys are called ``input``, or ``input_0``, ``input_1`` and so on.

        Raises:
            ConfigurationError: there is no data, it never ends, it is of no kind that a model
                takes, or it has other inputs than ``model``.
        """
        from keras_integrity_hook.contracts.inference import from_data

        return cls.of(from_data(x, margin=margin, model=model))

    @classmethod
    def from_model(cls, model: Any) -> Self:
        """The contract of a model's signature: the names, shapes and kinds of its inputs, finite.

        Args:
            model: of Keras 3 or tf_keras, built.

        Raises:
            ConfigurationError: its inputs are not known, as those of a subclassed model are not
                before it was called.
        """
        from keras_integrity_hook.contracts.signature import from_model

        return cls.of(from_model(model))

    @classmethod
    def of(cls, inputs: Inputs) -> Self:
        """The contract of ``inputs``, which are checked already."""
        made = object.__new__(cls)
        object.__setattr__(made, "inputs", inputs.inputs)
        object.__setattr__(made, "structure", inputs.structure)
        return made
