# SPDX-License-Identifier: Apache-2.0
"""What was saved, loaded, refused or switched off, for the record and for whoever listens.

One event goes to the audit log, a file for machines, and to the listeners: the built-in ones
(``logging`` for people, OpenTelemetry) and those that other distributions bring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_integrity_hook import notices
from keras_integrity_hook.errors import AuditError

if TYPE_CHECKING:
    from keras_integrity_hook.sealing.statement import Statement
else:  # for those who look annotations up at run time
    Statement = object

_NOT_DONE = frozenset({"refused", "failed"})


def record(event: str, path: str | None = None, *, outcome: str, **facts: object) -> None:
    """Record what has happened, or is about to.

    With no audit log and nobody listening this returns within microseconds. Where the policy says
    ``audit_required``, call it before the model is handed out or put in its place: what cannot be
    recorded does not happen.

    Args:
        event: ``save``, ``load``, ``inspection``, ``refusal``, ``override``, ``fallback``,
            ``opt-out``, ``late-activation``, ``download``, ``inputs``, ``seal``, ``unseal``,
            ``reseal``, ``sign``, ``trust`` or ``history``.
        path: the file concerned as the user named it; a URL without its secrets.
        outcome: ``ok``, ``refused``, ``warned``, ``overridden``, ``unsealed``, ``failed``, ``off``
            or a verdict of an inspection; docs/audit.md says what each means.
        facts: whatever else is known and no secret: text, numbers, and sequences and mappings of
            them; an IntegrityError is written as its ``to_dict()``.

    Raises:
        AuditError: the policy says ``audit_required`` and the log cannot be written. Not where
            ``outcome`` is ``refused`` or ``failed``: nothing was handed out that could be kept.
    """
    from keras_integrity_hook.audit import destination, listeners

    target, required = destination.current()
    if not (target or required or listeners.is_heard(event, outcome)):
        return
    from keras_integrity_hook.audit.event import build

    built = build(event, path, outcome, facts)
    # The log comes first: a listener may hang or raise.
    if target or required:
        _write(target, built, path, required=required and outcome not in _NOT_DONE)
    listeners.tell(built)


def seal_facts(statement: Statement) -> dict[str, object]:
    """What of a seal's statement tells later which bytes an event was about."""
    facts = {
        "container": statement.container,
        "algorithm": statement.algorithm,
        "root": statement.root,
        "size": statement.size,
        "model": statement.model.get("name"),
        "model_version": statement.model.get("version"),
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _write(
    target: str | None, event: dict[str, object], path: str | None, *, required: bool
) -> None:
    from keras_integrity_hook.audit import log_file, syslog, timeouts

    try:
        if target is None:
            raise FileNotFoundError("audit_required is set and audit_log is not")
        write = syslog.send if target.startswith(syslog.SCHEME) else log_file.write
        timeouts.call(target, write, target, event)
    except OSError as error:
        why = error.strerror or error
        if required:
            cause = f"the event '{event['event']}' could not be recorded in {target} ({why})"
            raise AuditError(cause, path=path) from error
        notices.trouble(f"audit: events are not recorded in {target} ({why})")
