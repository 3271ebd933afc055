# SPDX-License-Identifier: Apache-2.0
"""What a policy has in store for a refused load: a model in its place, or a function to call.

The model in its place is loaded as any other, under the same policy. Nothing takes *its* place.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from keras_integrity_hook import audit, notices, settings
from keras_integrity_hook.errors import (
    AuditError,
    ConfigurationError,
    FallbackWarning,
    IntegrityError,
    NotActiveError,
    OverrideRefusedError,
    UnsupportedKerasError,
    printable,
)

# These say nothing of the model: another one would not be any safer.
_FINAL = (
    AuditError,
    ConfigurationError,
    NotActiveError,
    OverrideRefusedError,
    UnsupportedKerasError,
)
_is_nested: ContextVar[bool] = ContextVar("_is_outermost_known", default=False)


def load_or_fall_back(
    path: str | None,
    load: Callable[[str], Any],
    *,
    returned: Callable[[Any], Any] = lambda model: model,
) -> Any:
    """What ``load(path)`` returns; if it is refused, what the policy has in store for that.

    Only the outermost of nested calls falls back.

    Args:
        path: what the user asked for; None for what is no local path, and is no business of ours.
        load: called with that path, and perhaps with the one of the fallback.
        returned: what ``load`` returns for a model that a called function gave.

    Raises:
        IntegrityError: the refusal, with a note on a fallback that could not be loaded either.
        ConfigurationError: the function that the policy names is none.
        AuditError: it could not be recorded, and the policy says that it must be.
    """
    if path is None or _is_nested.get():
        return load(path or "")
    token = _is_nested.set(True)
    try:
        return _loaded_or_fallen_back(path, load, returned)
    finally:
        _is_nested.reset(token)


def _loaded_or_fallen_back(
    path: str, load: Callable[[str], Any], returned: Callable[[Any], Any]
) -> Any:
    try:
        return load(path)
    except _FINAL:
        raise
    except IntegrityError as error:
        refused = error
    # Not while the refusal is handled: it would stand behind every error of the other load.
    demands = settings.at(path)
    if demands.on_failure is settings.OnFailure.FALLBACK and demands.fallback:
        return _fallen_back(path, refused, demands.fallback, load)
    if demands.on_failure is settings.OnFailure.CALL and demands.call:
        return returned(_called(path, refused, demands.call))
    raise refused


def _fallen_back(
    path: str, error: IntegrityError, fallback: str, load: Callable[[str], Any]
) -> Any:
    try:
        model = load(fallback)
    except Exception as second:  # whatever it is, the first refusal is what matters
        why = f"{type(second).__name__}: {printable(str(second))}"
        error.add_note(f"The fallback {printable(fallback)} could not be loaded either: {why}")
        raise error from None
    message = f"{printable(fallback)} was loaded in place of {printable(path)}, which was refused"
    audit.record("fallback", path, outcome="ok", why=message, fallback=fallback, error=error)
    notices.warn(f"{message}: {error.cause}", FallbackWarning)
    return model


def _called(path: str, error: IntegrityError, name: str) -> Any:
    function = _function(path, error, name)
    message = f"{printable(name)} is called, because of: {error.in_one_line()}"
    audit.record("fallback", path, outcome="called", why=message, call=name, error=error)
    return function(error)


def _function(path: str, error: IntegrityError, name: str) -> Callable[[IntegrityError], Any]:
    """The function ``"package.module:function"``. Raises ConfigurationError."""
    module, _, attribute = name.partition(":")
    try:
        target = importlib.import_module(module)
        for step in attribute.split("."):
            target = getattr(target, step)
    except Exception as problem:  # a module may do anything while it is imported
        cause = f"'{printable(name)}', which a refused load is to call, cannot be imported"
        message = f"{cause} ({type(problem).__name__}: {printable(str(problem))})"
        raise ConfigurationError(message, path=path) from error
    if not callable(target):
        cause = f"'{printable(name)}', which a refused load is to call, is no function"
        raise ConfigurationError(cause, path=path) from error
    return target
