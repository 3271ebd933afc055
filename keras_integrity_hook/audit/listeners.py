# SPDX-License-Identifier: Apache-2.0
"""Who is told of events besides the audit log: entry points of ``keras_integrity_hook.listeners``.

A listener is called with the event, a dict as docs/audit.md describes it. It cannot fail or hold up
a load: what it raises is logged, and one that takes longer than two seconds is left behind.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

from keras_integrity_hook import notices, plugins
from keras_integrity_hook.audit import telemetry

GROUP = "keras_integrity_hook.listeners"

_log = notices.logger()
_Event = Mapping[str, Any]


class Listener(NamedTuple):
    """Another distribution's listener, and its entry point for messages about it."""

    name: str
    hear: Callable[[dict[str, Any]], object]


class _Text(NamedTuple):
    """A log line: its level, its text, and the words in it."""

    level: int
    text: str
    words: tuple[str, ...]


_TEXTS = {
    ("load", "ok"): _Text(logging.INFO, "load %s: %s", ("path", "assurance")),
    ("save", "ok"): _Text(logging.INFO, "save %s: sealed", ("path",)),
    ("save", "unsealed"): _Text(logging.WARNING, "save %s: not sealed: %s", ("path", "why")),
    ("load", "unsealed"): _Text(logging.INFO, "load %s: unsealed", ("path",)),
    ("load", "unchecked"): _Text(logging.WARNING, "load %s: not checked: %s", ("path", "why")),
    ("fallback", "ok"): _Text(logging.WARNING, "fallback: %s", ("why",)),
    ("fallback", "called"): _Text(logging.WARNING, "fallback: %s", ("why",)),
    ("fallback", "retried"): _Text(
        logging.WARNING, "backup: trying the one before, because of: %s", ("why",)
    ),
    ("download", "warned"): _Text(logging.WARNING, "downloaded in spite of: %s", ("why",)),
    ("history", "forgotten"): _Text(logging.WARNING, "%s: its history is forgotten", ("path",)),
    ("inputs", "refused"): _Text(logging.WARNING, "%s was not run: %s", ("path", "why")),
    ("inputs", "warned"): _Text(logging.WARNING, "%s was run in spite of: %s", ("path", "why")),
    ("opt-out", "off"): _Text(logging.INFO, "off, models are not checked: %s", ("why",)),
    ("opt-out", "refused"): _Text(logging.WARNING, "keras-integrity-hook stays on: %s", ("why",)),
}
_BY_OUTCOME = {
    "refused": _Text(logging.ERROR, "refused: %s", ("why",)),
    "warned": _Text(logging.WARNING, "loaded in spite of: %s", ("why",)),
    "overridden": _Text(logging.WARNING, "overridden %s: %s", ("path", "why")),
}
_TOLD = {("save", "unsealed"), ("load", "unchecked"), ("opt-out", "refused")}
"""Of which nothing else warns: whoever has set up no logging is to know of them, too."""
_OTHERS = _Text(logging.INFO, "%s %s: %s", ("event", "path", "outcome"))

_found: tuple[Listener, ...] | None = None
# Whether the code that runs was called as a listener, or imported to be one: what it causes in turn
# is recorded, and not told to listeners again.
_is_listener: ContextVar[bool] = ContextVar("_is_listener", default=False)


def is_heard(event: str, outcome: str) -> bool:
    """Whether anybody listens to such an event. The first call looks for entry points."""
    if telemetry.is_present() or (event, outcome) in _TOLD or others():
        return True
    return _log.isEnabledFor(_text_for(event, outcome).level)


def tell(event: dict[str, Any]) -> None:
    """Call every listener; never raises and returns within seconds."""
    from keras_integrity_hook.audit import timeouts

    for built_in in (log, telemetry.emit):
        try:
            built_in(event)
        except Exception as error:  # a program's own logging filter or span processor
            notices.trouble(f"audit: {built_in.__module__} failed: {error!r}")
    for listener in others():
        token = _is_listener.set(True)
        try:
            timeouts.call(listener.name, listener.hear, copy.deepcopy(event))
        except BaseException as error:  # SystemExit as well: it was raised in a thread
            notices.trouble(f"audit: listener {listener.name} failed: {error!r}")
        finally:
            _is_listener.reset(token)


def log(event: _Event) -> None:
    """The built-in listener: a line for people, through the logger ``keras_integrity_hook``."""
    kind = event["event"], event["outcome"]
    level, text, words = _text_for(*kind)
    said = tuple(_word(event, word) for word in words)
    if _log.isEnabledFor(level):
        _log.log(level, text, *said)
    if kind in _TOLD:
        notices.tell(text % said)


def others() -> tuple[Listener, ...]:
    """The listeners of other distributions, looked for once in a process."""
    global _found  # noqa: PLW0603
    if _is_listener.get():
        return ()
    if _found is None:
        # No lock: another thread may search too, and a fork meanwhile leaves nothing locked.
        token = _is_listener.set(True)
        try:
            _found = tuple(_search())
        finally:
            _is_listener.reset(token)
    return _found


def _search() -> list[Listener]:
    found = []
    try:
        points = list(plugins.named(GROUP))
    except Exception as error:  # a distribution with broken metadata
        notices.trouble(f"audit: listeners cannot be looked for: {error!r}")
        return []
    for point in points:
        try:
            found.append(Listener(point.value, point.load()))
        except Exception as error:
            notices.trouble(f"audit: listener {point.value} cannot be loaded: {error!r}")
    return found


def _text_for(event: str, outcome: str) -> _Text:
    return _TEXTS.get((event, outcome)) or _BY_OUTCOME.get(outcome, _OTHERS)


def _word(event: _Event, word: str) -> object:
    facts = event["facts"]
    if word in event:
        return event[word]
    if word != "why" or "why" in facts:
        return facts.get(word, "")
    error = facts.get("error")
    return _sentence(error) if isinstance(error, dict) else ""


def _sentence(error: Mapping[str, Any]) -> str:
    """What happened and what to do, in one line."""
    where = f"{error['path']}: " if error.get("path") else ""
    remedy = f". {error['remedy']}" if error.get("remedy") else ""
    return f"{where}{error['message']}{remedy}"
