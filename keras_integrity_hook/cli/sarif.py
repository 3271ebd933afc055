# SPDX-License-Identifier: Apache-2.0
"""What ``verify`` and ``scan`` found as SARIF, the OASIS standard 2.1.0, with what GitHub asks for
besides: a line number and a fingerprint of every result, and of a rule how bad it is in numbers."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from keras_integrity_hook._version import __version__
from keras_integrity_hook.cli.output import Result
from keras_integrity_hook.cli.summary import Outcome
from keras_integrity_hook.containers.kinds import KINDS
from keras_integrity_hook.errors import printable
from keras_integrity_hook.inspection.findings import Finding, Verdict
from keras_integrity_hook.inspection.rules import RULES
from keras_integrity_hook.report import Report
from keras_integrity_hook.texts import with_path

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


_LEVELS = {Verdict.REFUSE: "error", Verdict.REVIEW: "warning", Verdict.FINE: "note"}
# What GitHub sorts by, as CVSS scores: critical, and medium.
_SEVERITIES = {Verdict.REFUSE: "9.0", Verdict.REVIEW: "5.0", Verdict.FINE: "0.0"}


def document(outcome: Outcome) -> str:
    """One result for each finding in a model; for each path that was refused without any; and a
    note for each model without a seal, where it was asked for seals."""
    found = [one for result in outcome.results for one in _results(result)]
    names = sorted({one["ruleId"] for one in found})
    for one in found:
        one["ruleIndex"] = names.index(one["ruleId"])
    driver = {
        "name": "keras-integrity-hook",
        "version": __version__,
        "rules": [_rule(name) for name in names],
    }
    invocation = {"executionSuccessful": True, "exitCode": outcome.exit_status}
    run = {
        "tool": {"driver": driver},
        # GitHub takes no two runs of one tool that are not told apart by this.
        "automationDetails": {"id": f"keras-integrity/{outcome.command}/"},
        "invocations": [invocation],
        "results": found,
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _results(result: Result) -> Iterator[dict[str, Any]]:
    inspection = result.report.inspection if result.report is not None else None
    if inspection is not None and inspection.findings:
        assert result.report is not None
        for finding in inspection.findings:
            yield _of_finding(finding, result.report)
    elif result.error is not None:
        said = " ".join((f"{result.error.cause}.", *result.error.facts()[1:]))
        yield _result(result.error.code, "error", said, result.path)
    elif result.advice:
        said = with_path(result.advice, result.path)
        yield _result(f"{result.state}-model", "note", said, result.path)


def _of_finding(finding: Finding, report: Report) -> dict[str, Any]:
    """One finding, at the file that it is in, and there at its place in the user's terms."""
    what = " in ".join(filter(None, (finding.construct, finding.place)))
    said = f"{what}: {finding.why}."
    path = _file_of(finding, report)
    made = _result(finding.rule, _LEVELS[finding.verdict], said, path)
    if where := ": ".join(filter(None, (finding.file, finding.place))):
        made["locations"][0]["logicalLocations"] = [{"fullyQualifiedName": where}]
    # Two of one rule in a file are told apart by where they are and what they name.
    identity = (_uri(path), finding.rule, finding.file, finding.place, finding.construct)
    made["partialFingerprints"]["finding/v1"] = _digest(*identity)
    return made


def _file_of(finding: Finding, report: Report) -> str:
    """The file on disk: of a model of several files the one that the finding is in."""
    kind = KINDS.get(report.container)
    if kind is None or not finding.file:
        return report.path
    folder = report.path if kind.whole_directory else os.path.dirname(report.path)
    return os.path.join(folder, finding.file)


def _result(rule: str, level: str, said: str, path: str) -> dict[str, Any]:
    location = {
        "artifactLocation": {"uri": _uri(path)},
        "region": {"startLine": 1},  # a model has no lines; GitHub shows no result without one
    }
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": _without_links(printable(said))},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"pathAndRule/v1": f"{rule}:{_uri(path)}"},
    }


def _rule(name: str) -> dict[str, Any]:
    rule = RULES.get(name)
    if rule is None:  # of a plug-in, or an error's code
        return {"id": name, "shortDescription": {"text": name.replace("-", " ").capitalize()}}
    answers = f" ({', '.join(rule.since)})" if rule.since else ""
    return {
        "id": name,
        "shortDescription": {"text": _capitalised(rule.what)},
        "fullDescription": {"text": f"{_capitalised(rule.why)}{answers}."},
        "help": {"text": f"keras-integrity rules {name}"},
        "defaultConfiguration": {"level": _LEVELS[rule.verdict]},
        "properties": {"tags": ["security"], "security-severity": _SEVERITIES[rule.verdict]},
    }


def _without_links(text: str) -> str:
    """``[text](target)`` would be shown as a link (SARIF 2.1.0, 3.11.6); names are anybody's."""
    return text.replace("](", "\\](")


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _uri(path: str) -> str:
    """A relative reference stays one: it is looked up from the root of the repository."""
    encoded = quote(os.fsencode(os.path.normpath(path)))
    return f"file://{encoded}" if os.path.isabs(path) else encoded
