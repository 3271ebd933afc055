# SPDX-License-Identifier: Apache-2.0
"""The input contracts of the models that are handed over, for whoever gets the model in memory.

A contract stands in the seal, and the seal is known where bytes are handed over; what is made of
them comes back to the guard that asked for them. Between the two stands this list.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from keras_integrity_hook import notices
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.contracts.attached import Attached
from keras_integrity_hook.errors import printable
from keras_integrity_hook.policy import admission
from keras_integrity_hook.settings import Inputs, Mode, Settings

if TYPE_CHECKING:
    from keras_integrity_hook.contracts.contract import InputContract
else:  # for those who look annotations up at run time
    InputContract = object

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
    demands = [
        each for each in admission.demands_on(model, *named) if each.inputs is not Inputs.OFF
    ]
    contract = _decoded(stated, model.path) if demands else None
    if contract is not None:
        # Under several names what is in force under any of them is.
        places = frozenset(place for each in demands for place in each.inputs_at)
        found.append(Attached(contract, model.path, any(map(_is_enforced, demands)), places))


def _is_enforced(demands: Settings) -> bool:
    return demands.inputs is Inputs.ENFORCE and demands.mode is Mode.ENFORCE


def _decoded(stated: Any, path: str) -> InputContract | None:
    """The contract, with a warning of what of it this version does not know and does not check."""
    from keras_integrity_hook.contracts import sealed

    found = sealed.from_seal(stated)
    if found.unknown:
        more = ", ".join(found.unknown)
        notices.warn(
            f"{printable(path)}: its input contract says more than this version checks: {more}",
            once=(path, found.unknown),
        )
    return found.contract
