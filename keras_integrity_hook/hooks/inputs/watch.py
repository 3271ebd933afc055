# SPDX-License-Identifier: Apache-2.0
"""One call of a model whose inputs are looked at: what is refused, what is told."""

from __future__ import annotations

from typing import Any

from keras_integrity_hook import audit, notices
from keras_integrity_hook.contracts.attached import Attached
from keras_integrity_hook.errors import InputContractError


class Watch:
    """Holds inputs against a model's contract, all at once or batch by batch.

    Attributes:
        failure: the first refusal. Loaders of data run the check in threads and inside of
            TensorFlow, which make another error of it; the guard of the call asks here afterwards.
    """

    def __init__(self, attached: Attached) -> None:
        self._attached = attached
        self.failure: InputContractError | None = None

    def check(self, inputs: Any) -> None:
        """Look at ``inputs``, in Keras's structure.

        Raises:
            InputContractError: they break a rule, and the contract is enforced.
            AuditError: that they do is only told, but cannot be recorded and must be.
        """
        try:
            self._attached.contract.check(inputs)
        except InputContractError as error:
            self._answer(error)

    def check_batch(self, batch: Any) -> None:
        """As :meth:`check`, of what a source of data gives: inputs, or a tuple that begins with
        them."""
        self.check(inputs_of(batch))

    def refuse_source(self, source: Any) -> None:
        """Refuse what gives its batches to nobody but the model; raises as :meth:`check`."""
        name = f"{type(source).__module__}.{type(source).__qualname__}"
        self._answer(
            InputContractError(
                f"the model has an input contract, and the batches of a {name} cannot be looked at",
                rule="source",
                remedy="Give the model the data set itself, arrays or a generator; or set "
                'inputs = "off" for this model.',
            )
        )

    def _answer(self, error: InputContractError) -> None:
        error.path = error.path or self._attached.path
        # What was asked may be somebody's secret: the record tells of rules and counts alone.
        facts = {"input": error.input, "rule": error.rule, "count": error.count}
        if self._attached.is_enforced:
            self.failure = self.failure or error
            audit.record("inputs", error.path, outcome="refused", **facts)
            raise error
        audit.record("inputs", error.path, outcome="warned", **facts)
        notices.warn(error.facts(), once=(error.path, error.input, error.rule))


def inputs_of(batch: Any) -> Any:
    """What Keras gives the model of a batch: ``x`` of ``(x,)``, ``(x, y)`` and ``(x, y, weights)``.

    Keras refuses longer ones itself.
    """
    return batch[0] if isinstance(batch, tuple | list) and batch else batch
