# SPDX-License-Identifier: Apache-2.0
"""Warnings at the user's own line, and trouble that stops nothing.

Nothing here takes a lock: a child forked meanwhile, a signal handler and a finalizer may warn too.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Hashable, Iterable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from keras_integrity_hook import texts
from keras_integrity_hook.errors import IntegrityWarning, printable

if TYPE_CHECKING:
    from logging import Logger
else:  # for those who look annotations up at run time
    Logger = object

LOGGER = "keras_integrity_hook"
_FIRST, _REST = object(), object()
_EACH = frozenset({"error", "always", "all"})  # what a filter may do

# Frames between the user's line and ours, by the package of their module.
_BETWEEN = frozenset(
    {
        "contextlib",
        "importlib",
        "keras",
        "keras_hub",
        "keras_integrity_hook",
        "tensorflow",
        "tf_keras",
        "urllib",
        "wrapt",
    }
)
_KEYS_KEPT = 1 << 15  # above what one set may have files; the oldest are forgotten first
_seen: dict[Hashable, object] = {}


def warn(
    message: str | Sequence[str],
    category: type[IntegrityWarning] = IntegrityWarning,
    *,
    once: Hashable = None,
    covers: Iterable[Hashable] = (),
    rest: str | None = None,
) -> None:
    """Warn at the user's line: the innermost frame outside this package and the libraries we wrap.

    Args:
        message: one fact, or several, which are shown one a line; control characters are escaped.
        once: a key, such as a path. In one process a category warns once for each key; None warns
            each time, as far as the program's filters let it.
        covers: further keys that this warning speaks for, such as the files of a set.
        rest: said once in place of the second and all later warnings of this category. Where the
            program's filters show each, or make it an error, each says its own.

    Raises:
        IntegrityWarning: the program's filters make it an error. The key is then forgotten, so
            that trying again raises again.
    """
    key, first = (category, once), (category, _FIRST)
    if once is not None and not first_time(key):
        return
    facts = [message] if isinstance(message, str) else message
    frame = _users_frame()
    is_later = rest is not None and not first_time(first)
    try:
        if rest is None or not is_later or _is_each_shown(frame, facts[0], category):
            _warn_at(frame, facts, category)
        elif first_time((category, _REST)):
            _warn_at(frame, [rest], category)
    except BaseException:
        _seen.pop(key, None)
        if not is_later:
            _seen.pop(first, None)
        raise
    for other in covers:
        first_time((category, other))


def _is_each_shown(frame: FrameType, text: str, category: type[Warning]) -> bool:
    """Whether the program's filters show every such warning, or raise it."""
    module = str(frame.f_globals.get("__name__", ""))
    # Python 3.14 has filters for a context as well.
    filters = getattr(warnings, "_get_filters", lambda: warnings.filters)()
    for action, message, kind, where, line in filters:
        if (
            issubclass(category, kind)
            and _is_meant(message, text)
            and _is_meant(where, module)
            and line in (0, frame.f_lineno)
        ):
            return action in _EACH
    return getattr(warnings, "defaultaction", "default") in _EACH


def _is_meant(pattern: Any, text: str) -> bool:
    """Whether a part of a filter is for ``text``: None for any, a regular expression, a text."""
    if pattern is None or isinstance(pattern, str):
        return pattern in (None, text)
    return bool(pattern.match(text))


def trouble(text: str) -> None:
    """Log ``text`` and warn of it, the first time in this process. Never raises.

    For what went wrong beside a load or save and must not stop it.
    """
    if first_time((trouble, text)):
        with contextlib.suppress(Exception):  # a program's own logging filter or handler
            logger().warning("%s", printable(text))
        tell(text)


def tell(text: str) -> None:
    """Warn of ``text``, the first time in this process. Never raises: where the program's filters
    make errors of warnings nothing is to be undone, and the log has it."""
    with contextlib.suppress(Exception):
        warn(text, once=(tell, text))


def overwritten(path: str, why: str, *, place: str) -> None:
    """Log that a save of ``path`` overwrites in place what a crash would leave damaged.

    Args:
        why: it cannot be done otherwise, as a clause.
        place: its directory. In one process it is spoken of once for each reason, however many
            files a set has there and however often it is saved.
    """
    if first_time((overwritten, place, why)):
        text = "save %s: %s, so it is overwritten in place; a crash now would leave it damaged"
        logger().warning(text, printable(path), printable(why))


def logger() -> Logger:
    """The package's logger. What is logged goes to the handlers that the program has, if any.

    It has a handler that does nothing. Without it, and where the program has none, Python would
    print warnings and errors to standard error, which is for the program to decide.
    """
    import logging

    ours = logging.getLogger(LOGGER)
    if not ours.handlers:
        ours.addHandler(logging.NullHandler())
    return ours


def first_time(key: Hashable) -> bool:
    """Whether ``key`` is new to this process; it is not, from now on. Holds a bounded number."""
    token = object()
    first = _seen.setdefault(key, token) is token  # atomic: of several threads one is the first
    while len(_seen) > _KEYS_KEPT:
        # Another thread may add or forget one meanwhile.
        with contextlib.suppress(KeyError, RuntimeError, StopIteration):
            del _seen[next(iter(_seen))]
    return first


def _users_frame() -> FrameType:
    frame = outermost = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        if not _is_between(frame):
            return frame
        outermost = frame
    return outermost


def _is_between(frame: FrameType) -> bool:
    module = frame.f_globals.get("__name__")
    return isinstance(module, str) and module.partition(".")[0] in _BETWEEN


def _warn_at(frame: FrameType, facts: Sequence[str], category: type[Warning]) -> None:
    # Not warnings.warn with a stack level: it counts frames otherwise than they are stacked where
    # an import is among them.
    variables = frame.f_globals
    before = f"{frame.f_code.co_filename}:{frame.f_lineno}: {category.__name__}: "
    warnings.warn_explicit(
        texts.laid_out([*map(printable, facts)], after=len(before)),
        category,
        filename=frame.f_code.co_filename,
        lineno=frame.f_lineno,
        module=str(variables.get("__name__", "<unknown>")),
        registry=variables.setdefault("__warningregistry__", {}),
    )
