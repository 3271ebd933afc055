# SPDX-License-Identifier: Apache-2.0
"""The input contract that a model in memory came with, kept on the model itself.

Models that Keras makes anew from another one's configuration and weights (``clone_model``, pickles
and copies) are other models, which no seal is for: they have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

_ATTRIBUTE = "_keras_integrity_inputs"


class Checking(Protocol):
    """What can be asked whether inputs are allowed: an ``InputContract``."""

    def check(self, inputs: Any) -> None:
        """Raise InputContractError where ``inputs``, in Keras's structure, break a rule."""


@dataclass(frozen=True, slots=True)
class Attached:
    """A contract, and what is in force for it, settled when the model was loaded.

    Attributes:
        contract: what the model may be asked.
        path: where the model was loaded from, as the user named it.
        is_enforced: what breaks the contract is refused; else it is told, and the model runs.
        at: where inputs are looked at: of ``"predict"``, ``"evaluate"`` and ``"call"``.
    """

    contract: Checking
    path: str
    is_enforced: bool
    at: frozenset[str]


def attach(model: Any, attached: Attached) -> None:
    """Let ``model`` have this contract and no other."""
    # Past the model's own __setattr__, which would track it as a part of the model.
    object.__setattr__(model, _ATTRIBUTE, attached)


def of(model: Any) -> Attached | None:
    """What ``model`` came with; None where it has no contract."""
    attributes: Mapping[str, Any] = getattr(model, "__dict__", {})
    found = attributes.get(_ATTRIBUTE)
    return found if isinstance(found, Attached) else None
