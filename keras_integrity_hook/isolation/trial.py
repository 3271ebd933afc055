# SPDX-License-Identifier: Apache-2.0
"""A trial load: does this model load in a sandbox, and what did it try there?

It is asked once with made-up input, too: a Lambda of a model runs only then. Whether that works
says nothing; what was tried does.
"""

from __future__ import annotations

import contextlib
from typing import Any

from keras_integrity_hook.errors import SandboxedModelError
from keras_integrity_hook.isolation import made_up
from keras_integrity_hook.isolation.model_bytes import ModelFiles
from keras_integrity_hook.isolation.process import ConfinedProcess


def try_load(model: ModelFiles, *, host: str, options: dict[str, Any]) -> dict[str, str]:
    """Load ``model`` in a confined process of its own, which ends afterwards.

    Args:
        host: the package that loads it, see ``hosts``.
        options: keyword arguments of ``load_model``, as JSON-able values.

    Returns:
        the versions of Keras and its backend that loaded it, by name.

    Raises:
        SandboxUnavailableError: no process can be confined here.
        SandboxViolationError: it tried what is forbidden, be it that it loads all the same.
        SandboxLimitError, SandboxedModelError: it is no model to load here.
    """
    process = ConfinedProcess(host=host)
    try:
        loaded = process.load(model, options)
        with contextlib.suppress(SandboxedModelError):
            made_up.ask(process, loaded, made_up.RANDOM)
        return process.versions
    finally:
        process.close()
