# SPDX-License-Identifier: Apache-2.0
"""Where events are to be recorded, and whether they must be."""

from __future__ import annotations

from typing import NamedTuple

from keras_integrity_hook import settings
from keras_integrity_hook.errors import IntegrityError


class Demand(NamedTuple):
    """The settings ``audit_log`` and ``audit_required``."""

    target: str | None
    required: bool


def current() -> Demand:
    """What is configured; where that has a mistake, what the machine's policy says by itself.

    Otherwise a variable that somebody misspelt on purpose would switch off a log that is locked.
    """
    try:
        said = settings.at()
    except IntegrityError:
        return _by_machine()
    return Demand(said.audit_log, said.audit_required)


def _by_machine() -> Demand:
    from keras_integrity_hook.limits import LIMITS
    from keras_integrity_hook.policy import layers, machine, toml_file

    try:
        data = machine.read_root_owned(machine.POLICY, LIMITS.policy)
        if data is None:
            return Demand(None, False)
        policy = toml_file.parse(data, machine.POLICY, toml_file.Layer.MACHINE)
    except IntegrityError:
        return Demand(None, False)  # the mistake is in this one: nothing is loaded
    said = layers.resolve(layers.Layers((policy,), policy, {}), None)
    return Demand(said.audit_log, said.audit_required)
