# SPDX-License-Identifier: Apache-2.0
"""Tracebacks without the frames of this package: they are no help to whoever reads one.

Between the user's line and what went wrong stand the guards, several for each function of Keras.
They are left out of the traceback of what passes through a wrapper, as Keras leaves its own out,
and for as long as Keras's filter is on: ``keras.config.disable_traceback_filtering()`` shows all.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from keras_integrity_hook.errors import IntegrityError, IntegrityWarning

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")

_OURS = __name__.partition(".")[0]
# Called by our code and calling it again: of no more interest than ours.
_GLUE = frozenset({"contextlib", "functools", "wrapt"})
# What these raise they raise in the place of the host, or of Python itself.
_SPEAKING_FOR_OTHERS = (IntegrityError, IntegrityWarning, OSError)
_FILTERS = (
    "keras.src.utils.traceback_utils",
    "tensorflow.python.util.traceback_utils",  # and of tf_keras
)
_SWITCH = "is_traceback_filtering_enabled"
_EXCEPTIONS_AT_MOST = 32  # in a chain of causes


def left_out(function: Callable[_Params, _Result]) -> Callable[_Params, _Result]:
    """``function``, of whose exceptions the traceback shows the caller and no frame of ours."""

    @functools.wraps(function)
    def shortened(*args: _Params.args, **kwargs: _Params.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            leave_out(error)
            # A bare raise adds no entry for this frame again; any other would.
            raise

    return shortened


def of_a_guard(guard: Callable[..., Any]) -> Callable[..., Any]:
    """As :func:`left_out`, of what is called ``(wrapped, instance, args, kwargs)``."""

    def guarded(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        try:
            return guard(wrapped, instance, args, kwargs)
        except Exception as error:
            leave_out(error, is_callers=_is_callers(error, wrapped, args, kwargs))
            raise

    return guarded


def _is_callers(error: Exception, wrapped: Any, args: Any, kwargs: Any) -> bool:
    """Whether Python refuses the arguments themselves, which it does in the frame that calls."""
    if not isinstance(error, TypeError):
        return False
    import inspect

    try:
        inspect.signature(wrapped).bind(*args, **kwargs)
    except TypeError:
        return True
    except ValueError:  # it has no signature
        pass
    return False


def leave_out(error: BaseException, *, is_callers: bool = False) -> None:
    """Leave our frames out of the traceback of ``error`` and of those that led to it.

    A defect of this package keeps all of its frames, or nobody could mend it.

    Args:
        is_callers: ``error`` is no defect of ours, although it arose in our frame.
    """
    # An exception is anybody's class. What its attributes raise must not take its place.
    with contextlib.suppress(Exception):
        if _is_filtering():
            _leave_out(error, is_callers=is_callers)


def _leave_out(error: BaseException, *, is_callers: bool) -> None:
    seen: set[int] = set()
    rest: list[BaseException | None] = [error]
    while rest and len(seen) < _EXCEPTIONS_AT_MOST:
        one = rest.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        rest += [one.__cause__, None if one.__suppress_context__ else one.__context__]
        if (is_callers and one is error) or not _is_defect(one):
            one.__traceback__ = _without_ours(one.__traceback__)


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    """A new traceback; the one that is given may be somebody else's as well."""
    kept = []
    is_ours = False
    while traceback is not None:
        module = _module(traceback)
        is_ours = module == _OURS or (is_ours and module in _GLUE)
        if not is_ours:
            kept.append(traceback)
        traceback = traceback.tb_next
    shown: TracebackType | None = None
    for one in reversed(kept):
        shown = TracebackType(shown, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return shown


def _is_defect(error: BaseException) -> bool:
    """Whether ``error`` arose in our code, or in the standard library that our code called."""
    if isinstance(error, _SPEAKING_FOR_OTHERS):
        return False
    arose = None
    traceback = error.__traceback__
    while traceback is not None:
        if _module(traceback) not in sys.stdlib_module_names:
            arose = traceback
        traceback = traceback.tb_next
    return arose is not None and _module(arose) == _OURS


def _module(traceback: TracebackType) -> str:
    """The package, or module without one, whose frame it is."""
    return str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_filtering() -> bool:
    """Whether every loaded Keras, and TensorFlow, leaves its own frames out."""
    asked = [getattr(sys.modules.get(name), _SWITCH, None) for name in _FILTERS]
    return all(is_enabled() for is_enabled in asked if is_enabled is not None)
