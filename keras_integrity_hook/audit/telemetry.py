# SPDX-License-Identifier: Apache-2.0
"""The built-in listener that hands events to OpenTelemetry, where the program uses it.

Its API is never imported here: a program that has not imported it has no span either.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from keras_integrity_hook._version import __version__

PREFIX = "keras_integrity."
_TRACE = "opentelemetry.trace"
_LOGS = "opentelemetry._logs"
_SEVERITIES = {"ok": 9, "refused": 17, "failed": 17}  # SeverityNumber: INFO and ERROR
_WARN = 13


def is_present() -> bool:
    """Whether this process has imported the API."""
    return _TRACE in sys.modules or _LOGS in sys.modules


def emit(event: Mapping[str, Any]) -> None:
    """Add the event to the current span, if one is recorded, and to the program's logs.

    Where the program configured neither, the API does nothing.
    """
    name = PREFIX + event["event"]
    trace, logs = sys.modules.get(_TRACE), sys.modules.get(_LOGS)
    if trace is not None:
        span = trace.get_current_span()
        if span.is_recording():
            span.add_event(name, dict(_attributes(event)))
    if logs is not None:
        logger = logs.get_logger("keras_integrity_hook", __version__)
        number = logs.SeverityNumber(_SEVERITIES.get(event["outcome"], _WARN))
        attributes = {"event.name": name, **dict(_attributes(event))}
        body = f"{event['event']} {event['path'] or ''}: {event['outcome']}"
        logger.emit(logs.LogRecord(severity_number=number, body=body, attributes=attributes))


def _attributes(event: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Flat, as OpenTelemetry wants them: text, numbers, and lists of text."""
    flat = {"outcome": event["outcome"], "path": event["path"], **event["facts"]}
    for name, value in flat.items():
        if isinstance(value, dict):
            inner = {key: value[key] for key in ("code", "message") if key in value}
            yield from ((f"{PREFIX}{name}.{key}", str(text)) for key, text in inner.items())
        elif isinstance(value, list):
            yield PREFIX + name, [str(one) for one in value]
        elif value is not None:
            yield PREFIX + name, value
