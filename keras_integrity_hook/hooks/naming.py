# SPDX-License-Identifier: Apache-2.0
"""The name of the model that is being saved, for its seal."""

from __future__ import annotations

import functools
from typing import Any

from keras_integrity_hook.hooks import calls
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.saving import provenance


def names_model(guard: Function) -> Function:
    """Let what ``guard``, that of a save, seals name the model: the argument of that name, or the
    one that a callback belongs to."""

    @functools.wraps(guard)
    def naming(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        with provenance.naming(_model(wrapped, instance, args, kwargs)):
            return guard(wrapped, instance, args, kwargs)

    return naming


def _model(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    try:
        given = calls.bind(wrapped, args, kwargs).get("model")
    except TypeError:  # the guard passes the call on, for the original to raise it
        return None
    return getattr(instance, "model", None) if given is None else given
