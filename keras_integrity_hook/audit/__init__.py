# SPDX-License-Identifier: Apache-2.0
"""What was saved, loaded, refused or switched off, told to whoever wants to know.

One event goes to the policy's audit log, a file for machines, and to the listeners: the built-in
ones (``logging`` for people, OpenTelemetry) and those that other distributions bring.
"""

from __future__ import annotations

import logging

from keras_integrity_hook.errors import AuditError, ConfigurationError, IntegrityError, printable

_log = logging.getLogger("keras_integrity_hook")
_NOT_DONE = frozenset({"refused", "failed"})


def record(event: str, path: str | None = None, *, outcome: str, **facts: object) -> None:
    """Tell what has happened, or is about to.

    With no audit log and nobody listening this returns within microseconds. Where the policy says
    ``audit_required``, call it before the model is handed out or put in its place: what cannot be
    recorded does not happen.

    Args:
        event: ``save``, ``load``, ``refusal``, ``override``, ``fallback``, ``opt-out``,
            ``late-activation``, ``download``, ``seal``, ``unseal``, ``reseal`` or ``sign``.
        path: the file concerned as the user named it; a URL without its secrets.
        outcome: ``ok``, ``refused``, ``warned``, ``overridden``, ``unsealed``, ``failed`` or
            ``off``. See docs/audit.md.
        facts: whatever else is known and no secret: text, numbers, sequences and mappings of
            them; an exception is written as its ``to_dict()``.

    Raises:
        AuditError: it could not be written to the log, the policy says ``audit_required``, and
            ``outcome`` is neither ``refused`` nor ``failed``: there nothing was handed out anyway.
    """
    from keras_integrity_hook.audit import listeners, log
    from keras_integrity_hook.audit.event import Event

    target, required = _demand(path)
    if not (target or required or listeners.is_heard(event, outcome)):
        return
    told = Event(event, path, outcome, facts)
    # First the record, then those who might hang.
    try:
        log.write(target, told)
    except AuditError as error:
        if required and outcome not in _NOT_DONE:
            raise
        log.report_once(error)
    listeners.tell(told)
