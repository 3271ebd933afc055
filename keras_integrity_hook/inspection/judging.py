# SPDX-License-Identifier: Apache-2.0
"""What the findings in a model mean here: by the settings, and by the word of whoever loads it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from keras_integrity_hook.errors import DangerousModelError, ExternalReferenceError
from keras_integrity_hook.inspection.findings import Finding, Verdict
from keras_integrity_hook.inspection.rules import RULES
from keras_integrity_hook.settings import Inspecting, Settings
from keras_integrity_hook.texts import plural


def as_set(findings: Iterable[Finding], settings: Settings) -> tuple[Finding, ...]:
    """``findings`` with the verdicts that ``settings`` give them: by rule, and by allowed name.

    What is allowed by name is left out.
    """
    verdicts = dict(one.rpartition("=")[::2] for one in settings.inspection_rules)
    kept = []
    for finding in findings:
        if finding.object and _is_allowed(finding, settings.allowed_objects):
            continue
        word = verdicts.get(finding.rule)
        kept.append(finding if word is None else finding._replace(verdict=Verdict(word)))
    return tuple(kept)


def stopping(
    findings: Iterable[Finding], settings: Settings, *, safe_mode: bool = True
) -> tuple[Finding, ...]:
    """Those of ``findings``, with the verdicts :func:`as_set` gives, that stop a load.

    Args:
        safe_mode: what the load was asked for with. Without it code in the model is allowed to run,
            by the word of whoever loads it; the setting ``strict`` takes no such word.
    """
    if settings.inspection is Inspecting.OFF:
        return ()
    strict = settings.inspection is Inspecting.STRICT
    return tuple(
        one
        for one in as_set(findings, settings)
        if one.verdict is Verdict.REFUSE
        or (one.verdict is Verdict.REVIEW and (strict or (safe_mode and _by_safe_mode(one))))
    )


def in_short(findings: tuple[Finding, ...]) -> str:
    """The first of the worst of ``findings``, at least one, and how many more there are."""
    first = max(findings, key=lambda one: one.verdict is Verdict.REFUSE)
    more = len(findings) - 1
    rest = f"; {plural(more, 'more finding')}" if more else ""
    return f"{first.sentence()} ({first.rule}{rest})"


def refusal(
    findings: tuple[Finding, ...], path: str, *, takes_word: bool = True
) -> DangerousModelError | ExternalReferenceError:
    """The error for ``findings``, at least one, which says the first of the worst.

    Ways out of an HDF5 file have had an error of their own for longer, and keep it.

    Args:
        takes_word: a caller's ``safe_mode=False`` would be taken, so that it may be recommended.
    """
    cause = in_short(findings)
    if all(one.rule == "hdf5-external" for one in findings):
        return ExternalReferenceError(cause, path=path)
    remedy = _CODE if takes_word and all(map(_by_safe_mode, findings)) else None
    details = tuple(one.to_dict() for one in findings)
    return DangerousModelError(cause, path=path, findings=details, remedy=remedy)


_CODE = (
    "Load it with safe_mode=False only if you trust whoever made it; 'keras-integrity scan PATH' "
    "shows every finding."
)


def _by_safe_mode(finding: Finding) -> bool:
    rule = RULES.get(finding.rule)
    return rule is not None and rule.by_safe_mode


def _is_allowed(finding: Finding, allowed: tuple[str, ...]) -> bool:
    """Names that a person has read and trusts can lift a review, never a refusal."""
    if finding.verdict is Verdict.REFUSE:
        return False
    return any(fnmatch.fnmatchcase(finding.object, pattern) for pattern in allowed)
