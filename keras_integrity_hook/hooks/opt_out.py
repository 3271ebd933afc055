# SPDX-License-Identifier: Apache-2.0
"""Somebody switched the hook off, or tried to where the machine's policy does not let them."""

from __future__ import annotations

import os

from keras_integrity_hook import audit
from keras_integrity_hook.settings import MODE_VARIABLE, Mode, Settings

_recorded: set[str] = set()


def record_once(said: Settings, module: str) -> None:
    """Record an opt-out, once in a process, when the first module that is watched is imported.

    Args:
        said: the settings of the process.
        module: the module being imported.

    Raises:
        AuditError: see :func:`audit.record`.
    """
    asked = os.environ.get(MODE_VARIABLE, "").lower() == Mode.OFF
    if said.mode is Mode.OFF:
        _record("off", said.origins.get("mode", ""), module)
    elif asked and "mode" in said.locked:
        _record(
            "refused", f"the machine's policy locks the mode, so {MODE_VARIABLE} is ignored", module
        )


def _record(outcome: str, why: str, module: str) -> None:
    if outcome not in _recorded:
        audit.record("opt-out", outcome=outcome, why=why, module=module)
        _recorded.add(outcome)
