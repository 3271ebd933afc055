# SPDX-License-Identifier: Apache-2.0
"""The guards of loads that a policy may answer with another model.

Functions that return a model are. Those that load weights into the caller's model are not: the
weights of one model are no stand-in for those of another, and a half-fitting model helps nobody.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from keras_integrity_hook.hooks import calls
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.loading import fallback


def _as_it_is(model: Any) -> Any:
    return model


def answered(
    guard: Function, argument: str = "filepath", returned: Callable[[Any], Any] = _as_it_is
) -> Function:
    """``guard``, called again with another path where the policy says so.

    Args:
        argument: the name of the path's argument.
        returned: what the wrapped function returns for a model.
    """

    @functools.wraps(guard)
    def answering(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        path = calls.path_argument(wrapped, args, kwargs, argument)

        def load(where: str) -> Any:
            if where == (path or ""):  # the user's own arguments, whatever type the path has
                return guard(wrapped, instance, args, kwargs)
            other = calls.bound_with(wrapped, args, kwargs, **{argument: where})
            return guard(wrapped, instance, other.args, other.kwargs)

        return fallback.answered(path, load, returned=returned)

    return answering
