# SPDX-License-Identifier: Apache-2.0
"""The settings in force: what every other room asks, each time it wants to know."""

from __future__ import annotations

from keras_integrity_hook.policy import layers
from keras_integrity_hook.policy.layers import MODE_VARIABLE
from keras_integrity_hook.policy.schema import Settings
from keras_integrity_hook.policy.words import (
    Downloads,
    Mode,
    OnFailure,
    Permissions,
    Require,
    Store,
    Unsealed,
)

__all__ = [
    "MODE_VARIABLE",
    "UNSEALED_VARIABLE",
    "Downloads",
    "Mode",
    "OnFailure",
    "Permissions",
    "Require",
    "Settings",
    "Store",
    "Unsealed",
    "at",
    "mode",
]

UNSEALED_VARIABLE = layers.variable_of("unsealed")


def at(path: str | None = None) -> Settings:
    """The settings in force at ``path``, or for the whole process where it is None.

    Raises:
        ConfigurationError: a policy file or an environment variable has a mistake.
        InsecurePermissionsError: somebody else could have written a policy file.
    """
    return layers.resolve(layers.current(), path)


def mode() -> Mode:
    """The mode in force (``KERAS_INTEGRITY``, default ``enforce``); raises as :func:`at`."""
    return at().mode
