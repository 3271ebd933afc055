# SPDX-License-Identifier: Apache-2.0
"""The contract in a seal, which may be of a later version than this."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras_integrity_hook.contracts import spelling
from keras_integrity_hook.contracts.contract import InputContract
from keras_integrity_hook.errors import ConfigurationError, MalformedSealError


class Sealed(NamedTuple):
    """What a seal says of inputs.

    Attributes:
        contract: None where the seal has none, or this version understands nothing of it.
        unknown: what of it this version does not know and so does not check; printable words.
    """

    contract: InputContract | None
    unknown: tuple[str, ...] = ()


def from_seal(value: Any) -> Sealed:
    """The contract of a seal, whose statement has ``value`` for its ``inputs``.

    A rule that a later version brought is left out and named: what is known still holds.

    Args:
        value: JSON values without floats; None where the seal has no contract.

    Raises:
        MalformedSealError: what this version knows of it has a wrong value.
    """
    if value is None:
        return Sealed(None)
    try:
        inputs, unknown = spelling.read(value)
    except ConfigurationError as error:
        raise MalformedSealError(f"the seal's input contract is none: {error.cause}") from error
    return Sealed(None if inputs is None else InputContract.of(inputs), unknown)
