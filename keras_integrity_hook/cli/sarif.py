# SPDX-License-Identifier: Apache-2.0
"""What ``verify`` and ``scan`` found as SARIF, the OASIS standard 2.1.0, with what GitHub asks for
besides: a line number and a fingerprint of every result, and of a rule how bad it is in numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from keras_integrity_hook._version import __version__
from keras_integrity_hook.cli.output import Result
from keras_integrity_hook.cli.summary import Outcome
from keras_integrity_hook.errors import printable
from keras_integrity_hook.texts import with_path

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def document(outcome: Outcome) -> str:
    """One result for each path that was refused (an error), or has no seal (a note)."""
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
    run = {"tool": {"driver": driver}, "invocations": [invocation], "results": found}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _results(result: Result) -> Iterator[dict[str, Any]]:
    if result.error is not None:
        said = f"{result.error.cause}. {result.error.remedy()}"
        yield _result(result.error.code, "error", said, result.path)
    elif result.advice:
        said = with_path(result.advice, result.path)
        yield _result(f"{result.state}-model", "note", said, result.path)


def _result(rule: str, level: str, said: str, path: str) -> dict[str, Any]:
    location = {
        "artifactLocation": {"uri": _uri(path)},
        "region": {"startLine": 1},  # a model has no lines; GitHub shows no result without one
    }
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": printable(said)},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"pathAndRule/v1": f"{rule}:{_uri(path)}"},
    }


def _rule(name: str) -> dict[str, Any]:
    return {"id": name, "shortDescription": {"text": name.replace("-", " ").capitalize()}}


def _uri(path: str) -> str:
    """A relative reference stays one: it is looked up from the root of the repository."""
    encoded = quote(os.fsencode(os.path.normpath(path)))
    return f"file://{encoded}" if os.path.isabs(path) else encoded
