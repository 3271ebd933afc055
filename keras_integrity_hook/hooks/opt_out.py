# SPDX-License-Identifier: Apache-2.0
"""Somebody switched the hook off, or tried to where the machine's policy does not let them."""

from __future__ import annotations

import os

from keras_integrity_hook import audit
from keras_integrity_hook.settings import MODE_VARIABLE, Mode, Settings

_recorded: set[str] = set()


def record_once(in_force: Settings, module: str) -> None:
    """Record an opt-out, once in a process, when the first module that is watched is imported.

    Args:
        in_force: the settings of the process.
        module: the module being imported.

    Raises:
        AuditError: see :func:`audit.record`.
    """
    asked = os.environ.get(MODE_VARIABLE, "").lower() == Mode.OFF
    if in_force.mode is Mode.OFF:
        _record("off", in_force.origins.get("mode", ""), module)
    elif asked and "mode" in in_force.locked:
        _record(
            "refused", f"the machine's policy locks the mode, so {MODE_VARIABLE} is ignored", module
        )


def _record(outcome: str, why: str, module: str) -> None:
    if outcome not in _recorded:
        audit.record("opt-out", outcome=outcome, why=why, module=module)
        _recorded.add(outcome)
