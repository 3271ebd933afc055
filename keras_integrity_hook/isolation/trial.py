# SPDX-License-Identifier: Apache-2.0
"""A trial load: does this model load in a sandbox, and what did it try there?

It is asked once with made-up input, too: a Lambda of a model runs only then. Whether that works
says nothing; what was tried does.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from keras_integrity_hook.errors import SandboxedModelError
from keras_integrity_hook.isolation import made_up
from keras_integrity_hook.isolation.attempts import Attempt
from keras_integrity_hook.isolation.model_bytes import ModelFiles
from keras_integrity_hook.isolation.process import ConfinedProcess
from keras_integrity_hook.isolation.sandbox_limits import SandboxLimits


class Trial(NamedTuple):
    """How a trial load went; it went well, or it would have raised.

    Attributes:
        attempts: what was refused; empty unless that was to be tolerated.
        versions: of Keras and its backend, by name.
        printed: the end of what was printed.
    """

    attempts: tuple[Attempt, ...]
    versions: dict[str, str]
    printed: str


def try_load(  # noqa: PLR0913
    model: ModelFiles,
    *,
    limits: SandboxLimits | None = None,
    host: str = "keras",
    options: dict[str, Any] | None = None,
    path: str | None = None,
    is_strict: bool = True,
) -> Trial:
    """Load ``model`` in a confined process of its own, which ends afterwards.

    Args:
        options: keyword arguments of ``load_model``, as JSON-able values.
        path: what errors call the model.
        is_strict: whatever it tries and is refused is an error, also where it loads all the same.

    Raises:
        SandboxUnavailableError: no process can be confined here.
        SandboxViolationError, SandboxLimitError, SandboxedModelError: it is no model to load here.
    """
    process = ConfinedProcess(limits, host=host)
    try:
        process.path = path
        process.is_strict = is_strict
        loaded = process.load(model, options or {})
        with contextlib.suppress(SandboxedModelError):
            made_up.ask(process, loaded, made_up.RANDOM)
        return Trial(tuple(process.attempts), process.versions, process.printed)
    finally:
        process.close()
