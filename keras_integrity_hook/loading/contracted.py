# SPDX-License-Identifier: Apache-2.0
"""The input contracts of the models that are handed over, for whoever gets the model in memory.

A contract stands in the seal, and the seal is known where bytes are handed over; what is made of
them comes back to the guard that asked for them. Between the two stands this list.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from keras_integrity_hook import contracts
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.contracts.attached import Attached
from keras_integrity_hook.policy import admission
from keras_integrity_hook.settings import Inputs, Mode

_collected: ContextVar[list[Attached] | None] = ContextVar("_collected", default=None)


@contextlib.contextmanager
def collected() -> Iterator[list[Attached]]:
    """The contracts of what is handed over in this block, but for what an inner block collects: a
    model may load another one, which has its own."""
    found: list[Attached] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def note(model: SealedModel, *named: str) -> None:
    """Add the contract of ``model``, which is about to be handed over; one that nobody collects or
    that is not to be looked at is not read.

    Args:
        named: more paths that it is loaded by, as of :func:`admission.admit`.

    Raises:
        MalformedSealError: the seal has a contract that is none.
        ConfigurationError: the policy has a mistake.
    """
    found = _collected.get()
    stated = model.seal.statement.inputs
    if found is None or stated is None:
        return
    demands = admission.demands_on(model, *named)
    of_loads = [each for each in demands if each.inputs is not Inputs.OFF]
    contract = contracts.from_seal(stated) if of_loads else None
    if contract is None:
        return
    # Under several names what is in force under any of them is.
    is_enforced = any(
        each.inputs is Inputs.ENFORCE and each.mode is Mode.ENFORCE for each in of_loads
    )
    places = frozenset(place for each in of_loads for place in each.inputs_at)
    found.append(Attached(contract, model.path, is_enforced, places))
