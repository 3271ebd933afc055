# SPDX-License-Identifier: Apache-2.0
"""What can be published, and whether a machine could use it."""

from __future__ import annotations

from keras_integrity_hook.errors import ConfigurationError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.settings import toml_file
from keras_integrity_hook.settings.toml_file import Layer
from keras_integrity_hook.signing import newcomers, trust_file, trust_store

SIGSTORE, TRUST, POLICY = "trusted_root.json", "trust.toml", "policy.toml"
TARGETS = (SIGSTORE, TRUST, POLICY)
"""In the order in which they are put in place: a policy asks for what trust files have."""

LENGTHS = {SIGSTORE: LIMITS.bundle, TRUST: LIMITS.trust_file, POLICY: LIMITS.policy}
"""The most bytes that each may have."""


def check(name: str, data: bytes, path: str, layer: Layer = Layer.MACHINE) -> None:
    """Refuse what would be a mistake where it is put.

    Args:
        name: one of :data:`TARGETS`.
        path: of the file, for the message.
        layer: whose policy it would be.

    Raises:
        ConfigurationError: it would be one; the message has its line.
    """
    if len(data) > LENGTHS[name]:
        raise ConfigurationError(f"is over {LENGTHS[name]} bytes", path=path)
    if name == POLICY:
        toml_file.parse(data, path, layer)
    elif name == TRUST:
        found = trust_file.parse(data, path)
        for key in (*found.keys, *found.vetters):
            trust_store.checked(key)
    elif not newcomers.is_trusted_root(data):
        raise ConfigurationError("is no trusted root of sigstore's", path=path)
