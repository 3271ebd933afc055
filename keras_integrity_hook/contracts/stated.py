# SPDX-License-Identifier: Apache-2.0
"""The contract that the user states for the models that are saved in a ``with`` block."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from keras_integrity_hook.errors import ConfigurationError

if TYPE_CHECKING:
    from keras_integrity_hook.contracts.contract import InputContract
else:  # for those who look annotations up at run time
    InputContract = object

# As seals spell them: whoever saves without a contract does not import what contracts are. A tuple
# of one where something is stated, which may be that there is none.
_Stated = tuple[()] | tuple[Any]
_stated: ContextVar[_Stated] = ContextVar("_stated", default=())
_kept: ContextVar[Any] = ContextVar("_kept", default=None)


@contextlib.contextmanager
def contract(inputs: InputContract | None) -> Iterator[None]:
    """Put an input contract into the seals of the models that are saved or sealed in this block.

    It stands in the seal, and signatures cover it. Where the model is loaded it is held against
    what the model is given. Blocks may be nested; the inner one counts. A block counts for its own
    thread and asynchronous task alone.

    A model that was loaded with a contract keeps it when it is saved or exported anew, without such
    a block.

    Args:
        inputs: the contract; None for none, whatever was loaded or an outer block says.

    Raises:
        ConfigurationError: it is no :class:`InputContract`; nothing is saved.
        LimitExceededError: it is longer than a seal may say (64 KiB).

    Example:
        >>> from keras_integrity_hook import InputContract, InputRules, contract
        >>> with contract(InputContract(InputRules("age", (None, 1), minimum=0, maximum=130))):
        ...     pass  # model.save("risk.keras")
    """
    token = _stated.set((None if inputs is None else _spelt(inputs),))
    try:
        yield
    finally:
        _stated.reset(token)


@contextlib.contextmanager
def kept(value: Any) -> Iterator[None]:
    """Let seals that are made in this block say the contract ``value``, unless the user states one.

    Args:
        value: as a seal spells it; None for none.
    """
    token = _kept.set(value)
    try:
        yield
    finally:
        _kept.reset(token)


@contextlib.contextmanager
def kept_of(model: Any) -> Iterator[None]:
    """As :func:`kept`, with the contract that ``model`` came with; one that came with none leaves
    it as it is."""
    value = of_model(model)
    with contextlib.nullcontext() if value is None else kept(value):
        yield


def of_model(model: Any) -> Any:
    """The contract that ``model`` came with when it was loaded, as a seal spells it, or None."""
    attached = sys.modules.get(f"{__package__}.attached")
    found = None if attached is None else attached.of(model)
    return None if found is None else found.contract.to_dict()


def current() -> Any:
    """The contract for seals that are made now, as they spell it; None where there is none."""
    return (*_stated.get(), _kept.get())[0]


def _spelt(inputs: InputContract) -> Any:
    from keras_integrity_hook.contracts import spelling
    from keras_integrity_hook.contracts.contract import InputContract as Contract

    if not isinstance(inputs, Contract):
        what = type(inputs).__name__
        raise ConfigurationError(
            f"the input contract is of type {what}, not InputContract",
            remedy="Make one with InputContract.from_data(...); nothing was written.",
        )
    return spelling.checked(spelling.to_dict(inputs))
