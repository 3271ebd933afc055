# SPDX-License-Identifier: Apache-2.0
"""The contract that the user states for the models that are saved in a ``with`` block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from keras_integrity_hook.errors import ConfigurationError

if TYPE_CHECKING:
    from keras_integrity_hook.contracts.contract import InputContract
else:  # for those who look annotations up at run time
    InputContract = object

# As a seal spells it: whoever saves without a contract does not import what contracts are.
_stated: ContextVar[Any] = ContextVar("_stated", default=None)


@contextlib.contextmanager
def contract(inputs: InputContract | None) -> Iterator[None]:
    """Put an input contract into the seals of the models that are saved or sealed in this block.

    It stands in the seal, and signatures cover it. Where the model is loaded it is held against
    what the model is given. Blocks may be nested; the inner one counts. A block counts for its own
    thread and asynchronous task alone.

    Args:
        inputs: the contract; None for none, within a block that states one.

    Raises:
        ConfigurationError: it is no :class:`InputContract`; nothing is saved.
        LimitExceededError: it is longer than a seal may say (64 KiB).

    Example:
        >>> from keras_integrity_hook import InputContract, InputRules, contract
        >>> with contract(InputContract(InputRules("age", (None, 1), minimum=0, maximum=130))):
        ...     pass  # model.save("risk.keras")
    """
    with stating(None if inputs is None else _spelt(inputs)):
        yield


@contextlib.contextmanager
def stating(value: Any) -> Iterator[None]:
    """As :func:`contract`, of a contract as a seal spells it."""
    token = _stated.set(value)
    try:
        yield
    finally:
        _stated.reset(token)


def current() -> Any:
    """The contract for seals that are made now, as they spell it; None where there is none."""
    return _stated.get()


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
